"""`seawall simulate` and what cannot be simulated: the place is named, with what there is, and the status is 2."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import simulated

from seawall.cli import main

BROKEN = """\
import seawall

1 / 0
"""
EMPTY = "number = 5\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with modules of many kinds; forget them afterwards."""
    broken = {"broken": BROKEN, "half": "def f(:\n", "lacking": "import nowhere.to_be_found\n", "leaving": "exit(3)\n"}
    monkeypatch.chdir(simulated.folder(tmp_path, empty=EMPTY, **broken))
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pack" / "inner.py").write_text(simulated.MODULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


ALLOWED = "must be a Stack, Endpoints, or a function without arguments that returns one"
STACKS = [
    ("shop", "'shop' names no stack: write module:name, as in app.clients:stack, or one of bare, naive, standard"),
    ("standart", "'standart' names no stack: write module:name, as in app.clients:stack, or one of standard, bare, n"),
    ("shop:", "'shop:' names no stack"),
    (":stack", "':stack' names no stack"),
    ("shp:stack", "'shp:stack': there is no module 'shp'; modules in HERE: shop, broken, empty, half, lacking"),
    ("pack.iner:stack", "'pack.iner:stack': there is no module 'pack.iner'; modules in pack: inner"),
    ("shop.inner:stack", "there is no module 'shop.inner'; modules in shop: none"),
    ("shop:stak", "'shop:stak': shop has no 'stak'; it has stack, routes, make, fails, wrong, later"),
    ("shop:Things.stak", "'shop:Things.stak': shop has no 'Things.stak'; it has stack, "),
    ("empty:stack", "empty has no 'stack'; it has none that could be a stack"),
    ("broken:stack", "broken cannot be imported: ZeroDivisionError: division by zero (HERE/broken.py, line 3)"),
    ("half:stack", "half cannot be imported: SyntaxError: invalid syntax (HERE/half.py, line 1)"),
    ("lacking:stack", "cannot be imported: ModuleNotFoundError: No module named 'nowhere' (HERE/lacking.py, line 1)"),
    ("leaving:stack", "leaving cannot be imported: SystemExit: 3 (HERE/leaving.py, line 1)"),
    ("shop:number", f"'shop:number' {ALLOWED}; it is an int"),
    ("shop:policy", f"'shop:policy' {ALLOWED}; it is the single policy Retry: put it in a Stack"),
    ("shop:needs", f"'shop:needs' {ALLOWED}; this one needs one"),
    ("shop:wrong", f"'shop:wrong' {ALLOWED}; it returned an int"),
    ("shop:later", f"'shop:later' {ALLOWED}; it returned a coroutine"),
    ("shop:fails", "'shop:fails' cannot be called: RuntimeError: no such thing (HERE/shop.py, line LINE)"),
    ("time:monotonic", f"'time:monotonic' {ALLOWED}; it returned a float"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "message"), STACKS, ids=[name for name, _ in STACKS])
def test_a_stack_that_cannot_be_found(name: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what is wrong with the name, the module or what it holds, and what there is instead."""
    line = simulated.MODULE.splitlines().index('    raise RuntimeError("no such\\nthing")') + 1
    expected = message.replace("HERE", str(here)).replace("LINE", str(line))
    for arguments in ([name], ["bare", "--against", name]):
        assert main(["simulate", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("seawall simulate: error: ")
        assert expected in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: CONFIG"),
        (["bare", "--scenario", "stal"], "argument --scenario: no scenario is called 'stal'; there are stall, calm"),
        (["--show", "x"], "argument --show: no scenario is called 'x'; there are calm, stall, spike, outage"),
        (["bare", "--scenario-file", "none.toml"], "argument --scenario-file: 'none.toml' cannot be read: No such"),
        (["bare", "--scenario-file", "pack"], "argument --scenario-file: 'pack' cannot be read: Is a directory"),
        (["bare", "--scenario-file", "shop.py"], "argument --scenario-file: shop.py: "),
        (["bare", "--scenario-file", "odd.toml"], r"--scenario-file: odd.toml: the top of the file has no '\x1b'"),
        (["bare", "--scenario", "stall", "--scenario-file", "pause.toml"], "not allowed with argument --scenario"),
        (["bare", "--seed", "-1"], "argument --seed: '-1' is not a whole number from 0"),
        (["bare", "--url", "ftp://host"], "argument --url: 'ftp://host' does not begin with http:// or https://"),
        (["bare", "--url", "https://me:pw@"], "argument --url: 'https://***@' has no host"),
    ],
)  # fmt: skip
def test_bad_usage(arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An argument that cannot be is named, with what is allowed."""
    (here / "odd.toml").write_text('"\\u001b" = 1\n')
    with pytest.raises(SystemExit) as exit_:
        main(["simulate", *arguments])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--html", "nowhere/report.html"], "--html: 'nowhere/report.html' is in no directory that exists"),
        (["--html", "pack"], "--html: 'pack' is a directory"),
        (
            [f"--against={name}" for name in ("naive", "standard", "shop:stack", "shop:make", "shop:routes")],
            "at most 5 can be compared at once, and these are 6",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_before_the_run(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report that could not be written, and more contenders than can be told apart, are refused at once."""
    assert main(["simulate", "bare", *arguments]) == 2
    assert capsys.readouterr() == ("", f"seawall simulate: error: {message}\n")


def test_the_same_name_twice_plays_once(capsys: pytest.CaptureFixture[str]) -> None:
    """To be compared with oneself is to be played once."""
    assert main(["simulate", "bare", "--against", "bare", "--scenario-file", "pause.toml"]) == 0
    assert len(re.findall("bare", capsys.readouterr().out.partition("success")[0])) == 1


def test_without_plotly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without plotly a report is refused with the extra to install; the terminal's summary needs none."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "plotly"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    assert main(["simulate", "bare", "--html", "report.html"]) == 2
    said = "--html needs plotly, which comes with the extra: pip install 'seawall[cli]'\n"
    assert capsys.readouterr() == ("", f"seawall simulate: error: {said}")
    assert main(["simulate", "bare", "--scenario-file", "pause.toml"]) == 0


def test_a_report_that_cannot_be_written(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If writing fails after all, the summary is there, the error is told and the status is 1."""

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert main(["simulate", "bare", "--scenario-file", "pause.toml", "--html", "report.html"]) == 1
    out, err = capsys.readouterr()
    assert "requests made" in out
    assert err.endswith("the report could not be written: [Errno 28] No space left on device\n")
