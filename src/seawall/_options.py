"""Per-request options: what one call may change about the policies it passes.

They ride on the request (`extensions={"seawall": {...}}`) or on a context variable (`options(...)`),
for code that calls an SDK which hides the request. The extension wins over the context, an inner context
over an outer one, option by option.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypedDict, Unpack

from . import _check
from ._errors import OptionError


class Options(NamedTuple):
    """One call's options, checked."""

    priority: float = 0
    cost: float = 1
    idempotent: bool | None = None
    timeout: float | None = None
    deadline: float | None = None
    skip: frozenset[str] = frozenset()
    tenant: str | None = None

    def updated(self, given: Mapping[str, Any]) -> "Options":
        """These options with the given ones in their place."""
        if unknown := [name for name in given if name not in KNOWN]:
            listed = ", ".join(sorted(KNOWN))
            raise OptionError(f"unknown seawall option {unknown[0]!r}; the known ones are: {listed}")
        checked: dict[str, Any] = {name: KNOWN[name](name, value) for name, value in given.items()}
        return self._replace(**checked)


class OptionValues(TypedDict, total=False):
    """What `options` takes."""

    priority: float
    cost: float
    idempotent: bool | None
    timeout: float | None
    deadline: float | None
    skip: Iterable[str]
    tenant: str | None


@contextmanager
def options(**given: Unpack[OptionValues]) -> Iterator[None]:
    """Set options for every call made inside the `with` block, in this task or thread.

        with seawall.options(priority=-1, timeout=2.0):
            sdk.list_things()

    - `priority`: higher goes first in every line; default 0. One step is worth 5 s of waiting.
    - `cost`: what a `Throttle` charges for the call, above 0; default 1.
    - `idempotent`: True if the call may be repeated whatever its method, False if it may not.
    - `timeout`: seconds, above 0, in the place of the outermost `Timeout`'s.
    - `deadline`: an absolute time on the runtime's clock (`time.monotonic()`), one for many calls.
    - `skip`: policies to leave out, by lower-case type name or by their own name. Names that a stack does not
      have are ignored, so that one block may serve many endpoints.
    - `tenant`: who the call is for; a `ConcurrencyLimit`'s waiting line takes turns between tenants.

    Raises `OptionError`, listing the known ones, for an unknown option, and for a value that cannot be.
    """
    token = CONTEXT.set(CONTEXT.get().updated(given))
    try:
        yield
    finally:
        CONTEXT.reset(token)


def effective(given: Mapping[str, Any]) -> Options:
    """The options of a request whose extension is `given`."""
    if not isinstance(given, Mapping):
        raise OptionError(f'the "seawall" extension must be a mapping of options, not {given!r}')
    return CONTEXT.get().updated(given)


def _finite(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _check.finite(value):
        raise OptionError(f"option {name} must be a finite number, not {value!r}")
    return value


def _positive(name: str, value: Any) -> float:
    if _finite(name, value) <= 0:
        raise OptionError(f"option {name} must be above 0, not {value!r}")
    return float(value)


def _boolean(name: str, value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise OptionError(f"option {name} must be True, False or None, not {value!r}")
    return value


def _names(name: str, value: Any) -> frozenset[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise OptionError(f'option {name} must be a collection of policy names such as ["retry"], not {value!r}')
    given = tuple(value)
    for item in given:
        if not isinstance(item, str):
            raise OptionError(f"option {name} must hold policy names, not {item!r}")
    return frozenset(given)


def _text(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise OptionError(f"option {name} must be a string or None, not {value!r}")
    return value


KNOWN = {
    "priority": _finite,
    "cost": _positive,
    "idempotent": _boolean,
    "timeout": lambda name, value: None if value is None else _positive(name, value),
    "deadline": lambda name, value: None if value is None else _finite(name, value),
    "skip": _names,
    "tenant": _text,
}
DEFAULTS = Options()
CONTEXT: ContextVar[Options] = ContextVar("seawall.options", default=DEFAULTS)
assert KNOWN.keys() == set(Options._fields)
