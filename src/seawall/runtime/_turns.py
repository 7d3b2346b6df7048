"""Lets a burst of requests start over several turns of asyncio's event loop."""

import asyncio
import threading
from collections import deque

from .._fork import tell_of_forks

BATCH = 32
"""How many requests may start in one turn of the event loop: some 3 ms of work."""


class Turns:
    """Who of a burst may start in this turn of the event loop; first come, first served.

    Thousands of tasks started together would each build a request before the loop comes round to any I/O: the first
    answer of 5,000 then waits for half a second, and every collection of garbage walks through all that they hold. So
    at most BATCH start in one turn, and while `crowd` of them are under way already, one. A turn ends however slow the
    servers are, so this delays a start by work of this process only, never by a wait for them.
    """

    def __init__(self, crowd: float) -> None:
        self._crowd = crowd
        self._begin(None)
        tell_of_forks(self)

    def after_fork(self) -> None:
        """A loop that ran here at a fork does not run in the child, though it still says so."""
        self._begin(None)

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self.under_way = 0  # requests that have had their turn and are not over
        self._started = 0
        self._counting = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def enter(self) -> "asyncio.Future[None] | None":
        """Take a turn; or return what to wait for. The caller keeps `under_way`."""
        loop = self._loop
        if loop is None or not loop.is_running():  # not this one any more: only one runs in a thread
            loop = asyncio._get_running_loop()
            self._begin(loop)
            if loop is None:
                return None
        crowded = self.under_way >= self._crowd
        full = bool(self._waiting) or self._started >= (1 if crowded else BATCH)
        if not full:
            self._started += 1
        if not self._counting and (full or crowded or self._started >= BATCH // 4):
            self._counting = True  # few starts may well be many turns' together: no matter
            loop.call_soon(self._turn)
        if not full:
            return None
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        return turn

    def _turn(self) -> None:
        """A turn of the loop is over."""
        self._started = 0
        quota = 1 if self.under_way >= self._crowd else BATCH
        waiting = self._waiting
        while waiting and self._started < quota:
            turn = waiting.popleft()
            if not turn.done():  # done: its task was cancelled
                turn.set_result(None)
                self._started += 1
        self._counting = bool(self._started)
        if self._counting:
            asyncio.get_running_loop().call_soon(self._turn)


class Burst(threading.local):
    """The turns of one client, in each thread its own: it may be used from several loops at once, never two in one."""

    def __init__(self, crowd: float) -> None:
        self.turns = Turns(crowd)
