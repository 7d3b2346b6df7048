"""Lets a burst of requests start over several turns of asyncio's event loop."""

import asyncio
import threading
from collections import deque

BATCH = 32
"""How many requests may start in one turn of the event loop: some 3 ms of work."""


class Turns(threading.local):
    """Who of a burst may start in this turn of the event loop; first come, first served.

    Thousands of tasks started together would each build a request before the loop comes round to any I/O: the first
    answer of 5,000 then waits for half a second, and every collection of garbage walks through all that they hold. So
    at most BATCH start in one turn, and while `crowd` of them are under way already, one. A turn ends however slow the
    servers are, so this delays a start by work of this process only, never by a wait for them.

    What it knows is kept per thread, since a client may be used from several loops at once, but never two in a thread.
    """

    def __init__(self, crowd: float) -> None:
        self._crowd = crowd
        self._begin(None)

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._under_way = 0
        self._started = 0
        self._counting = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Wait for a turn, if that is needed. `leave` when the request is over."""
        loop = asyncio._get_running_loop()
        if loop is not self._loop:
            self._begin(loop)
        if loop is not None:
            crowded = self._under_way >= self._crowd
            full = bool(self._waiting) or self._started >= (1 if crowded else BATCH)
            if not full:
                self._started += 1
            if not self._counting and (full or crowded or self._started >= BATCH // 4):
                self._counting = True  # few starts may well be many turns' together: no matter
                loop.call_soon(self._turn)
            if full:
                waiting = loop.create_future()
                self._waiting.append(waiting)
                await waiting
        self._under_way += 1

    def leave(self) -> None:
        """The request is over."""
        self._under_way -= 1

    def _turn(self) -> None:
        """A turn of the loop is over."""
        self._started = 0
        quota = 1 if self._under_way >= self._crowd else BATCH
        waiting = self._waiting
        while waiting and self._started < quota:
            start = waiting.popleft()
            if not start.done():  # done: its task was cancelled
                start.set_result(None)
                self._started += 1
        self._counting = bool(self._started)
        if self._counting:
            asyncio.get_running_loop().call_soon(self._turn)
