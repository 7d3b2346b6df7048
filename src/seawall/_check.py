"""Checks of what users pass in. Each error names the thing, what was given and what is allowed."""

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

from ._errors import StackError


def number(
    owner: str,
    name: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    optional: bool = False,
) -> None:
    """A finite real number within the stated range, or None where that is allowed.

    `above` is an exclusive lower bound, `least` an inclusive one.
    """
    if value is None and optional:
        return
    allowed = _range(above, least, most) + (" or None" if optional else "")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{owner}: {name} must be a number {allowed}, not {value!r}")
    inside = (
        finite(value)
        and (above is None or value > above)
        and (least is None or value >= least)
        and (most is None or value <= most)
    )
    if not inside:
        raise ValueError(f"{owner}: {name} must be a number {allowed}, not {value!r}")


def finite(value: float) -> bool:
    """Whether a number is neither NaN nor infinite, nor an integer beyond what a float can hold."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def integer(owner: str, name: str, value: object, *, least: int, optional: bool = False) -> None:
    """A whole number of at least `least`, or None where that is allowed."""
    if value is None and optional:
        return
    allowed = f"of at least {least}" + (" or None" if optional else "")
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{owner}: {name} must be a whole number {allowed}, not {value!r}")
    if value < least:
        raise ValueError(f"{owner}: {name} must be a whole number {allowed}, not {value!r}")


def flag(owner: str, name: str, value: object) -> None:
    """True or False, not something that merely has a truth value."""
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be True or False, not {value!r}")


def choice(owner: str, name: str, value: object, allowed: tuple[str, ...]) -> None:
    """One of a few strings."""
    if value not in allowed:
        raise ValueError(f"{owner}: {name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def callables(owner: str, name: str, values: object) -> tuple[Callable[..., Any], ...]:
    """Plain callables: what is awaited could suspend where nothing may."""
    given = collection(owner, name, values, "functions")
    for value in given:
        synchronous(owner, name, value)
    return given


def collection(owner: str, name: str, values: object, of: str) -> tuple[Any, ...]:
    """Several things, as a tuple."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{owner}: {name} must be a collection of {of}, not {values!r}")
    return tuple(values)


def synchronous(owner: str, name: str, value: object) -> None:
    """One plain callable."""
    if not callable(value):
        raise TypeError(f"{owner}: {name} must be callable, not {value!r}")
    if is_async(value):
        raise TypeError(f"{owner}: {name} must be a plain function, but {value!r} is asynchronous")


def is_async(value: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await."""
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(type(value).__call__)


def codes(owner: str, name: str, values: object) -> frozenset[int]:
    """HTTP status codes, as a frozen set."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{owner}: {name} must be a collection of status codes, not {values!r}")
    given = tuple(values)
    for code in given:
        if isinstance(code, bool) or not isinstance(code, int) or not 100 <= code <= 599:
            raise ValueError(f"{owner}: {name} must hold status codes from 100 to 599, not {code!r}")
    return frozenset(given)


def methods(owner: str, name: str, values: object) -> frozenset[str]:
    """HTTP methods, as a frozen set in upper case."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{owner}: {name} must be a collection of HTTP methods, not {values!r}")
    given = tuple(values)
    for method in given:
        if not isinstance(method, str) or not method.isalpha():
            raise ValueError(f'{owner}: {name} must hold HTTP methods such as "GET", not {method!r}')
    return frozenset(method.upper() for method in given)


def key(owner: str, value: object) -> None:
    """How a policy's state is partitioned."""
    if callable(value):
        synchronous(owner, "key", value)
    elif value not in ("origin", "endpoint", "client"):
        raise StackError(
            f'{owner}: key must be "origin", "endpoint", "client" or a function of the request, not {value!r}'
        )


def name(owner: str, value: object) -> None:
    """A policy's own name."""
    if value is not None and (not isinstance(value, str) or not value):
        raise StackError(f"{owner}: name must be a non-empty string or None, not {value!r}")


def _range(above: float | None, least: float | None, most: float | None) -> str:
    low = f"above {above:g}" if above is not None else f"of at least {least:g}" if least is not None else ""
    high = f"at most {most:g}" if most is not None else ""
    return " and ".join(part for part in (low, high) if part) or "that is finite"
