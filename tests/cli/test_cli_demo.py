"""`seawall demo`, short, for real."""

import asyncio
import io
import re
import signal
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import httpx
import pytest
from interrupts import heard
from rich.console import Console
from rich.text import Text

from seawall.cli import main
from seawall.cli.board import Bars, Lines, board
from seawall.cli.comparison import failures, reading, seconds, timeline
from seawall.cli.flaky import FlakyServer, Weather, Window
from seawall.cli.traffic import Measured, Outcome, Transition, drive, steady

SHORT = ["demo", "--requests", "60", "--duration", "1"]


OPENED = [Transition(1.0, "closed", "open")]


def half(
    label: str,
    *,
    ok: int,
    lost: int,
    during: int,
    latency: float,
    received: int,
    outage: int,
    transitions: list[Transition] | None = None,
) -> Measured:
    """A half with `ok` successes and `lost` failures outside the outage, and `during` failures in it."""
    measured = Measured(label, ok + lost + during, Window(10.0, 1.0))
    for _ in range(ok):
        measured.add(Outcome(0.0, latency, 200, None))
    for _ in range(lost):
        measured.add(Outcome(0.0, 0.1, None, "ReadError"))
    for _ in range(during):
        measured.add(Outcome(10.5, 0.001, 503, None))
    measured.transitions = transitions or []
    measured.received = Counter({"outage": outage, "ok": received - outage})
    return measured


def test_short_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A short demo exits 0 and compares both halves in one table, plain and 80 columns wide."""
    assert main(SHORT) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"bare httpx\D+with Seawall", out)
    assert re.search(r"requests finished\s+\S\s+60\s+\S\s+60 ", out)
    for row in (
        "succeeded",
        "failed",
        "attempts the server received",
        "during its outage",
        "p50",
        "p99",
        "circuit",
    ):
        assert row in out
    assert "Of 39 requests offered while the server was up" in " ".join(out.split())


def test_same_traffic_same_day() -> None:
    """Two clients that send the same traffic to servers of one seed meet the same faults."""
    weather = Weather(seed=7, errors=0.2, resets=0.2, truncated=0.2)

    async def day() -> dict[float, str]:
        outcomes: list[Outcome] = []
        async with FlakyServer(weather) as server, httpx.AsyncClient(trust_env=False) as client:
            await drive(client, server.url, steady(50, 0.1), outcomes.append)
        return {outcome.at: outcome.name for outcome in outcomes}

    first = asyncio.run(day())
    assert len(first) == 50
    assert {"200", "ReadError", "RemoteProtocolError"} < set(first.values())
    assert asyncio.run(day()) == first


def test_bars() -> None:
    """On a terminal each half has a bar with its counts and the state of its circuit."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, _environ={})
    measured = half("with Seawall", ok=3, lost=1, during=0, latency=0.02, received=4, outage=0)
    with board(console) as shown:
        assert isinstance(shown, Bars)
        shown.started(measured)
        measured.transitions += OPENED
        shown.moved(measured)
        shown.finished(measured)
    out = Text.from_ansi(console.file.getvalue()).plain  # type: ignore[attr-defined]
    last = out.rstrip().splitlines()[-1]
    assert re.fullmatch(r"with Seawall \S+ 4/4 3 ok 1 failed circuit open\s*", last)


def test_dumb_terminal() -> None:
    """On a terminal that cannot move its cursor there are plain lines."""
    console = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(board(console), Lines)


