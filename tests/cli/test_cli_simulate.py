"""`seawall simulate`: what it plays, and what it prints."""

import gc
import io
import os
import re
import signal
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import simulated
from rich.console import Console
from rich.text import Text
from simulated import SCENARIO, STACK

import seawall
from seawall.cli import main
from seawall.cli.simulation.contenders import Contender, Unusable, bare, contender, naive
from seawall.cli.simulation.figures import percent, recovery, rows
from seawall.cli.simulation.run import Run, _interruptible, play
from seawall.cli.simulation.summary import show
from seawall.cli.simulation.verdict import verdict
from seawall.testing.simulation import SCENARIOS, Result, Scenario, Simulation, overload, read_scenario, simulate

QUIET = Console(file=io.StringIO())


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with a scenario and a module; forget the module afterwards."""
    monkeypatch.chdir(simulated.folder(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("shop", None)


@pytest.fixture
def pause(here: Path) -> Scenario:
    return read_scenario(here / "pause.toml")


def run(scenario: Scenario, *contenders: Contender, seed: int = 0) -> Run:
    return play(scenario, contenders, seed, QUIET)


def test_a_comparison(capsys: pytest.CaptureFixture[str], pause: Scenario) -> None:
    """It exits 0 and tells the figures of each in a table, plain and 80 columns wide, and the verdict in words."""
    arguments = ["simulate", "shop:stack", "--scenario-file", "pause.toml", "--against", "bare", "--against", "naive"]
    assert main([*arguments, "--seed", "2"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith("pause: For three seconds the server serves nothing.\n")
    assert re.search(r"shop:stack\s+\S\s+bare\s+\S\s+naive", out)
    results = [simulate(pause, policies, seed=2) for policies in (STACK, bare(pause), naive(pause))]
    for name, words in (
        ("requests made", [f"{len(result.tally.calls):,}" for result in results]),
        ("success", [percent(result.success) for result in results]),
        ("recovery after the fault", [recovery(result).words for result in results]),
        ("circuit transitions", [str(len(result.tally.circuits)) for result in results]),
    ):
        assert re.search(rf"{name}\s+\S\s+" + r"\s+\S\s+".join(map(re.escape, words)) + " ", out), name
    words = " ".join(out.split())
    assert f"shop:stack recovers {results[0].recovery():g} s after the pause, and answers " in words
    assert f"sends at most {results[2].peak_amplification():.2f} requests per request offered" in words


def test_goodput_is_drawn_in_blocks(capsys: pytest.CaptureFixture[str], pause: Scenario) -> None:
    """A block for each second, low where nothing was answered, over a mark below the fault."""
    assert main(["simulate", "bare", "--scenario-file", "pause.toml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    blocks, mark = (next(line for line in lines if sign in line) for sign in ("█", "^"))
    result = simulate(pause, bare(pause))
    assert len(blocks) == 40 + len(" bare")
    assert blocks[10:13] == "▁▁▁"
    assert [block == "█" for block in blocks[:40]] == [
        answered >= 0.875 * offered for answered, offered in zip(result.answered(), result.offered(), strict=True)
    ][:40]
    assert mark == f"{' ' * 10}^^^ the pause"


def test_blocks_need_a_terminal_that_has_them(pause: Scenario) -> None:
    """Where the encoding has no blocks, and where there are only a few seconds, there is no such line."""
    played = run(pause, Contender("bare", bare(pause)))
    plain = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), width=80)
    show(played, plain)
    short = run(replace(pause, duration=5, fault=None), Contender("bare", bare(pause)))
    other = io.StringIO()
    show(short, Console(file=other, width=80))
    assert "█" not in other.getvalue()


@pytest.mark.parametrize("width", [40, 56, 80, 200])
def test_widths(width: int, pause: Scenario) -> None:
    """Whatever the width of the terminal, no line of the table or of the verdict is wider."""
    out = io.StringIO()
    named = [Contender(f"a.long.module.name:stack_{n}", bare(pause)) for n in range(3)]
    show(run(pause, *named), Console(file=out, width=width))
    assert max(map(len, out.getvalue().splitlines())) <= max(width, 40)


def test_colours_are_for_terminals(pause: Scenario) -> None:
    """On a terminal names stand out, and the words are the same."""
    played = run(pause, Contender("bare", bare(pause)))
    terminal, plain = io.StringIO(), io.StringIO()
    show(played, Console(file=terminal, width=80, force_terminal=True, color_system="truecolor", _environ={}))
    show(played, Console(file=plain, width=80))
    assert "\x1b[1mbare" in terminal.getvalue()
    assert Text.from_ansi(terminal.getvalue()).plain.split() == plain.getvalue().split()


def test_progress_is_for_terminals(pause: Scenario) -> None:
    """On a terminal a bar shows virtual seconds, and is gone at the end; elsewhere there is none."""
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, _environ={})
    slow = replace(pause, server=replace(pause.server, slots=1), drain=2.0)
    assert play(slow, [Contender("patient", seawall.Stack(seawall.Timeout(1e6)))], 0, console).stopped is None
    said = Text.from_ansi(out.getvalue()).plain
    assert "waiting for the last answers" in said
    assert "second 42 of 42" in said
    assert out.getvalue().endswith("\x1b[1A\x1b[2K")
    dumb = io.StringIO()
    play(pause, [Contender("bare", bare(pause))], 0, Console(file=dumb, force_terminal=True, _environ={"TERM": "dumb"}))
    assert dumb.getvalue() == ""


def test_contenders_play_as_they_would_alone(pause: Scenario) -> None:
    """Played at once, a virtual second at a time, each has the very result that it has by itself."""
    played = run(pause, Contender("one", STACK), Contender("other", naive(pause)), seed=4)
    assert [result.digest() for result in played.results] == [
        simulate(pause, policies, seed=4).digest() for policies in (STACK, naive(pause))
    ]
    assert (played.stopped, played.interrupted) == (None, False)


def test_the_same_seed_gives_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs of one seed print the same, another seed something else."""
    printed = []
    for seed in ("1", "1", "2"):
        assert main(["simulate", "shop:make", "--scenario-file", "pause.toml", "--seed", seed]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]


