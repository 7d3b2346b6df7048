"""Waiting lines: thousands of calls in line, all cancelled, or all let go, in one go.

- `tickets`: the state alone, stepped by hand with waiters that do nothing.
- `calls`: asyncio tasks in `AsyncTransport.handle_async_request`, each with a deadline; let go, they send.
- `futures`: asyncio tasks that wait at futures of their own, which is what asyncio takes of `calls`. They take turns
  with these in one process; `added` is the difference within a round, which is what Seawall takes.

Thousands of requests are much to walk through, and whether the collector of garbage does so in one timing or in the
next is chance. So the times are what a user sees, collecting included, but they are said to grow without it.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from multiprocessing.context import SpawnContext
from typing import Any, Literal, NamedTuple

import httpx

import seawall
import seawall.httpx
from benchmarks import measure
from benchmarks.measure import Bar, Spread
from benchmarks.noop import URL
from benchmarks.scale.sections import Collecting, Scale, Section, apart
from seawall._queue import Ticket
from seawall._slots import Slots
from seawall._throttle import ThrottleState, wake
from seawall.runtime.asyncio import ASYNCIO

Line = Literal["limit", "throttle"]
End = Literal["cancelled", "released"]
LINES: tuple[Line, ...] = ("limit", "throttle")
ENDS: tuple[End, ...] = ("cancelled", "released")
JUDGED_AT = 20_000
PER = 1_000.0  # seconds of the throttle's window: too long to pass by itself
PATIENCE = 100_000.0


class Timing(NamedTuple):
    """Seconds to line up, to be gone, and what of the latter was collecting garbage."""

    lined_up: float
    gone: float
    collecting: float

    @property
    def own(self) -> float:
        return self.gone - self.collecting


def policy(line: Line, count: int) -> Any:
    return seawall.ConcurrencyLimit(count) if line == "limit" else seawall.Throttle(count, per=PER)


def fill(state: Any, count: int, now: float) -> None:
    """Take all the room there is, before as many more line up for it: starts are spread over half a window."""
    for number in range(count):
        if isinstance(state, Slots):
            free = state.try_enter()
        else:
            free = state.try_start(now + (number / count - 1) * PER / 2, 1)
        assert free


# --- The state alone ---


class Nobody:
    """A waiter that nobody waits at."""

    def wake(self) -> bool:
        return True

    async def wait(self, until: float) -> bool:
        raise NotImplementedError


def tickets(line: Line, end: End, count: int) -> Timing:
    state, nobody = policy(line, count).new_state(), Nobody()
    fill(state, count, 0.0)
    line_up = [Ticket(nobody, number / count) for number in range(count)]
    measure.settle()
    return slot_tickets(state, end, line_up) if line == "limit" else start_tickets(state, end, line_up)


def slot_tickets(slots: Slots, end: End, line_up: list[Ticket]) -> Timing:
    begin = time.perf_counter()
    for ticket in line_up:
        with slots._lock:
            slots._queue.push(ticket)
    middle = time.perf_counter()
    with Collecting() as collecting:
        for ticket in line_up:
            if end == "cancelled":
                slots._leave(ticket)
            else:
                slots.release()
        over = time.perf_counter()
    assert not slots.waiting
    return Timing(middle - begin, over - middle, collecting.seconds)


def start_tickets(state: ThrottleState, end: End, line_up: list[Ticket]) -> Timing:
    begin = time.perf_counter()
    for ticket in line_up:
        state.join(ticket, 1.0, PATIENCE)
    middle = time.perf_counter()
    with Collecting() as collecting:
        for ticket in line_up:
            if end == "cancelled":
                wake(state, state.leave(ticket))
            else:
                at, head = state.advance(ticket, 2 * PER)
                assert at is None
                wake(state, head)
        over = time.perf_counter()
    assert not state._queue.waiting
    return Timing(middle - begin, over - middle, collecting.seconds)


# --- Calls ---


class Parked(httpx.AsyncBaseTransport):
    """Answers nothing. Tells when it has so many requests."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.all_here = asyncio.Event()
        self.never = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.left -= 1
        if not self.left:
            self.all_here.set()
        await self.never.wait()
        raise NotImplementedError


class Waiting:
    """Calls that wait in a line. A context, which ends with them."""

    def __init__(self, line: Line, count: int) -> None:
        self.parked = Parked(count)
        self.stack = seawall.Stack(seawall.Timeout(PATIENCE), policy(line, count))
        self.transport = seawall.httpx.AsyncTransport(self.stack, transport=self.parked)
        self.transport.core.call(request(), ASYNCIO)  # makes the state
        kinds = Slots, ThrottleState
        (self.state,) = (c.state for c in self.transport.state._all_cells() if isinstance(c.state, kinds))
        fill(self.state, count, ASYNCIO.now())
        self.tasks: list[asyncio.Task[Any]] = []

    async def send(self) -> None:
        await self.transport.handle_async_request(request())

    def in_line(self) -> int:
        return self.state.waiting if isinstance(self.state, Slots) else self.state._queue.waiting

    async def release(self) -> None:
        if isinstance(self.state, Slots):
            for _ in self.tasks:
                self.state.release()
        else:  # the window has passed
            self.state.engine = policy("throttle", len(self.tasks)).new_state().engine
            wake(self.state, self.state._queue.peek())
        await self.parked.all_here.wait()


