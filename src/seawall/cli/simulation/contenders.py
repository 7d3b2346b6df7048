"""Who plays a scenario: a stack of the user's own, found by its name, or one that is known here."""

import importlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import seawall
from seawall.testing.simulation import Scenario
from seawall.testing.simulation.files import near

WHOLE = 600.0
"""Seconds for a whole call of somebody without patience's end: more than any attempts of a few seconds take."""


class Unusable(Exception):
    """What was named cannot be simulated; the message says why, and what there is."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Policies, and what they are called."""

    name: str
    policies: seawall.Stack | seawall.Endpoints


def bare(scenario: Scenario) -> seawall.Stack:
    """httpx by itself, with a timeout."""
    return seawall.Stack(seawall.Timeout(scenario.attempt_timeout))


def naive(scenario: Scenario) -> seawall.Stack:
    """Retries as many write them: with full jitter, and nothing that ends a storm of them."""
    retry = seawall.Retry(scenario.attempts, wait=seawall.full_jitter(base=0.1, cap=10.0, throttled=0.1), budget=None)
    timeout = seawall.Timeout(scenario.attempt_timeout)
    return seawall.Stack(seawall.Timeout(max(WHOLE, 2 * timeout.seconds)), retry, timeout)


KNOWN: Mapping[str, Callable[[Scenario], seawall.Stack]] = {
    "bare": bare,
    "naive": naive,
    "standard": lambda _: seawall.standard(),
}
"""The stacks that need no module, by their names."""


def contender(name: str, scenario: Scenario) -> Contender:
    """The contender of a name: one of KNOWN, or `module:name`. Raises `Unusable`."""
    if name in KNOWN:
        return Contender(name, KNOWN[name](scenario))
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise Unusable(
            f"{name!r} names no stack: write module:name, as in app.clients:stack, or one of {near(name, KNOWN)}"
        )
    return Contender(name, _policies(name, _found(name, _imported(name, module), attribute)))


def _imported(name: str, module: str) -> ModuleType:
    """A module, also from the current directory."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            package, _, last = error.name.rpartition(".")
            beside = near(last, _modules(package)) or "none"
            where = f"in {package}" if package else f"in {here}"
            raise Unusable(f"{name!r}: there is no module {error.name!r}; modules {where}: {beside}") from None
        raise Unusable(f"{name!r}: {module} cannot be imported: {told(error)}") from None


def _modules(package: str) -> list[str]:
    """The modules of an imported package, or of the current directory."""
    path: Iterable[str] = getattr(sys.modules.get(package), "__path__", ()) if package else [str(Path.cwd())]
    return sorted(found.name for found in pkgutil.iter_modules(path))


def _found(name: str, module: ModuleType, attribute: str) -> object:
    """What has a dotted name in a module."""
    found: object = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = [known for known, value in vars(module).items() if _usable(value, module)]
            there = near(attribute, known) or "none that could be a stack"
            raise Unusable(f"{name!r}: {module.__name__} has no {attribute!r}; it has {there}") from None
    return found


def _usable(value: object, module: ModuleType) -> bool:
    """Whether it looks like a stack, or like a function of the module's own that makes one."""
    if isinstance(value, seawall.Stack | seawall.Endpoints):
        return True
    return inspect.isfunction(value) and value.__module__ == module.__name__ and not _required(value)


def _policies(name: str, found: object) -> seawall.Stack | seawall.Endpoints:
    """The policies that something is or, called without arguments, makes."""
    allowed = "a Stack, Endpoints, or a function without arguments that returns one"
    if callable(found) and not isinstance(found, seawall.Stack | seawall.Endpoints):
        if needed := _required(found):
            raise Unusable(f"{name!r} must be {allowed}; this one needs {', '.join(needed)}")
        try:
            made = found()
        except (Exception, SystemExit) as error:
            raise Unusable(f"{name!r} cannot be called: {told(error)}") from None
        if inspect.iscoroutine(made):
            made.close()
        if not isinstance(made, seawall.Stack | seawall.Endpoints):
            raise Unusable(f"{name!r} must be {allowed}; it returned {_kind(made)}")
        return made
    if not isinstance(found, seawall.Stack | seawall.Endpoints):
        raise Unusable(f"{name!r} must be {allowed}; it is {_kind(found)}")
    return found


def _required(function: Callable[..., object]) -> list[str]:
    """The arguments that it cannot be called without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C, and it does not say
        return []
    optional = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return [one.name for one in parameters if one.default is one.empty and one.kind not in optional]


def _kind(thing: object) -> str:
    if isinstance(thing, seawall.Policy):
        return f"the single policy {type(thing).__name__}: put it in a Stack"
    name = type(thing).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def told(error: BaseException) -> str:
    """An error on one line, with the place in the user's code where it was raised: the last that is not ours."""
    message = " ".join(str(error).split())
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    ours = str(Path(seawall.__file__).parent), "<frozen"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    theirs = [frame for frame in frames if "importlib" not in frame.filename]
    return f"{said} ({theirs[-1].filename}, line {theirs[-1].lineno})" if theirs else said
