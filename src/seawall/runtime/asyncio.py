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
ROOM = 1_000
"""So many deadlines a lane keeps, at the least, before it looks for those that are over."""


def running_loop() -> asyncio.AbstractEventLoop:
    """The loop that runs now, or an error that says what would have to."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "Seawall's async clients run under asyncio or trio (or a seawall.testing.VirtualRuntime); none is running"
        ) from None


class _Timed:
    """What fires at its deadline, unless it is over by then."""

    __slots__ = ("deadline", "handle", "live")
    deadline: float
    live: Any  # None once it is over
    handle: asyncio.TimerHandle | None  # where it has a timer of its own

    def begin(self, deadline: float, live: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.deadline, self.live, self.handle = deadline, live, None
        for lane in _lanes.lanes if _lanes.loop is loop else _lanes.of(loop):
            if lane.take(self, loop):
                return
        self.handle = loop.call_later(max(0.0, deadline - time.monotonic()), self.fire)

    def end(self) -> None:
        self.live = None
        if self.handle is not None:
            self.handle.cancel()

    def fire(self) -> None:
        raise NotImplementedError


def _resolve(future: "asyncio.Future[bool]", woken: bool) -> None:
    if not future.done():
        future.set_result(woken)


class _Alarm(_Timed):
    """Ends the wait at a future with False."""

    __slots__ = ()

    def fire(self) -> None:
        if self.live is not None:
            _resolve(self.live, False)


class AsyncioWaiter:
    """A future that any thread may resolve."""

    __slots__ = ("_future", "_loop")

    def __init__(self) -> None:
        self._loop = running_loop()
        self._future: asyncio.Future[bool] = self._loop.create_future()

    def wake(self) -> bool:
        if asyncio._get_running_loop() is self._loop:
            _resolve(self._future, True)
            return True
        try:
            self._loop.call_soon_threadsafe(_resolve, self._future, True)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            return False
        return True

    async def wait(self, until: float) -> bool:
        if until == INF:
            return await self._future
        alarm = _Alarm()  # not this object: a lane may keep what is over, and with it the loop would be kept
        alarm.begin(until, self._future, self._loop)
        try:
            return await self._future
        finally:
            alarm.end()


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


class _Timer(_Timed):
    """Cancels the current task at a deadline, and tells our cancellation from anybody else's.

    Whatever comes out of the awaited code, a cancellation that this timer asked for must be taken back
    (`uncancel`), or the task stays marked as cancelled; it is a timeout of ours only if no other
    cancellation is pending. Caller and timer may both cancel within one tick of the loop.
    """

    __slots__ = ("_entry", "_ours", "fired")

    def __init__(self, deadline: float) -> None:
        loop = running_loop()
        task = asyncio.current_task(loop)
        if task is None:  # pragma: no cover - httpx itself cannot run outside of a task
            raise RuntimeError("a seawall deadline needs to run inside an asyncio task")
        self.fired = False
        self._entry = task.cancelling()
        self._ours: bool | None = None
        self.begin(deadline, task, loop)

    def fire(self) -> None:
        if self.live is not None:
            self.fired = True
            self.live.cancel()

    def was_ours(self) -> bool:
        """Take our cancellation back. True if it was the only one."""
        if self._ours is None:
            assert self.live is not None
            self._ours = self.live.uncancel() <= self._entry
        return self._ours

    def disarm(self) -> None:
        if self.fired:
            self.was_ours()
        self.end()


class _Lane:
    """Deadlines of one loop that come in the order in which they fall due, so that one timer serves them all.

    A timer of the loop's own for each, set and cancelled, costs three times as much.
    """

    def __init__(self) -> None:
        self._waiting: deque[_Timed] = deque()
        self._room = ROOM  # for so many before those that are over, behind one that is not, are looked for
        self._wakes = INF  # when the loop's timer rings

    def take(self, timed: _Timed, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it comes in order here; then it fires at its deadline."""
        waiting, deadline = self._waiting, timed.deadline
        while waiting and waiting[0].live is None:
            waiting.popleft()
        if self._wakes == INF:
            self._ring(deadline, loop)
        elif deadline < self._wakes or (waiting and deadline < waiting[-1].deadline):
            return False
        waiting.append(timed)
        if len(waiting) > self._room:
            self._waiting = deque(one for one in waiting if one.live is not None)
            self._room = max(ROOM, 2 * len(self._waiting))
        return True

    def _ring(self, at: float, loop: asyncio.AbstractEventLoop) -> None:
        self._wakes = at
        loop.call_later(max(0.0, at - time.monotonic()), self._rung, loop)

    def _rung(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, now = self._waiting, time.monotonic()
        while waiting and (waiting[0].live is None or waiting[0].deadline <= now):
            waiting.popleft().fire()
        if waiting:
            self._ring(waiting[0].deadline, loop)
        else:
            self._wakes = INF


class _Lanes(threading.local):
    """The lanes of each loop, and at hand those of the one which runs in this thread.

    There are several, since what waits in a line has more time than an attempt: each takes the first in which it comes
    in order, so that the two kinds part by themselves.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.lanes: tuple[_Lane, ...] = ()
        self._all: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[_Lane, ...]] = weakref.WeakKeyDictionary()

    def of(self, loop: asyncio.AbstractEventLoop) -> tuple[_Lane, ...]:
        """Turn to a loop."""
        lanes = self._all.setdefault(loop, (_Lane(), _Lane(), _Lane()))
        self.loop, self.lanes = loop, lanes
        return lanes


_lanes = _Lanes()
ASYNCIO = AsyncioRuntime()
