"""The shape of the source: what may import what, and how long a file may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import seawall

SOURCE = Path(seawall.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
BANNED = {"time", "random", "asyncio", "trio", "anyio", "httpx", "httpx2", "httpcore", "httpcore2", "secrets", "queue"}
BANNED_NAMES = {("threading", "Event"), ("threading", "Condition"), ("threading", "Timer")}
MAY_TOUCH_THE_WORLD = {
    "runtime": "the runtimes are what reaches clocks and schedulers",
    "testing": "virtual time has its own coin; scripted servers sleep",
    "cli": "an application",
    "httpx.py": "the family module of httpx",
    "httpx2.py": "the family module of httpx2",
}
LONGEST = 400


def free(file: Path) -> bool:
    """Whether a file may reach clocks, schedulers and HTTP libraries."""
    return file.relative_to(SOURCE).parts[0] in MAY_TOUCH_THE_WORLD


def reached(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Everything banned that a module imports, or reaches as an attribute, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in BANNED:
                    yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            for alias in node.names:
                if module.partition(".")[0] in BANNED or (module, alias.name) in BANNED_NAMES:
                    yield node.lineno, f"{module}.{alias.name}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in BANNED_NAMES:
                yield node.lineno, f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in ("import_module", "__import__") and node.args[0].value in BANNED:
                yield node.lineno, str(node.args[0].value)


def imports_of_ours(file: Path) -> Iterator[tuple[int, str]]:
    """The modules of Seawall that a file imports, relative to the package."""
    package = file.relative_to(SOURCE).parent.parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = (*base, *(node.module or "").split(".")) if node.module else base
            yield from ((node.lineno, ".".join((*module, alias.name))) for alias in node.names)


def test_the_files_are_found() -> None:
    """The walk sees the package: policies, states and runtimes."""
    seen = {str(file.relative_to(SOURCE)) for file in FILES}
    assert {"policies/retry.py", "_circuit.py", "_slots.py", "_rate.py", "runtime/threads.py"} <= seen


@pytest.mark.parametrize(
    "file", [file for file in FILES if not free(file)], ids=lambda file: str(file.relative_to(SOURCE))
)
def test_policies_and_state_reach_no_clock_scheduler_or_http_library(file: Path) -> None:
    """Policies and state modules reach time, coins and schedulers through the runtime, httpx through the family."""
    found = list(reached(ast.parse(file.read_text())))
    if file == SOURCE / "__init__.py":  # `from . import httpx` under TYPE_CHECKING is ours, and relative
        assert found == []
    assert found == [], f"{file}: use call.runtime, call.wait and call.family instead"


@pytest.mark.parametrize("file", sorted((SOURCE / "policies").glob("*.py")), ids=lambda file: file.name)
def test_policies_know_no_driver(file: Path) -> None:
    """A policy imports no runtime, no transport and no client: it runs on any of them."""
    drivers = ("runtime.", "_transport", "_clients", "_pool", "httpx", "testing")
    assert [found for found in imports_of_ours(file) if found[1].startswith(drivers)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import asyncio as a",
        "from random import random",
        "import anyio.abc",
        "from threading import Event",
        "import threading\nthreading.Event()",
        "def f():\n    import httpx",
        "import importlib\nimportlib.import_module('httpx')",
    ],
)
def test_the_walk_sees_every_way_in(source: str) -> None:
    """The check finds a banned import in any of its forms, inside functions too."""
    assert len(list(reached(ast.parse(source)))) == 1


@pytest.mark.parametrize("source", ["from . import httpx", "import threading\nthreading.Lock()", "import httpxx"])
def test_the_walk_lets_other_things_be(source: str) -> None:
    """Our own modules and plain locks are no way in."""
    assert list(reached(ast.parse(source))) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_files_stay_short(file: Path) -> None:
    """No file of the package is longer than 400 lines."""
    lines = len(file.read_text().splitlines())
    assert lines <= LONGEST, f"{file} has {lines} lines"
