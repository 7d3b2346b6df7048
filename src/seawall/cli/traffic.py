"""Open-loop traffic, and what became of it.

Requests start when they are due, not when the one before has ended: users do not wait for each other. Latency
is counted from the time a request was due, so that a client which falls behind cannot hide it.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

from .flaky import Kind, Window


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request to make: when (seconds after the start) and of what."""

    at: float
    path: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended: a status, or the type of the error that was raised instead.

    Times in seconds: `at` it was due, `latency` later it ended, and `late` is how much of that it took this machine
    to start it.
    """

    at: float
    latency: float
    status: int | None
    error: str | None
    late: float = 0.0

    @property
    def ok(self) -> bool:
        return self.status is not None and self.status < 400

    @property
    def name(self) -> str:
        return self.error if self.error is not None else str(self.status)


@dataclass(frozen=True, slots=True)
class Transition:
    """A circuit's change of state, `at` seconds after the start."""

    at: float
    old: str
    new: str


@dataclass(slots=True)
class Measured:
    """Everything known about one half of the demo, complete or cut short."""

    label: str
    planned: int
    outage: Window
    outcomes: list[Outcome] = field(default_factory=list)
    received: Counter[Kind] = field(default_factory=Counter)
    transitions: list[Transition] = field(default_factory=list)
    succeeded: int = 0

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.succeeded += outcome.ok

    @property
    def failed(self) -> int:
        return len(self.outcomes) - self.succeeded

    def offered(self, *, during: bool) -> int:
        """How many requests were due during (or outside) the outage."""
        return sum((outcome.at in self.outage) is during for outcome in self.outcomes)

    def lost(self, *, during: bool) -> int:
        """How many of the requests due during (or outside) the outage failed."""
        return sum((outcome.at in self.outage) is during for outcome in self.outcomes if not outcome.ok)

    @property
    def late(self) -> float:
        """By how many seconds this machine was late to start a request, at worst."""
        return max((outcome.late for outcome in self.outcomes), default=0.0)

    def failures(self) -> Counter[str]:
        """Failed requests by status or type of error."""
        return Counter(outcome.name for outcome in self.outcomes if not outcome.ok)

    def latency(self, share: float, *, ok: bool = True) -> float | None:
        """The latency that `share` of the succeeded (or failed) requests kept to; None if there were none."""
        latencies = sorted(outcome.latency for outcome in self.outcomes if outcome.ok is ok)
        if not latencies:
            return None
        return latencies[max(0, math.ceil(share * len(latencies)) - 1)]


def steady(requests: int, duration: float) -> tuple[Arrival, ...]:
    """`requests` arrivals at an even rate over `duration` seconds, each with a path of its own."""
    return tuple(Arrival(n * duration / requests, f"/items/{n}") for n in range(requests))


async def drive(
    client: httpx.AsyncClient, origin: str, arrivals: Sequence[Arrival], record: Callable[[Outcome], None]
) -> None:
    """Send `arrivals` through `client` when they are due; `record` hears of each outcome as it comes."""
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def send(arrival: Arrival) -> None:
        due = start + arrival.at
        late = loop.time() - due
        status, error = await _outcome(client, origin + arrival.path)
        record(Outcome(arrival.at, loop.time() - due, status, error, late))

    async with asyncio.TaskGroup() as group:
        for arrival in arrivals:
            await asyncio.sleep(max(0.0, start + arrival.at - loop.time()))
            group.create_task(send(arrival))


async def _outcome(client: httpx.AsyncClient, url: str) -> tuple[int | None, str | None]:
    try:
        response = await client.get(url)
    except Exception as error:  # whatever its type, the request is lost; the table names the types
        return None, type(error).__name__
    return response.status_code, None
