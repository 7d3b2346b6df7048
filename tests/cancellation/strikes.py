"""Strikes a coroutine at its n-th suspension: one plan, carried out on a virtual clock, on asyncio or in trio.

A coroutine suspends by yielding, through every frame, to whatever drives it. `Steps` stands at the outermost frame,
counts these yields and hands them on, so all drivers see the same points. A strike hits in one of two moments:

- "waiting": while the coroutine waits, after whatever was ready to run by then;
- "woken": when what it waited for has come (a slot, a turn, a deadline of ours), before it could take a step.

What hits is a cancellation, a timeout, an exception, or the collector: then the coroutine is thrown away where it
waits, by a thread that holds every lock there is.
"""

import asyncio
import gc
import random
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

import outcome
import pytest
import trio
import virtual_loop
from trio.testing import MockClock

from seawall._transport import _trio
from seawall.testing import Cancelled, VirtualRuntime

When = Literal["waiting", "woken"]
STRUCK = "struck"
"""The outcome of a call out of which its strike came unchanged."""


class Fault(Exception):
    """An ordinary exception, thrown into whatever waits."""


@dataclass
class Strike:
    """What hits a call, when, and at which of its suspensions (0: none)."""

    how: str
    when: When
    number: int = 0
    suspensions: int = 0
    hit: bool = False
    locked: Callable[[], AbstractContextManager[None]] = nullcontext
    """Holds every lock of Seawall's, as whoever is interrupted by a collector may."""
    complaints: list[BaseException] = field(default_factory=list)
    """What came of throwing it away."""
    unbalanced: int = 0
    """Cancellations of its task that nobody took back, or that somebody took back too often."""

    def due(self) -> bool:
        """Count a suspension. Whether it is the one."""
        self.suspensions += 1
        return self.suspensions == self.number


class Steps:
    """A coroutine that tells what it suspends on, before it does."""

    def __init__(self, coro: Coroutine[Any, Any, Any], told: Callable[[Any], None]) -> None:
        self.coro = coro
        self.told = told
        self.collected = False

    def collect(self, strike: Strike) -> None:
        """Throw it away, as a collector would."""
        self.collected = True
        try:
            with strike.locked():
                self.coro.close()
                gc.collect()  # what goes with it
        except BaseException as error:  # which a collector only prints
            strike.complaints.append(error)

    def __await__(self) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        sent: Any = None
        while not self.collected:
            try:
                suspended = self.coro.send(sent) if error is None else self.coro.throw(error)
            except StopIteration as done:
                return done.value
            self.told(suspended)
            error = None
            try:
                sent = yield suspended
            except BaseException as raised:
                error = raised
        assert error is not None
        raise error


class Watched(VirtualRuntime):
    """A virtual runtime that strikes a task at the moment at which it is woken."""

    park: Any = None
    hit: Callable[[], None]

    def resume(self, park: Any) -> None:
        super().resume(park)
        if park is self.park:
            self.park = None
            self.hit()


class Virtual:
    """Plays in virtual time."""

    hows = ("cancel", "fault", "collected")

    def __init__(self) -> None:
        self.runtime = Watched()
        self.now, self.sleep, self.spawn = self.runtime.now, self.runtime.sleep, self.runtime.spawn

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        return self.runtime.run(main)

    def strike(self, coro: Coroutine[Any, Any, Any], strike: Strike) -> Any:
        """Start a coroutine that is to be struck. Awaits to what it returned, or raised, or STRUCK."""
        error = Fault() if strike.how == "fault" else Cancelled()

        def hit() -> None:
            strike.hit = True
            if strike.how == "collected":
                steps.collect(strike)
            task.interrupt(error)

        async def soon() -> None:
            hit()

        def told(park: Any) -> None:
            if not strike.due():
                return
            if strike.when == "waiting":
                self.spawn(soon())
            else:
                self.runtime.park, self.runtime.hit = park, hit

        async def victim() -> Any:
            try:
                return await steps
            except BaseException as raised:
                if raised is error:
                    return STRUCK
                if isinstance(raised, Exception):
                    return raised
                raise

        steps = Steps(coro, told)
        task = self.spawn(victim(), "victim")
        return task

    def left(self) -> list[Any]:
        """What still runs besides the current task: tasks and timers."""
        tasks = [task for task in self.runtime._alive if task is not self.runtime._current]
        return tasks + [timer for _, _, timer in self.runtime._timers if timer.callback is not None]


