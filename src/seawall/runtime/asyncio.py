"""The asyncio runtime: awaits the chain, interrupts at deadlines, wakes waiters across threads.

It has no state of its own (the loop and the task are looked up where they are needed), so one instance
serves every loop of a process.
"""

import asyncio
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Hashable
from typing import Any

from .._errors import Expired
from ._awaiting import Awaiting, resume

INF = float("inf")


def running_loop() -> asyncio.AbstractEventLoop:
    """The loop that runs now, or an error that says what would have to."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "Seawall's async clients run under asyncio or trio (or a seawall.testing.VirtualRuntime); none is running"
        ) from None


class AsyncioWaiter:
    """A future that any thread may resolve."""

    __slots__ = ("_future", "_loop")

    def __init__(self) -> None:
        self._loop = running_loop()
        self._future: asyncio.Future[bool] = self._loop.create_future()

    def wake(self) -> bool:
        if asyncio._get_running_loop() is self._loop:
            self._resolve(True)
            return True
        try:
            self._loop.call_soon_threadsafe(self._resolve, True)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            return False
        return True

    async def wait(self, until: float) -> bool:
        if until == INF:
            return await self._future
        timer = self._loop.call_later(max(0.0, until - time.monotonic()), self._resolve, False)
        try:
            return await self._future
        finally:
            timer.cancel()

    def _resolve(self, woken: bool) -> None:
        if not self._future.done():
            self._future.set_result(woken)


class AsyncioRuntime(Awaiting):
    """Everything a policy may not do itself, on whatever asyncio loop is running."""

    __slots__ = ()
    name = "asyncio"
    random = staticmethod(random.random)
    waiter = AsyncioWaiter

    def home(self) -> Hashable:
        return running_loop()

    async def sleep(self, seconds: float) -> None:
        running_loop()
        await asyncio.sleep(seconds)

    async def rest(self, steps: Any, suspended: Any, deadline: float) -> Any:
        if deadline == INF:
            return await resume(steps, suspended)
        timer = _Timer(deadline)
        try:
            return await resume(steps, suspended)
        except BaseException as error:
            if timer.fired and timer.was_ours() and isinstance(error, asyncio.CancelledError):
                raise Expired from error
            raise
        finally:
            timer.disarm()

    def __repr__(self) -> str:
        return "<seawall asyncio runtime>"


class _Timer:
    """Cancels the current task at a deadline, and tells our cancellation from anybody else's.

    Whatever comes out of the awaited code, a cancellation that this timer asked for must be taken back
    (`uncancel`), or the task stays marked as cancelled; it is a timeout of ours only if no other
    cancellation is pending. Caller and timer may both cancel within one tick of the loop.
    """

    __slots__ = ("_entry", "_ours", "deadline", "fired", "handle", "task")

    def __init__(self, deadline: float) -> None:
        loop = running_loop()
        task = asyncio.current_task(loop)
        if task is None:  # pragma: no cover - httpx itself cannot run outside of a task
            raise RuntimeError("a seawall deadline needs to run inside an asyncio task")
        self.deadline = deadline
        self.task: asyncio.Task[Any] | None = task  # None once it is over
        self.handle: asyncio.TimerHandle | None = None
        self.fired = False
        self._entry = task.cancelling()
        self._ours: bool | None = None
        (_lanes.lane if _lanes.loop is loop else _lanes.of(loop)).add(self, loop)

    def fire(self) -> None:
        if self.task is not None:
            self.fired = True
            self.task.cancel()

    def was_ours(self) -> bool:
        """Take our cancellation back. True if it was the only one."""
        if self._ours is None:
            assert self.task is not None
            self._ours = self.task.uncancel() <= self._entry
        return self._ours

    def disarm(self) -> None:
        if self.handle is not None:
            self.handle.cancel()
        if self.fired:
            self.was_ours()
        self.task = None


class _Lane:
    """The deadlines of one loop. They mostly come in the order in which they fall due, so one timer serves them all.

    A timer of the loop's own for each, set and cancelled, costs three times as much.
    """

    def __init__(self) -> None:
        self._timers: deque[_Timer] = deque()
        self._wakes = INF  # when the loop's timer rings

    def add(self, timer: _Timer, loop: asyncio.AbstractEventLoop) -> None:
        """Have it fire at its deadline, unless it is over by then."""
        timers, deadline = self._timers, timer.deadline
        while timers and timers[0].task is None:
            timers.popleft()
        if self._wakes == INF:
            self._ring(deadline, loop)
        elif deadline < self._wakes or (timers and deadline < timers[-1].deadline):  # out of order
            timer.handle = loop.call_later(max(0.0, deadline - time.monotonic()), timer.fire)
            return
        timers.append(timer)

    def _ring(self, at: float, loop: asyncio.AbstractEventLoop) -> None:
        self._wakes = at
        loop.call_later(max(0.0, at - time.monotonic()), self._rung, loop)

    def _rung(self, loop: asyncio.AbstractEventLoop) -> None:
        timers, now = self._timers, time.monotonic()
        while timers and (timers[0].task is None or timers[0].deadline <= now):
            timers.popleft().fire()
        if timers:
            self._ring(timers[0].deadline, loop)
        else:
            self._wakes = INF


class _Lanes(threading.local):
    """The lane of each loop, and at hand that of the one which runs in this thread."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.lane = _Lane()
        self._all: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = weakref.WeakKeyDictionary()

    def of(self, loop: asyncio.AbstractEventLoop) -> _Lane:
        """Turn to a loop."""
        self.loop, self.lane = loop, self._all.setdefault(loop, _Lane())
        return self.lane


_lanes = _Lanes()
ASYNCIO = AsyncioRuntime()
