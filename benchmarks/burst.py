"""Thousands of GETs started at once over a hundred connections, or more, to a server on this machine.

    python -m benchmarks.burst
    python -m benchmarks.burst --sizes 5000 --only semaphore,seawall-pool,seawall-client --rounds 5
    python -m benchmarks.burst --library httpx2 --connections 1000 --sizes 5000 --only httpx2,seawall-pool

Every run has a client process of its own, which starts all requests together and waits for the last. One
that is not through by `--cap` is stopped from outside: a client whose pool is overwhelmed does not come
round to its own timers. A contender that was stopped once is not run again with as many requests.
"""

import argparse
import asyncio
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from ctypes import c_int
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from typing import Any

from benchmarks import LIBRARY, measure, server
from benchmarks.measure import Bar, Skipped, Spread
from benchmarks.noop import BODY
from benchmarks.pools import CONNECTIONS, MODULES, Client

PACKAGES = ("httpx", "httpcore", "httpx2", "httpx-aiohttp", "aiohttp")
JUDGED_AT = 5_000
SEAWALL = ("seawall-pool", "seawall-client")
STARTING = 30.0  # seconds for a client process to start and to send its first request


# --- One run, in the client's process ---


@dataclass(frozen=True)
class Finished:
    """Seconds from the start to the first answer and to the last; what failed has no answer."""

    requests: int
    first: float
    last: float
    failures: int
    failure: str | None

    @property
    def rate(self) -> float:
        return (self.requests - self.failures) / self.last


@dataclass(frozen=True)
class Stopped:
    """A run that was not through in time."""

    requests: int
    done: int
    seconds: float

    @property
    def rate(self) -> float:
        """At which it went until then, or would have if one more had been done."""
        return max(self.done, 1) / self.seconds

    def __str__(self) -> str:
        return f"not finished in {self.seconds:g} s ({self.done} done)"


Outcome = Finished | Stopped


Opener = Callable[[], Client]


def client_process(name: str, url: str, requests: int, connections: int, done: Any, report: Connection) -> None:
    """Say when the burst begins, then how it went. `done` counts along, for when it is stopped."""
    open_client = measure.load(f"benchmarks.pools.{MODULES[name]}", "client")
    assert not isinstance(open_client, Skipped)
    opener = partial(open_client, connections)
    report.send(asyncio.run(burst(opener, url, requests, done, lambda: report.send("started"))))


async def burst(open_client: Opener, url: str, requests: int, done: Any, started: Callable[[], None]) -> Finished:
    await one_request(open_client, url)
    client = open_client()
    answers: list[float] = []
    failures: list[str] = []

    async def get() -> None:
        try:
            answer = await client.get(url)
            if answer.status_code != 200 or answer.content != BODY:
                raise RuntimeError(f"unexpected answer {answer.status_code}")
        except Exception as error:
            failures.append(repr(error))
        else:
            answers.append(time.perf_counter())
        done.value += 1

    measure.settle()
    started()
    begin = time.perf_counter()
    await asyncio.gather(*(get() for _ in range(requests)))
    last = time.perf_counter() - begin
    await client.aclose()
    first = answers[0] - begin if answers else float("inf")
    return Finished(requests, first, last, len(failures), failures[0] if failures else None)


async def one_request(open_client: Opener, url: str) -> None:
    """Whatever is imported or compiled on first use belongs to no burst. Its connection is not kept."""
    client = open_client()
    await client.get(url)
    await client.aclose()


def run(context: SpawnContext, name: str, url: str, requests: int, connections: int, cap: float) -> Outcome:
    """Run one burst in a process of its own, and stop it when `cap` seconds are over."""
    done = context.RawValue(c_int, 0)
    here, there = context.Pipe()
    process = context.Process(target=client_process, args=(name, url, requests, connections, done, there), daemon=True)
    process.start()
    there.close()
    try:
        if not here.poll(STARTING):
            raise RuntimeError(f"{name} did not begin")
        here.recv()
        return here.recv() if here.poll(cap) else Stopped(requests, done.value, cap)
    except EOFError:
        raise RuntimeError(f"{name} died; its traceback is above") from None
    finally:
        process.kill()
        process.join()
        here.close()


# --- All runs ---


@dataclass
class Contender:
    name: str
    outcomes: list[Outcome] = field(default_factory=list)
    skipped: Skipped | None = None

    @property
    def stopped(self) -> Stopped | None:
        return next((outcome for outcome in self.outcomes if isinstance(outcome, Stopped)), None)

    @property
    def finished(self) -> list[Finished]:
        """The runs, round by round; none if one was stopped, for a median of the others would flatter."""
        return [] if self.stopped else [run for run in self.outcomes if isinstance(run, Finished)]


def measure_size(context: SpawnContext, url: str, requests: int, options: argparse.Namespace) -> list[Contender]:
    contenders = [contender(name) for name in options.only]
    present = [entry for entry in contenders if not entry.skipped]
    for entry in measure.interleaved(present, options.rounds):
        if not entry.stopped:
            entry.outcomes.append(run(context, entry.name, url, requests, options.connections, options.cap))
    return contenders