@pytest.mark.parametrize("name", ["shop:stack", "shop:make", "shop:Things.stack", "standard", "bare", "naive"])
def test_configurations(name: str, pause: Scenario) -> None:
    """A stack may be an attribute, the result of a function, or one that is known here."""
    expected = {"standard": seawall.standard(), "bare": bare(pause), "naive": naive(pause)}.get(name, STACK)
    assert contender(name, pause) == Contender(name, expected)


def test_bare_and_naive_keep_to_the_scenario() -> None:
    """httpx by itself, and attempts without a budget, have the timeout and the attempts that the scenario names."""
    scenario = replace(overload("stall"), attempt_timeout=700.0, attempts=7)
    assert bare(scenario) == seawall.Stack(seawall.Timeout(700))
    total, retry, attempt = naive(scenario)
    assert (total, attempt) == (seawall.Timeout(1400), seawall.Timeout(700))
    assert isinstance(retry, seawall.Retry)
    assert (retry.attempts, retry.budget) == (7, None)


def test_the_url_chooses_the_endpoint(capsys: pytest.CaptureFixture[str], pause: Scenario) -> None:
    """Requests go to http://server/, or where --url says, so that an Endpoints chooses its stack."""
    successes = []
    for url in ([], ["--url", "https://me:secret@api.example.com/items"]):
        assert main(["simulate", "shop:routes", "--scenario-file", "pause.toml", *url]) == 0
        successes.append(re.search(r"success\s+\S\s+(\S+ %)", capsys.readouterr().out)[1])  # type: ignore[index]
    expected = [simulate(pause, policies).success for policies in (seawall.Stack(seawall.Timeout(0.1)), STACK)]
    assert successes == list(map(percent, expected))


