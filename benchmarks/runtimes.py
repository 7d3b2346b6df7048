"""Microseconds that Seawall adds to a request that succeeds, under trio and under asyncio.

    python -m benchmarks.runtimes
    python -m benchmarks.runtimes --suspend --library httpx2

As `benchmarks.overhead`, with both runtimes in each round: what a contender adds is its time less that of bare httpx
under the same runtime in the same round. There is no naive stack here: its libraries are asyncio's.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from benchmarks import LIBRARY, measure
from benchmarks.measure import Bar, Spread
from benchmarks.noop import URL, AsyncNoop, turn
from benchmarks.overhead import SEAWALL, Contender, contenders, present, time_async

NAMES = ("bare", "empty", *SEAWALL)
COLUMNS = ("contender", "µs added, asyncio", "quartiles", "µs added, trio", "quartiles", "trio / asyncio", "quartiles")


@dataclass(frozen=True)
class Runtime:
    """How to run a coroutine function, what yields there for one turn, and who was measured."""

    run: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]
    turn: Callable[[], Awaitable[None]]
    found: dict[str, Contender] = field(default_factory=dict)

    def sample(self, contender: Contender, requests: int) -> None:
        contender.timings.append(self.run(partial(time_async, contender.client, requests, self.turn)))

    def added(self, name: str) -> list[float]:
        """What a contender added in each round."""
        return [mine - base for mine, base in zip(self.found[name].timings, self.found["bare"].timings, strict=True)]


def measured(chosen: Sequence[str], rounds: int, requests: int, *, suspend: bool) -> list[Runtime]:
    """asyncio, then trio, every contender measured under each."""
    runtimes = [Runtime(lambda main: asyncio.run(main()), turn), Runtime(trio.run, trio.lowlevel.checkpoint)]
    for runtime in runtimes:
        noop = runtime.turn if suspend else None
        opened = contenders(chosen, "async_client", lambda _, noop=noop: AsyncNoop(noop))
        for contender in present(opened):
            runtime.found[contender.name] = contender
            contender.works([runtime.run(partial(contender.client.get, URL)) for _ in range(requests)])
    measure.settle()
    pairs = [(runtime, contender) for runtime in runtimes for contender in runtime.found.values()]
    for runtime, contender in measure.interleaved(pairs, rounds):
        runtime.sample(contender, requests)
    for _, contender in pairs:
        contender.sent_once((rounds + 1) * requests)
    return runtimes


def row(name: str, runtimes: Sequence[Runtime]) -> list[str]:
    spreads = [Spread.of(runtime.added(name)) for runtime in runtimes] + [ratio(name, runtimes)]
    digits = (1, 1, 2)
    return [
        name,
        *(
            text
            for spread, d in zip(spreads, digits, strict=True)
            for text in (f"{spread.median:.{d}f}", f"{spread.low:.{d}f} to {spread.high:.{d}f}")
        ),
    ]


def ratio(name: str, runtimes: Sequence[Runtime]) -> Spread:
    """Round by round."""
    asyncios, trios = (runtime.added(name) for runtime in runtimes)
    return Spread.of(there / here for there, here in zip(trios, asyncios, strict=True))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = measure.parser("runtimes", __doc__, NAMES)
    parser.add_argument("--rounds", type=int, default=300, help="each gives one sample of each contender and runtime")
    parser.add_argument("--requests", type=int, default=40, help="per sample")
    parser.add_argument("--suspend", action="store_true", help="the no-op suspends once, as I/O would")
    options = parser.parse_args(argv)
    if options.smoke:
        options.rounds, options.requests = 2, 5
    if options.rounds < 1 or options.requests < 1:
        parser.error("--rounds and --requests must be positive")
    options.only = [name for name in NAMES if name == "bare" or name in options.only]
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    facts = measure.environment(LIBRARY, "trio")
    suspending = "; the no-op suspends" if options.suspend else ""
    print(f"{measure.describe(facts)}; {options.rounds} rounds of {options.requests} requests{suspending}\n")
    runtimes = measured(options.only, options.rounds, options.requests, suspend=options.suspend)
    rows = [row(name, runtimes) for name in options.only[1:]]
    print(measure.table(COLUMNS, rows, markdown=options.markdown))
    bars = [
        Bar(f"{name}: added under trio / under asyncio", ratio(name, runtimes).median, limit=1.5)
        for name in SEAWALL
        if name in options.only
    ]
    timings = [{name: found.timings for name, found in runtime.found.items()} for runtime in runtimes]
    return measure.conclude({"environment": facts, "asyncio": timings[0], "trio": timings[1]}, bars, options)


if __name__ == "__main__":
    sys.exit(main())
