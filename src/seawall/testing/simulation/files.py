"""Scenarios as files: TOML whose keys are the arguments of what is described.

    name = "stall"
    duration = 240
    fault = [60, 70]

    [server]
    slots = { value = 50, changes = [[60, 0], [70, 50]] }
    service = { kind = "exponential", seconds = 0.1 }

    [[traffic]]
    arrivals = { kind = "poisson", rate = 400 }

A table is made into the object that its place calls for. Where there are several kinds, `kind` says which: the name of
the class, in lower case. What stands for None is left out, except that `slots` may be "unbounded".
"""

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from .distributions import Constant, Distribution, Empirical, Exponential, Lognormal, Sometimes
from .quota import Quota
from .scenario import Scenario
from .schedule import Schedule
from .server import Server
from .traffic import Arrivals, Bursts, Closed, Poisson, Trace, Traffic

T = TypeVar("T")

UNBOUNDED = "unbounded"
DISTRIBUTIONS = (Constant, Exponential, Lognormal, Empirical, Sometimes)
ARRIVALS = (Poisson, Bursts, Closed, Trace)

Reader = Callable[[object, str], object]
"""Makes an object of what stands at a place."""


def read_scenario(path: str | PathLike[str]) -> Scenario:
    """The scenario that a TOML file describes.

        simulate(read_scenario("black-friday.toml"), seawall.standard())

    Raises `OSError` if the file cannot be read, and `ValueError`, which names the file, the table and what would be
    allowed, if it is no scenario.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return _make(Scenario, data, "")
    except (TypeError, ValueError) as error:  # ValueError: also what TOML and UTF-8 find wrong
        raise ValueError(f"{path}: {error}") from None


def scenario_toml(scenario: Scenario) -> str:
    """A scenario as such a file: what `read_scenario` makes the same scenario of."""
    top, tables = [], []
    for name, value in _told(scenario):
        if name == "server":
            tables.append(("[server]", value))
        elif name == "traffic":
            tables += [("[[traffic]]", group) for group in value]
        else:
            top.append(f"{name} = {_toml(value)}")
    parts = ["\n".join(top)]
    for header, described in tables:
        parts.append("\n".join([header, *(f"{name} = {_toml(value)}" for name, value in _told(described))]))
    return "\n\n".join(parts) + "\n"


def near(given: str, known: Iterable[str]) -> str:
    """What there is, the names that are most like the given one first: `stall, spike, outage`."""
    names = list(known)
    alike = difflib.get_close_matches(given, names, n=3)
    return ", ".join([*alike, *(name for name in names if name not in alike)])


# -- reading


def _make(cls: type[T], given: object, place: str) -> T:
    """An object of a class from a table."""
    if not isinstance(given, dict):
        raise TypeError(f"{place} must be a table, not {given!r}")
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    keys = [name for name in given if name != "kind"] if cls in (*DISTRIBUTIONS, *ARRIVALS) else list(given)
    for key in keys:
        if key not in known:
            raise ValueError(f"{_the(place)} has no {key!r}; there are {near(key, known)}")
    missing = [name for name, field in known.items() if name not in given and not _optional(field)]
    if missing:
        raise ValueError(f"{_the(place)} lacks {', '.join(missing)}")
    readers = READERS.get(cls, {})
    made = {key: readers[key](given[key], _at(place, key)) if key in readers else given[key] for key in keys}
    try:
        return cls(**made)
    except (TypeError, ValueError) as error:
        raise ValueError(f"in {_the(place)}: {error}") from None


def _one_of(classes: tuple[type[Any], ...]) -> Reader:
    """Reads a table whose `kind` names one of several classes."""
    kinds = {cls.__name__.lower(): cls for cls in classes}

    def read(given: object, place: str) -> object:
        if not isinstance(given, dict):
            raise TypeError(f"{place} must be a table such as {{ kind = {next(iter(kinds))!r}, ... }}, not {given!r}")
        if "kind" not in given:
            raise ValueError(f"{_the(place)} lacks kind; there are {', '.join(kinds)}")
        kind = given["kind"]
        if not isinstance(kind, str) or kind not in kinds:
            raise ValueError(f"{_at(place, 'kind')} is {kind!r}; there are {near(str(kind), kinds)}")
        return _make(kinds[kind], given, place)

    return read


def _schedule(given: object, place: str) -> object:
    """A number, or a table of a value and its changes."""
    return _make(Schedule, given, place) if isinstance(given, dict) else given


def _slots(given: object, place: str) -> object:
    return None if given == UNBOUNDED else _schedule(given, place)


def _groups(given: object, place: str) -> object:
    if not isinstance(given, list):
        raise TypeError(f"{place} must be tables under [[{place}]], not {given!r}")
    return [_make(Traffic, group, f"{place}[{number}]") for number, group in enumerate(given)]


READERS: Mapping[type[Any], Mapping[str, Reader]] = {
    Scenario: {"server": lambda given, place: _make(Server, given, place), "traffic": _groups},
    Server: {
        "slots": _slots,
        "slowdown": _schedule,
        "failing": _schedule,
        "service": _one_of(DISTRIBUTIONS),
        "quota": lambda given, place: _make(Quota, given, place),
    },
    Traffic: {"arrivals": _one_of(ARRIVALS)},
    Poisson: {"rate": _schedule},
    Closed: {"think": _one_of(DISTRIBUTIONS)},
    Sometimes: {"usual": _one_of(DISTRIBUTIONS)},
}
"""What is more than a plain value, by the class and the key."""


def _optional(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _at(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _the(place: str) -> str:
    return f"[{place}]" if place else "the top of the file"


# -- writing


def _told(thing: Any) -> list[tuple[str, Any]]:
    """What there is to say of an object, its defaults included."""
    told = [(field.name, getattr(thing, field.name)) for field in fields(thing)]
    return [(name, value) for name, value in told if name == "slots" or value is not None]


def _toml(value: Any) -> str:
    """A value on one line."""
    if value is None:
        return f'"{UNBOUNDED}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return _table([(key, item) for key, item in value.items() if item is not None])
    if is_dataclass(value):
        several = isinstance(value, Distribution | Arrivals)
        return _table([("kind", type(value).__name__.lower())] * several + _told(value))
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else f"{value!r}"


def _table(items: list[tuple[str, Any]]) -> str:
    return f"{{ {', '.join(f'{name} = {_toml(value)}' for name, value in items)} }}" if items else "{}"


def _quoted(text: str) -> str:
    """A basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in escaped) + '"'