def test_interrupted() -> None:
    """Ctrl-C shows what has been measured so far and exits 130."""
    command = [sys.executable, "-m", "seawall.cli", "demo", "--requests", "1000", "--duration", "60"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, preexec_fn=heard) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "sending" in line:
                break
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert " of 1000" in out
    assert "Interrupted" in out
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--requests", "0"], "argument --requests: '0' is not a whole number from 1 to 100000"),
        (["--concurrency", "-3"], "argument --concurrency: '-3' is not a whole number from 1 to 10000"),
        (["--seed", "x"], "argument --seed: 'x' is not a whole number from 0"),
        (["--duration", "0"], "argument --duration: '0' is not a number of seconds from 0.001"),
    ],
)
def test_bad_usage(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A setting that cannot be exits 2 and says what is allowed."""
    with pytest.raises(SystemExit) as exit_:
        main(["demo", *arguments])
    assert exit_.value.code == 2
    assert words in capsys.readouterr().err


def test_steady_arrivals() -> None:
    """Arrivals are evenly spaced and each has a path of its own."""
    arrivals = steady(4, 2.0)
    assert [arrival.at for arrival in arrivals] == [0.0, 0.5, 1.0, 1.5]
    assert len({arrival.path for arrival in arrivals}) == 4


def test_percentiles() -> None:
    """A percentile is the latency that this share of the successes kept to; failures do not count."""
    measured = Measured("x", 100, Window(0.0, 0.0))
    for n in range(1, 101):
        measured.add(Outcome(0.0, n / 100, 200, None))
    measured.add(Outcome(0.0, 99.0, 500, None))
    assert measured.latency(0.5) == 0.5
    assert measured.latency(0.99) == 0.99
    assert measured.latency(0.5, ok=False) == 99.0
    assert Measured("x", 0, Window(0.0, 0.0)).latency(0.5) is None


def test_reading_of_an_improvement() -> None:
    """The reading says what was won, what the outage cost all the same, and the price in latency."""
    bare = half("bare httpx", ok=90, lost=10, during=50, latency=0.02, received=150, outage=50)
    protected = half(
        "with Seawall", ok=100, lost=0, during=50, latency=0.5, received=120, outage=12, transitions=OPENED
    )
    said = reading(bare, protected)
    assert "bare httpx lost 10 and Seawall 0." in said
    assert "cost bare httpx 50 of 50 requests and Seawall 50: nobody gets an answer" in said
    assert "What the circuit changed: 12 attempts reached the failing server instead of 50." in said
    assert "Seawall sent 120 attempts, fewer than bare httpx's 150." in said
    assert "The price is waiting" in said


def test_reading_of_harm() -> None:
    """The reading does not hide it when the protected half did worse."""
    bare = half("bare httpx", ok=100, lost=0, during=5, latency=0.5, received=105, outage=5)
    protected = half(
        "with Seawall", ok=90, lost=10, during=5, latency=0.02, received=200, outage=20, transitions=OPENED
    )
    said = reading(bare, protected)
    assert "bare httpx lost 0 and Seawall 10: here the protection did harm." in said
    assert "The circuit spared the failing server nothing: 20 attempts reached it, 5 without." in said
    assert "Seawall sent 200 attempts, more than bare httpx's 105." in said
    assert "Nor did it cost time" in said


def test_reading_without_a_circuit() -> None:
    """What did not happen is not credited to the circuit."""
    bare = half("bare httpx", ok=1, lost=0, during=1, latency=0.02, received=2, outage=1)
    protected = half("with Seawall", ok=2, lost=0, during=0, latency=0.02, received=2, outage=0)
    said = reading(bare, protected)
    assert "Of 1 request offered while" in said
    assert "The circuit did not open: 0 attempts reached the failing server, 1 from bare httpx." in said


def test_reading_of_an_overloaded_machine() -> None:
    """When requests could not be started in time, the reading begins with that."""
    bare, protected = (
        half(label, ok=5, lost=0, during=0, latency=0.02, received=5, outage=0) for label in ("bare", "protected")
    )
    assert "keep up" not in reading(bare, protected)
    bare.add(Outcome(0.0, 2.0, 200, None, late=1.5))
    assert reading(bare, protected).startswith("This machine did not keep up: requests started up to 1.50 s late")


def test_failures() -> None:
    """Failures are counted by their kind, the most frequent first."""
    measured = half("bare httpx", ok=1, lost=2, during=3, latency=0.02, received=6, outage=3)
    assert failures(measured) == "bare httpx failed with: 3 x 503, 2 x ReadError"
    assert failures(Measured("x", 0, Window(0.0, 0.0))) == "x failed with: nothing"


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ([], "stayed closed"),
        (["open"], "opened at 1.00 s, still open at the end after 0 failed probes"),
        (["open", "half-open", "open", "half-open", "closed"],
         "opened at 1.00 s, closed at 5.00 s after 1 failed probe"),
        (["open", "half-open", "closed", "open", "half-open"],
         "opened at 1.00 s, closed at 3.00 s after 0 failed probes, opened at 4.00 s, "
         "still half-open at the end after 0 failed probes"),
    ],
)  # fmt: skip
def test_timeline(states: list[str], words: str) -> None:
    """The circuit's story is when it opened and closed, and how many probes failed in between."""
    measured = Measured("x", 0, Window(0.0, 0.0))
    for at, (old, new) in enumerate(pairwise(["closed", *states]), 1):
        measured.transitions.append(Transition(float(at), old, new))
    assert timeline(measured) == f"The circuit {words}."


def test_seconds() -> None:
    """Durations are written in the unit that suits them."""
    assert [seconds(s) for s in (None, 0.0004, 0.021, 1.534)] == ["-", "0.4 ms", "21 ms", "1.53 s"]
