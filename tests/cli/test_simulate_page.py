"""docs/simulate.md: its commands print what it says, and its reference is complete."""

import io
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_args

import pytest

from seawall.cli import main
from seawall.cli.simulation.contenders import KNOWN
from seawall.testing.simulation import Bursts, Closed, Poisson, Quota, Scenario, Server, Trace, Traffic
from seawall.testing.simulation.files import ARRIVALS, DISTRIBUTIONS
from seawall.testing.simulation.quota import Dialect

PAGE = Path(__file__).parents[2] / "docs" / "simulate.md"
TEXT = PAGE.read_text(encoding="utf-8")
FILE = re.compile(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$(?:\n\n<!-- prints -->\n```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files that the page shows."""
    for name, text in FILE.findall(TEXT):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("shop", None)


def run(command: str) -> str:
    """What a line of the page prints; `> FILE` is understood."""
    words, _, file = command.partition(" > ")
    out = io.StringIO()
    with redirect_stdout(out):
        try:
            status = main(shlex.split(words)[1:])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
    assert status == 0
    if file:
        Path(file).write_text(out.getvalue(), encoding="utf-8")
    return out.getvalue()


def test_the_commands_print_what_the_page_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the page works, in order, in a folder with its files, and prints what stands below it."""
    monkeypatch.setenv("COLUMNS", "80")
    played = 0
    for commands, expected in COMMANDS.findall(TEXT):
        for command in commands.splitlines():
            if command.startswith("seawall "):
                printed = "\n".join(line.rstrip() for line in run(command).splitlines())
                if expected:
                    assert printed == expected.rstrip()
                played += 1
    assert played >= 5
    assert (folder / "report.html").exists()


def section(title: str) -> dict[str, str]:
    """The rows of a table below a heading: what stands in the first column, and the rest."""
    found = re.search(rf"^### {re.escape(title)}\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert found is not None
    return dict(re.findall(r"^\| `\"?([\w-]+)\"?` \|(.*)\|$", found[1], re.MULTILINE))


@pytest.mark.parametrize(
    ("title", "described"),
    [("At the top", Scenario), ("`[server]`", Server), ("`[server.quota]`", Quota), ("`[[traffic]]`", Traffic)],
)
def test_the_reference_has_every_key(title: str, described: type) -> None:
    """A row for each field, with its default."""
    rows = section(title)
    known = {field.name: field for field in fields(described)}  # type: ignore[arg-type]
    assert rows.keys() == known.keys() - {"server", "traffic", "quota"}
    for name, row in rows.items():
        default = known[name].default
        shown = row.rpartition("|")[2].strip()
        if default is MISSING and known[name].default_factory is MISSING:
            assert shown == "must be given"
        if name == "dialect":
            assert [choice for choice in get_args(Dialect) if f'`"{choice}"`' not in row] == []
        elif isinstance(default, bool | str):
            assert shown == (f"`{str(default).lower()}`" if isinstance(default, bool) else f'`"{default}"`')
        elif isinstance(default, int | float):
            assert float(shown) == default


@pytest.mark.parametrize(("title", "kinds"), [("Arrivals", ARRIVALS), ("Distributions", DISTRIBUTIONS)])
def test_the_reference_has_every_kind(title: str, kinds: tuple[type, ...]) -> None:
    """A row for each kind, with all of its keys."""
    rows = section(title)
    assert list(rows) == [kind.__name__.lower() for kind in kinds]
    for kind in kinds:
        for field in fields(kind):  # type: ignore[arg-type]
            assert f"`{field.name}`" in rows[kind.__name__.lower()]
    assert {Poisson, Bursts, Closed, Trace} == set(ARRIVALS)


def test_the_page_has_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Each option of the command, and each name that needs no module, has a row."""
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    options = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", capsys.readouterr().out)) - {"--help"}
    assert set(re.findall(r"^\| `(--[\w-]+)", TEXT, re.MULTILINE)) == options
    assert set(re.findall(r"^\| `(\w+)` \| (?:`seawall|httpx|as many)", TEXT, re.MULTILINE)) == set(KNOWN)