class AtFutures:
    """Tasks that wait at futures of their own, with a request each."""

    def __init__(self, count: int) -> None:
        self.futures: list[asyncio.Future[None]] = []
        self.parked = Parked(count)
        self.tasks: list[asyncio.Task[Any]] = []

    async def send(self) -> None:
        sent = request()
        future = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        await future
        await self.parked.handle_async_request(sent)

    def in_line(self) -> int:
        return sum(not task.done() for task in self.tasks) if self.futures else 0

    async def release(self) -> None:
        for future in self.futures:
            future.set_result(None)
        await self.parked.all_here.wait()


def request() -> httpx.Request:
    return httpx.Request("GET", URL)


async def line_up(waiting: Waiting | AtFutures, count: int) -> None:
    loop = asyncio.get_running_loop()
    waiting.tasks += [loop.create_task(waiting.send()) for _ in range(count)]
    while waiting.in_line() < count:
        await asyncio.sleep(0)


async def cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)


async def in_tasks(open_line: Callable[[], Waiting | AtFutures], end: End, count: int) -> Timing:
    waiting = open_line()
    measure.settle()
    begin = time.perf_counter()
    await line_up(waiting, count)
    middle = time.perf_counter()
    with Collecting() as collecting:
        if end == "cancelled":
            await cancel(waiting.tasks)
        else:
            await waiting.release()
        over = time.perf_counter()
    assert end == "released" or waiting.in_line() == 0
    await cancel(waiting.tasks)
    return Timing(middle - begin, over - middle, collecting.seconds)


# --- All of it ---


def once(way: str, line: Line, end: End, count: int) -> Timing:
    if way == "tickets":
        return tickets(line, end, count)
    open_line = partial(AtFutures, count) if way == "futures" else partial(Waiting, line, count)
    return asyncio.run(in_tasks(open_line, end, count))


def timed(
    ways: tuple[str, ...], line: Line, end: End, counts: tuple[int, ...], rounds: int
) -> dict[str, dict[int, list[Timing]]]:
    """The timings of each way and count, round by round. The first, short ones are not kept."""
    for way in ways:
        once(way, line, end, min(100, *counts))
    kept: dict[str, dict[int, list[Timing]]] = {way: {count: [] for count in counts} for way in ways}
    for way, count in measure.interleaved(tuple(product(ways, counts)), rounds):
        kept[way][count].append(once(way, line, end, count))
    return kept


def added(calls: dict[int, list[Timing]], futures: dict[int, list[Timing]]) -> dict[int, list[Timing]]:
    """What calls take beyond what asyncio takes of them, round by round."""
    return {
        count: [
            Timing(*(more - less for more, less in zip(one, other, strict=True)))
            for one, other in zip(calls[count], futures[count], strict=True)
        ]
        for count in calls
    }


def doublings(own: dict[int, list[float]]) -> list[tuple[int, float]]:
    """How each doubling of the count made the time grow: medians of the ratios within a round."""
    return [
        (more, Spread.of(b / a for a, b in zip(own[less], own[more], strict=True)).median)
        for less, more in pairwise(own)
    ]


def measured(context: SpawnContext, scale: Scale) -> list[Section]:
    sections = []
    for line, end in product(LINES, ENDS):
        section = Section(
            f"Calls in the line of a {line}, {end} in one go",
            ("what", "calls", "lined up, ms", "gone, ms", "quartiles", "collecting, ms", "own µs a call", "growth"),
        )
        found = apart(context, timed, ("tickets",), line, end, scale.lines, scale.rounds)
        found |= apart(context, timed, ("calls", "futures"), line, end, scale.lines, scale.rounds)
        found["added"] = added(found["calls"], found["futures"])
        for way, timings in found.items():
            growth = dict(doublings({count: [timing.own for timing in runs] for count, runs in timings.items()}))
            for count, runs in timings.items():
                section.rows.append([way, f"{count:,}", *cells(count, runs, growth.get(count))])
                figures = [timing._asdict() for timing in runs]
                section.figures.append({"what": way, "line": line, "end": end, "calls": count, "timings": figures})
            if way == "futures":
                continue
            name = f"{line}, {end}, {way}"
            runs = timings.get(JUDGED_AT, [])
            judged = Spread.of(timing.gone * 1e3 for timing in runs).median if runs else None
            section.bars.append(Bar(f"{name}: ms for {JUDGED_AT:,}", judged, limit=60))
            if way == "added":
                own = Spread.of(timing.own * 1e3 for timing in runs).median if runs else None
                section.bars.append(Bar(f"{name}, not collecting: ms for {JUDGED_AT:,}", own, limit=60))
            else:
                section.bars.append(Bar(f"{name}: worst growth per doubling", max(growth.values()), limit=2.2))
        sections.append(section)
    return sections


def cells(count: int, runs: list[Timing], growth: float | None) -> list[str]:
    lined_up, gone, collecting, own = (
        Spread.of(seconds * 1e3 for seconds in column)
        for column in zip(*[(*timing, timing.own) for timing in runs], strict=True)
    )
    quartiles = f"{gone.low:.1f} to {gone.high:.1f}"
    times = (f"{lined_up.median:.1f}", f"{gone.median:.1f}", quartiles, f"{collecting.median:.1f}")
    return [*times, f"{own.median / count * 1e3:.2f}", "" if growth is None else f"{growth:.2f}"]
