"""The asyncio runtime: awaits the chain, interrupts at deadlines, wakes waiters across threads.

It has no state of its own (the loop and the task are looked up where they are needed), so one instance
serves every loop of a process.
"""

import asyncio
import random
import time
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
            "Seawall's async clients run under asyncio (or a seawall.testing.VirtualRuntime); no loop is running"
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

    name = "asyncio"
    now = staticmethod(time.monotonic)
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

    __slots__ = ("_entry", "_handle", "_ours", "_task", "fired")

    def __init__(self, deadline: float) -> None:
        loop = running_loop()
        task = asyncio.current_task(loop)
        if task is None:  # pragma: no cover - httpx itself cannot run outside of a task
            raise RuntimeError("a seawall deadline needs to run inside an asyncio task")
        self._task = task
        self._entry = task.cancelling()
        self.fired = False
        self._ours: bool | None = None
        self._handle = loop.call_later(max(0.0, deadline - time.monotonic()), self._fire)

    def _fire(self) -> None:
        self.fired = True
        self._task.cancel()

    def was_ours(self) -> bool:
        """Take our cancellation back. True if it was the only one."""
        if self._ours is None:
            self._ours = self._task.uncancel() <= self._entry
        return self._ours

    def disarm(self) -> None:
        self._handle.cancel()
        if self.fired:
            self.was_ours()


ASYNCIO = AsyncioRuntime()