class Asyncio:
    """Plays on a real event loop, whose clock jumps."""

    hows = ("cancel", "timeout")

    def __init__(self) -> None:
        self.complaints: list[str] = []

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def spawn(self, coro: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.ensure_future(coro)

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        async def listening() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: self.complaints.append(context["message"]))
            return await main

        random.seed(0)  # the coin of asyncio's runtime
        result = virtual_loop.run(listening())
        assert not self.complaints
        return result

    def strike(self, coro: Coroutine[Any, Any, Any], strike: Strike) -> Any:
        """As on the virtual clock. "timeout" is an `asyncio.timeout` around the call."""
        scope = asyncio.timeout(None)

        def hit(_: Any = None) -> None:
            if task.done():
                return
            strike.hit = True
            if strike.how == "cancel":
                task.cancel()
            else:
                scope._on_timeout()  # rescheduled, it would only expire after the step that it must forestall

        def told(future: Any) -> None:
            if not strike.due():
                return
            if strike.when == "waiting" or future is None:  # None: a bare turn of the loop
                asyncio.get_running_loop().call_soon(hit)
            else:
                future.add_done_callback(hit)  # ahead of the task's own callback, which is added after this

        async def victim() -> Any:
            try:
                async with scope:
                    return await Steps(coro, told)
            except asyncio.CancelledError:
                if not (strike.hit and strike.how == "cancel"):
                    raise
                task.uncancel()
                return STRUCK
            except TimeoutError as error:
                return STRUCK if scope.expired() else error
            except Exception as error:
                return error
            finally:
                strike.unbalanced = task.cancelling()

        task = asyncio.ensure_future(victim())
        return task

    def left(self) -> list[Any]:
        """What still runs besides the current task: tasks, and timers but for the one of our deadlines' lane."""
        timers = (handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled())
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        return tasks + [timer for timer in timers if timer._callback.__qualname__ != "_Lane._rung"]


class Job:
    """A task of trio's. Await it for its result."""

    def __init__(self, coro: Coroutine[Any, Any, Any]) -> None:
        self.coro = coro
        self.done = trio.Event()
        self.outcome: outcome.Outcome[Any] | None = None

    async def run(self) -> None:
        self.outcome = await outcome.acapture(lambda: self.coro)
        self.done.set()

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from self.done.wait().__await__()
        assert self.outcome is not None
        return self.outcome.unwrap()


class Watching(trio.abc.Instrument):
    """Strikes a task at the moment at which it is woken."""

    task: Any = None
    hit: Callable[[], None]

    def task_scheduled(self, task: Any) -> None:
        if task is self.task:
            self.task = None
            self.hit()


class InOrder:
    """In the place of the coin with which trio shuffles what is ready: that runs as it was started."""

    def shuffle(self, batch: list[Any]) -> None:
        pass


class Trio:
    """Plays in trio, whose clock jumps. What is cancelled there stays so: each checkpoint tells the task anew."""

    hows = ("cancel",)

    def __init__(self) -> None:
        self.clock = MockClock(autojump_threshold=0)
        self.now, self.sleep = self.clock.current_time, trio.sleep
        self.watching = Watching()

    def spawn(self, coro: Coroutine[Any, Any, Any]) -> Job:
        job = Job(coro)
        self.nursery.start_soon(job.run)
        return job

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        async def playing() -> Any:
            async with trio.open_nursery() as self.nursery:
                result = await outcome.acapture(lambda: main)
                self.nursery.cancel_scope.cancel()
            return result.unwrap()  # out here, where no group wraps what it raises

        random.seed(0)  # the coin of trio's runtime
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING", True)
            patch.setattr("trio._core._run._r", InOrder())
            patch.setattr("seawall.runtime.trio.time", SimpleNamespace(monotonic=self.now))
            patch.setattr(_trio(), "now", self.now)
            return trio.run(playing, clock=self.clock, instruments=[self.watching])

    def strike(self, coro: Coroutine[Any, Any, Any], strike: Strike) -> Job:
        """As on the virtual clock."""
        scope = trio.CancelScope()

        def hit() -> None:
            strike.hit = True
            scope.cancel()

        async def soon() -> None:
            hit()

        def told(_: Any) -> None:
            if not strike.due():
                return
            if strike.when == "waiting":
                self.spawn(soon())
            else:
                self.watching.task, self.watching.hit = trio.lowlevel.current_task(), hit

        async def victim() -> Any:
            with scope:
                try:
                    return await Steps(coro, told)
                except Exception as error:
                    return error
            return STRUCK

        return self.spawn(victim())

    def left(self) -> list[Any]:
        """What still runs besides the current task: tasks and deadlines."""
        statistics = trio.lowlevel.current_statistics()
        deadlines = [statistics.seconds_to_next_deadline] if statistics.seconds_to_next_deadline < float("inf") else []
        return [*self.nursery.child_tasks, *deadlines]


DRIVERS = {"virtual": Virtual, "asyncio": Asyncio, "trio": Trio}