def test_the_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """--list tells each scenario and what happens in it, and needs nothing else."""
    with pytest.raises(SystemExit) as exit_:
        main(["simulate", "--list"])
    assert exit_.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [[name, one.about] for name, one in SCENARIOS.items()]


def test_a_scenario_is_shown_as_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--show prints a scenario in the form of a file, to begin one of one's own with."""
    with pytest.raises(SystemExit) as exit_:
        main(["simulate", "--show", "outage"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert tomllib.loads(text)["name"] == "outage"
    (here / "mine.toml").write_text(text)
    assert read_scenario("mine.toml") == SCENARIOS["outage"]


def test_the_default_is_the_stall(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a scenario the stall is played, with seed 0."""
    asked: list[tuple[str, int]] = []

    def note(scenario: Scenario, contenders: object, seed: int, console: Console) -> Run:
        asked.append((scenario.name, seed))
        return run(replace(scenario, duration=1, fault=None), Contender("bare", bare(scenario)))

    monkeypatch.setattr("seawall.cli.simulation.command.play", note)
    assert main(["simulate", "bare"]) == 0
    assert asked == [("stall", 0)]


def test_the_current_directory_comes_first_once(here: Path) -> None:
    """Modules are found in the current directory, which stands on the path once."""
    scenario = read_scenario("pause.toml")
    contender("shop:stack", scenario)
    contender("shop:make", scenario)
    assert sys.path.count(os.getcwd()) == 1


# -- figures and words


def figures(result: Result, name: str) -> tuple[float | None, str]:
    played = Run(result.scenario, 0, [Contender("it", STACK)], [result], None, interrupted=False)
    return next((row.figures[0].value, row.figures[0].words) for row in rows(played) if row.name == name)


def words(result: Result, *others: Result) -> list[str]:
    named = [Contender(name, STACK) for name in ("it", "other")][: 1 + len(others)]
    played = Run(result.scenario, 0, named, [result, *others], None, interrupted=False)
    return [f"{name} {does}" for name, does in verdict(played)]


def until(scenario: Scenario, second: float) -> Result:
    """What is known at a virtual second."""
    simulation = Simulation(scenario, STACK)
    for now in simulation:
        if now >= second:
            break
    return simulation.result()


def test_shares_are_never_rounded_to_all_or_nothing() -> None:
    """0 and 100 % are said of nothing and all only."""
    shares = [0, 0.000001, 0.0042, 0.5, 0.974, 0.995, 0.9999999, 1]
    assert [percent(share) for share in shares] == [
        "0 %", "0.01 %", "0.42 %", "50.0 %", "97.4 %", "99.50 %", "99.99 %", "100 %",
    ]  # fmt: skip


def test_a_recovery_that_cannot_be_known_is_not_told(pause: Scenario) -> None:
    """Too little was played, it has not come yet, or it never came: each is said."""
    dead = replace(pause, server=replace(pause.server, slots=0), drain=1.0)
    assert recovery(until(pause, 8)).words == "too early to tell"
    assert recovery(until(dead, 30)).words == "not yet"
    assert recovery(simulate(dead, STACK)).words == "never"
    assert words(until(dead, 30))[0].startswith("it has not recovered 17 s after the pause; sends at most ")
    share = percent(until(pause, 8).success)
    assert words(until(pause, 8))[0].startswith(f"it answers {share} of all requests before the pause; ")
    assert "was not played for long enough after the pause to tell whether it recovers" in words(until(pause, 15))[0]
    fine = replace(pause, server=replace(pause.server, slots=4))
    assert recovery(simulate(fine, STACK)).words == "at once"
    assert (
        "it recovers as soon as the pause is over, and answers 100 % of what is offered in the 27 s"
        in words(simulate(fine, STACK))[0]
    )


def test_what_was_not_asked_has_no_share(pause: Scenario) -> None:
    """Where no request was made there is no success."""
    nothing = Simulation(pause, STACK).result()
    assert figures(nothing, "success") == (None, "-")
    assert words(nothing) == ["it has not been asked for anything."]


def test_the_comparison_says_who_answers_more(pause: Scenario) -> None:
    """It tells both shares, and does not hide it when the stack costs answers."""
    good, bad = simulate(pause, STACK), simulate(pause, naive(pause))
    good, bad = sorted((good, bad), key=lambda result: result.success, reverse=True)
    shares = percent(good.success), percent(bad.success)
    assert words(good, bad)[2] == f"it answers {shares[0]} of all requests, and other {shares[1]}."
    assert (
        words(bad, good)[2] == f"it answers {shares[1]} of all requests, and other {shares[0]}: here it costs answers."
    )
    assert words(good, good)[2] == f"it answers as many requests as other does: {shares[0]}."


def test_without_a_fault_there_is_no_recovery(pause: Scenario) -> None:
    """Then success is what is told, once for each."""
    calm = replace(pause, fault=None, server=replace(pause.server, slots=4))
    result = simulate(calm, STACK)
    assert words(result, result)[0].startswith("it answers 100 % of all requests; ")
    assert len(words(result, result)) == 2


def test_groups_have_rows_of_their_own(pause: Scenario) -> None:
    """With several groups of callers, success and p99 are told of each."""
    group = pause.traffic[0]
    both = replace(pause, traffic=[group, replace(group, name="other")])
    result = simulate(both, STACK)
    assert figures(result, "success, other")[0] == result.goodput(group=1)
    assert figures(result, "p99, other")[0] == result.latency(0.99, group=1)


def test_a_fault_without_a_noun(pause: Scenario) -> None:
    """A scenario whose name is no word has a fault like any other."""
    assert "after the fault" in words(simulate(replace(pause, name="black-friday 2"), STACK))[0]


def test_the_scenario_is_the_one_in_the_file(pause: Scenario) -> None:
    """The file of these tests is what they think it is."""
    assert (pause.name, pause.fault) == ("pause", (10, 13))
    assert SCENARIO.startswith('name = "pause"')


def test_a_run_in_another_thread(pause: Scenario) -> None:
    """Where no signal can be waited for, as in a thread, it is played all the same."""
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(run, pause, Contender("bare", bare(pause))).result(50).stopped is None


def test_ctrl_c_is_as_before_afterwards(pause: Scenario) -> None:
    """Whoever handled Ctrl-C before the run does so again after it, and garbage is collected as before."""
    before = signal.getsignal(signal.SIGINT), gc.get_threshold()
    run(pause, Contender("bare", bare(pause)))
    assert (signal.getsignal(signal.SIGINT), gc.get_threshold()) == before


def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    """A run in the background of a shell, where the signal is ignored, is not stopped by it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _interruptible() as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert not interrupted()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_stack_that_cannot_begin(pause: Scenario) -> None:
    """Policies that make no sense together are told before anything is played."""
    limits = [seawall.Stack(seawall.ConcurrencyLimit(number, name="one")) for number in (1, 2)]
    routes = seawall.Endpoints({"http://a.example": limits[0]}, default=limits[1])
    with pytest.raises(Unusable, match=r"'odd' cannot play 'pause': StackError: .*one"):
        run(pause, Contender("odd", routes))


def test_the_page_has_the_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has a command that gives the same result, wherever the report went, and no password."""
    arguments = ["simulate", "shop:routes", "--scenario-file", "pause.toml", "--against", "bare", "--seed", "5"]
    assert main([*arguments, "--url", "https://me:secret@api.example.com/a?b=c", "--html", "my report.html"]) == 0
    assert capsys.readouterr().out.endswith("The report is in my report.html\n")
    page = (here / "my report.html").read_text(encoding="utf-8")
    command = (
        "shop:routes --scenario-file pause.toml --against bare --url &#x27;https://api.example.com/a?b=c&#x27; --seed 5"
    )
    assert f"<pre>seawall simulate {command}</pre>" in page
    assert "secret" not in page
