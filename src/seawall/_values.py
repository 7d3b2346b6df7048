"""Values: what is compared, hashed and shown by its fields.

`dataclass` writes and compiles these methods anew for each class, which took a quarter of the time to import Seawall.
So they stand here once. What is made for many calls, such as an event, leaves it to `dataclass` to freeze it, which
takes longer to import and less to make.
"""

from dataclasses import FrozenInstanceError, dataclass, field, fields
from typing import Any, ClassVar, TypeVar, dataclass_transform

T = TypeVar("T")


class Value:
    """Base of frozen dataclasses with `eq=False, repr=False`: equal to another of its type if all fields are."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __eq__(self, other: object) -> bool:
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(_values(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(_names(self), _values(self), strict=True))
        return f"{type(self).__qualname__}({shown})"

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dataclass_fields__ and hasattr(self, name):  # a field is set once, by `__init__`
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.__dataclass_fields__:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super().__delattr__(name)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A frozen dataclass, kept from being changed by the methods of `Value`."""
    made = dataclass(slots=True, eq=False, repr=False)(cls)
    vars(made)["__dataclass_params__"].frozen = True  # as subclasses see it, which must then be frozen too
    return made


def _names(value: Any) -> list[str]:
    return [field.name for field in fields(value)]


def _values(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, name) for name in _names(value))
