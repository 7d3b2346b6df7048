"""Python blocks of Markdown pages: found, compiled and run as they are printed.

The blocks of a page run in order and share one namespace and one event loop; `await` may stand at the top level. After
each block its test functions (`def test_...`) are called, their arguments taken from pytest's fixtures. A block that
follows `<!-- no-run: reason -->` is compiled, but not run. A page that begins with `<!-- needs: module, ... -->` is run
where these can be imported.
"""

import ast
import asyncio
import gc
import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

import httpx
import httpx2

FENCE = re.compile(
    r"^(?P<indent>[ ]*)(?P<fence>```+|~~~+)[ ]*(?P<language>[\w+-]*)[^\n]*\n(?P<source>.*?)^[ ]*(?P=fence)[ ]*$",
    re.DOTALL | re.MULTILINE,
)
NO_RUN = re.compile(r"<!--\s*no-run\b:?(?P<reason>.*?)-->\s*\Z", re.DOTALL)
NEEDS = re.compile(r"<!--\s*needs:(?P<modules>.*?)-->")
PYTHON = {"python", "py", "python3"}


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    page: Path
    line: int
    """Of its first line of code."""
    source: str
    skipped: str | None
    """Why it is not run; None if it is."""

    def compile(self) -> CodeType:
        """The block as code whose tracebacks show the page and its lines."""
        padded = "\n" * (self.line - 1) + self.source
        code: CodeType = compile(padded, str(self.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        return code


def blocks(page: Path) -> list[Block]:
    """The Python blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found, after = [], 0
    for fence in FENCE.finditer(text):
        before, after = text[after : fence.start()], fence.end()
        if fence["language"].lower() in PYTHON:
            comment = NO_RUN.search(before)
            found.append(
                Block(
                    page=page,
                    line=text.count("\n", 0, fence.start("source")) + 1,
                    source=textwrap.dedent(fence["source"]),
                    skipped=None if comment is None else comment["reason"].strip(),
                )
            )
    return found


def needs(page: Path) -> list[str]:
    """The modules that a page is about, which may not be installed."""
    found = NEEDS.search(page.read_text(encoding="utf-8"))
    return [] if found is None else [module.strip() for module in found["modules"].split(",")]


def run(page: Path, fixture: Callable[[str], Any]) -> None:
    """Run every block of a page that is to be run."""
    namespace: dict[str, Any] = {"__name__": "__main__", "__file__": str(page)}
    with asyncio.Runner() as runner:
        try:
            for block in blocks(page):
                code = block.compile()
                if block.skipped is None:
                    _execute(code, namespace, runner, fixture)
        finally:
            _close(namespace, runner)
            namespace.clear()
            gc.collect()


def _execute(code: CodeType, namespace: dict[str, Any], runner: asyncio.Runner, fixture: Callable[[str], Any]) -> None:
    known = dict(namespace)
    pending = eval(code, namespace)
    if inspect.iscoroutine(pending):
        runner.run(pending)
    for name, thing in list(namespace.items()):
        if name.startswith("test_") and inspect.isfunction(thing) and known.get(name) is not thing:
            outcome = thing(**{argument: fixture(argument) for argument in inspect.signature(thing).parameters})
            if inspect.iscoroutine(outcome):
                runner.run(outcome)


def _close(namespace: dict[str, Any], runner: asyncio.Runner) -> None:
    """Close what a page left open at its top level, as the end of a program would."""
    for thing in namespace.values():
        if isinstance(thing, httpx.Response | httpx2.Response):
            continue  # has both ways to close; its client knows which
        if inspect.iscoroutinefunction(getattr(type(thing), "aclose", None)):
            runner.run(thing.aclose())
        elif hasattr(type(thing), "close") and hasattr(type(thing), "__exit__"):
            thing.close()