def contender(name: str) -> Contender:
    opened = measure.load(f"benchmarks.pools.{MODULES[name]}", "client")
    return Contender(name, skipped=opened if isinstance(opened, Skipped) else None)


# --- Reporting ---

COLUMNS = ("contender", "requests/s", "first answer, s", "last answer, s", "failures")


def cells(entry: Contender) -> list[str]:
    if remark := entry.skipped or entry.stopped:
        return [entry.name, str(remark)]
    runs = entry.finished
    return [
        entry.name,
        f"{Spread.of(run.rate for run in runs).median:,.0f}",
        f"{Spread.of(run.first for run in runs).median:.3f}",
        f"{Spread.of(run.last for run in runs).median:.2f}",
        f"{sum(run.failures for run in runs)}",
    ]


def show(requests: int, contenders: Sequence[Contender], *, markdown: bool) -> None:
    title = f"{requests:,} requests started together"
    print(f"\n{f'**{title}**' if markdown else title}\n")
    print(measure.table(COLUMNS, [cells(entry) for entry in contenders], markdown=markdown))
    for entry in contenders:
        if failure := next((run.failure for run in entry.finished if run.failure), None):
            print(f"\n{entry.name} failed with {failure}")


def bars(contenders: Sequence[Contender], connections: int) -> list[Bar]:
    """What Seawall promises at 5,000: the rate as a median of ratios, each within one round."""
    runs = {entry.name: entry.finished for entry in contenders}
    if LIBRARY == "httpx2":
        faster = times_as_fast(contenders, "seawall-pool", "httpx2")
        return [Bar(f"seawall-pool: rate / httpx2's rate, {connections:,} connections", faster, limit=1, at_least=True)]
    judged = []
    for name in SEAWALL if connections == CONNECTIONS else ():
        first = Spread.of(run.first for run in runs[name]).median if runs.get(name) else None
        faster = times_as_fast(contenders, name, "semaphore")
        judged.append(Bar(f"{name}: rate / semaphore's rate", faster, limit=2.5, at_least=True))
        judged.append(Bar(f"{name}: first answer, s", first, limit=0.2))
    return judged


def times_as_fast(contenders: Sequence[Contender], name: str, base: str) -> float | None:
    """Of one that was stopped counts what it had done by then."""
    outcomes = {entry.name: entry.outcomes for entry in contenders}
    rounds = zip(outcomes.get(name, []), outcomes.get(base, []), strict=False)
    ratios = [mine.rate / other.rate for mine, other in rounds if other.rate]
    return Spread.of(ratios).median if ratios else None


def data(contenders: Sequence[Contender]) -> list[dict[str, Any]]:
    return [
        {"name": entry.name, "skipped": entry.skipped.reason}
        if entry.skipped
        else {"name": entry.name, "runs": [asdict(outcome) for outcome in entry.outcomes]}
        for entry in contenders
    ]


# --- The command ---


def sizes(text: str) -> list[int]:
    return [int(part.replace("_", "")) for part in text.split(",")]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = measure.parser("burst", __doc__, MODULES)
    parser.add_argument("--sizes", type=sizes, default=[1_000, JUDGED_AT], metavar="N,...")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="of each client")
    parser.add_argument("--rounds", type=int, default=3, help="each runs every contender once at each size")
    parser.add_argument("--cap", type=float, default=60.0, metavar="SECONDS", help="stop a run after this")
    options = parser.parse_args(argv)
    if options.smoke:
        options.sizes, options.rounds = [200], 1
    if options.rounds < 1 or options.cap <= 0 or min(*options.sizes, options.connections) < 1:
        parser.error("--rounds, --connections, --sizes and --cap must be positive")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    facts = measure.environment(*PACKAGES)
    print(f"{measure.describe(facts)}; {options.rounds} rounds, {options.connections:,} connections")

    context = multiprocessing.get_context("spawn")
    measured: dict[int, list[Contender]] = {}
    with server.running(context) as url:
        for requests in options.sizes:
            measured[requests] = measure_size(context, url, requests, options)
            show(requests, measured[requests], markdown=options.markdown)

    result = {"environment": facts, **{name: getattr(options, name) for name in ("rounds", "connections", "cap")}}
    result["sizes"] = {str(requests): data(contenders) for requests, contenders in measured.items()}
    if options.smoke and not all(works(entry) for contenders in measured.values() for entry in contenders):
        return 1
    return measure.conclude(result, bars(measured.get(JUDGED_AT, []), options.connections), options)


def works(entry: Contender) -> bool:
    """Every request was answered; a library that is not installed is no failure."""
    return bool(entry.skipped or entry.finished) and not any(run.failures for run in entry.finished)


if __name__ == "__main__":
    sys.exit(main())
