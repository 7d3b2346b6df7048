"""Values: what is compared, hashed and shown by its fields.

`dataclass` writes and compiles these methods anew for each class, which took a fifth of the time to import Seawall. So
they stand here once.
"""

from dataclasses import fields
from typing import Any


class Value:
    """Base of frozen dataclasses with `eq=False, repr=False`: equal to another of its type if all fields are."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(_values(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(_names(self), _values(self), strict=True))
        return f"{type(self).__qualname__}({shown})"


def _names(value: Any) -> list[str]:
    return [field.name for field in fields(value)]


def _values(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, name) for name in _names(value))
