"""The trio runtime: deadlines are cancel scopes, waiters are events.

A cancel scope must be opened before what it bounds takes its first step, which may open one of its own: scopes nest.
So sending is not stepped by hand here. A piece of a body is, since most pieces are here already: if it must be waited
for after all, a scope stands around each of its waits, within whatever is open by then. And a cancelled task is
cancelled anew at each checkpoint, so that closing what is busy, which must come to its end, is shielded.
"""

import math
import random
import time
import types
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

import trio

from .._errors import Expired
from ._awaiting import CLOSING, Awaiting, Making

T = TypeVar("T")


def scope(until: float, *, shield: bool = False) -> trio.CancelScope:
    """A cancel scope with a deadline on the clock that all runtimes share; trio's own starts somewhere else."""
    left = math.inf if until == math.inf else until - time.monotonic()
    return trio.CancelScope(deadline=trio.current_time() + left, shield=shield)


class TrioWaiter:
    """An event that any thread may set."""

    __slots__ = ("_event", "_token")

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._event = trio.Event()

    def wake(self) -> bool:
        # a collector may call this amid trio's own work, when only `run_sync_soon` may be called
        if trio.lowlevel.in_trio_task() and trio.lowlevel.current_trio_token() is self._token:
            self._event.set()
            return True
        try:
            self._token.run_sync_soon(self._event.set)
        except trio.RunFinishedError:  # nobody waits there any more
            return False
        return True

    async def wait(self, until: float) -> bool:
        if until == math.inf:
            await self._event.wait()
        else:
            with scope(until):
                await self._event.wait()
        return self._event.is_set()


class Home:
    """One run of trio, in which connections live."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()

    def is_closed(self) -> bool:
        """Whether that run is over."""
        try:
            self._token.run_sync_soon(_nothing, idempotent=True)
        except trio.RunFinishedError:
            return True
        return False

    def __repr__(self) -> str:
        return f"<trio run {id(self._token):#x}>"


def _nothing() -> None: ...


_home: "trio.lowlevel.RunVar[Home]" = trio.lowlevel.RunVar("seawall home")


class TrioRuntime(Awaiting):
    """Everything a policy may not do itself, on whatever run of trio this is called in."""

    __slots__ = ()
    name = "trio"
    random = staticmethod(random.random)
    waiter = TrioWaiter
    sleep = staticmethod(trio.sleep)

    def home(self) -> Home:
        try:
            return _home.get()
        except LookupError:
            home = Home()
            _home.set(home)
            return home

    async def within(self, awaitable: Awaitable[T], deadline: float) -> T:
        if deadline == math.inf:
            return await awaitable
        with scope(deadline):
            return await awaitable
        raise Expired

    def rest(self, steps: Any, suspended: Any, deadline: float) -> Any:
        return _rest(steps, suspended, deadline)

    def send(self, transport: Any, request: Any, deadline: float, line: Making | None) -> Any:
        if line is not None and line.stream is None:
            return self._connect_and_send(transport, request, deadline, line)
        return self.within(transport.handle_async_request(request), deadline)

    async def whole(self, steps: Any) -> Any:
        with trio.CancelScope(shield=True):  # httpx's write timeout is inside, and bounds it
            return await steps

    async def close(self, resource: Any) -> None:
        with scope(time.monotonic() + CLOSING, shield=True):
            await resource.aclose()

    hang_up = close

    def __repr__(self) -> str:
        return "<seawall trio runtime>"


@types.coroutine
def _rest(steps: Any, suspended: Any, deadline: float) -> Generator[Any, Any, Any]:
    """Await the rest of something that was stepped once, with a scope around each of its waits.

    trio resumes a wait with its outcome, which `steps` itself then returns or raises. When a wait was cut short the
    rest has some time to end in: a scope of ours breaks through the shields of theirs.
    """
    expired = False
    while True:
        with scope(deadline) as waiting:
            outcome = yield suspended
        if waiting.cancel_called and isinstance(getattr(outcome, "error", None), trio.Cancelled):
            expired, deadline = True, time.monotonic() + CLOSING
        try:
            suspended = steps.send(outcome)
        except StopIteration as done:
            return done.value
        except trio.Cancelled:
            if not expired or trio.current_effective_deadline() == -math.inf:
                raise  # it was the caller's own
            break
    raise Expired  # out here, or it would have the cancellation as its context
