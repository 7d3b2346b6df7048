"""`seawall demo`: the same bad day for a bare and for a protected client, over real sockets.

Both halves run in this process against a server of our own in the same event loop, one after the other, each
with a server and a clock of its own. So the shares and counts compare; the absolute latencies are those of a
loopback.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from rich.console import Console

import seawall
import seawall.httpx

from .board import Board, board
from .comparison import failures, reading, table, timeline
from .flaky import FlakyServer, Weather, Window
from .stacks import timed
from .traffic import Measured, Outcome, Transition, drive, steady

TOTAL, ATTEMPT = 5.0, 0.5
"""The protected client's timeouts, in seconds: a demo's outage lasts two seconds, not minutes."""
BACKOFF = 0.1
BREAKER = seawall.CircuitBreaker(consecutive=10, window=1.0, open_for=0.1, max_open_for=0.2)

_PROTECTION = (
    "Protected by seawall.standard(), its times shortened to suit an outage of seconds: {total:g} s for a "
    "call, {attempt:g} s for an attempt, backoff from {base:g} s, a circuit that {failures} failures in a row "
    "(or half of those in {window:g} s) open for {open_for:g} to {max_open_for:g} s. With a ReadBody, so that "
    "bodies which break are retried too."
)


def stack(concurrency: int) -> seawall.Stack:
    """`seawall.standard()` with the times of a demo."""
    scaled = (
        seawall.standard()
        .without(seawall.Timeout)  # first: a breaker is fitted to the attempt's timeout that it finds
        .replace(seawall.Retry(wait=seawall.full_jitter(base=BACKOFF, cap=1.0, throttled=4 * BACKOFF)))
        .replace(BREAKER)
        .replace(seawall.ConcurrencyLimit(concurrency))
        .then(seawall.ReadBody(65_536))
    )
    return timed(scaled, total=TOTAL, attempt=ATTEMPT)


def _protection() -> str:
    return _PROTECTION.format(
        total=TOTAL,
        attempt=ATTEMPT,
        base=BACKOFF,
        failures=BREAKER.consecutive,
        window=BREAKER.window,
        open_for=BREAKER.open_for,
        max_open_for=BREAKER.max_open_for,
    )


def weather(seed: int, duration: float) -> Weather:
    """A bad day of `duration` seconds: an outage of up to 2 s early on, a spell of 429 at the end.

    The spell comes last because it makes the protected client hold everything back for a second: an outage that
    began meanwhile would fail what is held, and nobody could tell the one from the other.
    """
    outage = Window(round(0.1 * duration, 6), round(min(2.0, 0.35 * duration), 6))
    spell = min(0.6, 0.1 * duration)
    throttled = Window(round(duration - spell, 6), round(spell, 6))
    return Weather(
        seed=seed,
        latency=0.02,
        errors=0.05,
        resets=0.02,
        truncated=0.01,
        slow=0.02,
        slow_latency=1.0,
        throttled=throttled,
        retry_after=1,
        outage=outage,
    )


@dataclass(slots=True)
class Demo:
    """The command with its settings; `duration` is the seconds of traffic in each half."""

    requests: int
    concurrency: int
    duration: float
    seed: int

    def run(self) -> int:
        """Run both halves and print what came of them; 0, or 130 if interrupted."""
        console = Console(highlight=False)
        sky = weather(self.seed, self.duration)
        assert sky.outage is not None
        bare = Measured("bare httpx", self.requests, sky.outage)
        protected = Measured("with Seawall", self.requests, sky.outage)
        self._introduce(console, sky)
        try:
            asyncio.run(self._measure(sky, bare, protected, console))
        except KeyboardInterrupt:
            _conclude(console, bare, protected)
            console.print("Interrupted: the table counts what had finished by then.")
            return 130
        _conclude(console, bare, protected)
        console.print()
        console.print(reading(bare, protected))
        return 0

    def _introduce(self, console: Console, sky: Weather) -> None:
        assert sky.outage is not None
        assert sky.throttled is not None
        console.print(
            f"{self.requests} requests at an even rate over {self.duration:g} s to a flaky server on loopback: "
            f"{sky.errors:.0%} answered with a 5xx, {sky.resets:.0%} reset, {sky.truncated:.0%} cut off in the body, "
            f"{sky.slow:.0%} taking {sky.slow_latency:g} s, an outage of {sky.outage.length:.2g} s (503 for all), and "
            f"{sky.throttled.length:.2g} s of 429 with Retry-After: {sky.retry_after}."
        )
        console.print(_protection())
        console.print()

    async def _measure(self, sky: Weather, bare: Measured, protected: Measured, console: Console) -> None:
        limits = httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        with board(console) as progress:
            # Proxies from the environment are for other hosts than our own.
            async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
                await self._half(client, sky, bare, progress)
            watch = _Watch(protected)
            async with seawall.httpx.AsyncClient(
                stack(self.concurrency), listeners=(watch,), limits=limits, trust_env=False
            ) as client:
                await self._half(client, sky, protected, progress, watch.begin)

    async def _half(
        self,
        client: httpx.AsyncClient,
        sky: Weather,
        half: Measured,
        progress: Board,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        progress.started(half)

        def record(outcome: Outcome) -> None:
            half.add(outcome)
            progress.moved(half)

        async with FlakyServer(sky) as server:
            half.received = server.received
            begin()
            await drive(client, server.url, steady(self.requests, self.duration), record)
        progress.finished(half)


class _Watch:
    """A listener that notes the circuit's transitions in `half`, in seconds since `begin`."""

    def __init__(self, half: Measured) -> None:
        self._half = half
        self._start = 0.0

    def begin(self) -> None:
        self._start = asyncio.get_running_loop().time()

    def __call__(self, event: object) -> None:
        if isinstance(event, seawall.CircuitChanged):
            at = asyncio.get_running_loop().time() - self._start
            self._half.transitions.append(Transition(at, event.old, event.new))


def _conclude(console: Console, bare: Measured, protected: Measured) -> None:
    console.print()
    console.print(table(bare, protected))
    for half in (bare, protected):
        if half.outcomes:
            console.print(failures(half))
    if protected.outcomes:
        console.print(timeline(protected))
