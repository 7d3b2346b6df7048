"""A number of slots and the line before them: the state of a concurrency limit, and of a pool's permits.

Invariant: no call waits while a slot is free. A slot that is given back while somebody waits is handed to the next in
line, never put with the free ones and raced for.

While nobody waits, slots are taken from the `free` ones and put back there without a lock, by one atomic `pop` or
`append`. `_lock` guards the queue, and how many slots there are by now (`_made`): a slot is made when it is first
needed, so that there may be any number. Who lines up looks at the free ones once more afterwards, and who has put one
back looks at the line, so that they cannot miss one another. Wakes are delivered outside the lock. A ticket's `state`
is the truth about a grant: a waiter that was cancelled, or whose circuit opened, just after it was granted passes the
slot on.
"""

import threading
from collections.abc import Hashable
from typing import Any

from ._body import End
from ._call import INF, Call
from ._errors import QueueFull, WaitTooLong
from ._listeners import Listener
from ._queue import AGEING, Queue, Ticket


class Slots:
    """`limit` slots; at most `bound` calls in line (None: any number)."""

    def __init__(self, limit: float, bound: int | None = None) -> None:
        self.limit = limit
        self.bound = INF if bound is None else bound
        self.free: list[None] = []
        """The slots that were given back. `free.pop()` takes one; `IndexError`: ask `try_enter`."""
        self._made = 0
        self.key: Hashable = None
        """Whose slots these are, as rejections tell it."""
        self._queue = Queue()
        self._lock = threading.Lock()
        self._orphans: list[Ticket | None] = []  # calls thrown away in line; None: slots dropped while held

    def belong(self, label: Hashable, listeners: list[Listener]) -> None:
        """Whose slots these are."""
        self.key = label

    @property
    def in_use(self) -> int:
        """How many slots are taken."""
        return self._made - len(self.free)

    @property
    def waiting(self) -> int:
        """How many calls are in line."""
        return self._queue.waiting

    def try_enter(self) -> bool:
        """Take a free slot, if nobody is in line for it."""
        try:
            self.free.pop()
        except IndexError:
            with self._lock:
                taken = not self._queue.waiting and self._take()
            if self._orphans:
                self._drain()
            return taken
        return True

    def release(self, call: Call | None = None, end: End = "read", error: BaseException | None = None) -> None:
        """Give a slot back: to the next in line, or to the free ones."""
        if not self._queue.waiting:
            self.free.append(None)
            if not self._queue.waiting:
                return
            with self._lock:  # somebody has just lined up, and may have looked before it was there
                ticket = self._queue.pop() if self._queue.waiting and self._take() else None
        else:
            with self._lock:
                ticket = self._next()
        if ticket is not None:
            self._deliver(ticket)
        if self._orphans:
            self._drain()

    settle = release  # a slot that is held while a response's body is open

    def abandon(self) -> None:
        """Give a slot back from `__del__`, which may have interrupted a holder of the lock.

        Whoever holds the lock looks for orphans after letting go of it, so none is forgotten.
        """
        self._orphans.append(None)
        self._drain()

    async def enter(self, call: Call, until: float, *, owner: str, key: Hashable, flow: Hashable) -> None:
        """Wait in line for a slot, at most to time `until`."""
        runtime = call.runtime
        arrived = runtime.now()
        ticket = Ticket(runtime.waiter(), arrived - AGEING * call.options.priority, flow)
        granted = None
        with self._lock:
            waiting = self._queue.waiting
            taken = not waiting and self._take()
            if not taken and waiting < self.bound:
                self._queue.push(ticket)
                if self.free and self._take():  # put back meanwhile, by somebody who saw no line
                    granted = self._queue.pop()
        if granted is not None:
            self._deliver(granted)
        if self._orphans:
            self._drain()
        if taken:
            return
        if waiting >= self.bound:
            line = "1 call already waits" if waiting == 1 else f"{waiting} calls already wait"
            raise call.rejected(QueueFull, f"{owner}: {line} in line", key=key)
        try:
            await call.wait(ticket.waiter, until)
        except GeneratorExit:  # thrown away with its event loop: as `abandon`
            self._orphans.append(ticket)
            self._drain()
            raise
        except BaseException:
            if not self._leave(ticket):
                self.release()
            raise
        finally:
            call.trail.add_queued(runtime.now() - arrived)
        if self._leave(ticket):
            waited = runtime.now() - arrived
            raise call.rejected(WaitTooLong, f"{owner}: no slot within {waited:.3g} s of waiting in line", key=key)

    def _leave(self, ticket: Ticket) -> bool:
        """Leave the line. False if the ticket had been granted: its slot is the caller's."""
        with self._lock:
            if ticket.state == "waiting":
                self._queue.discard(ticket)
        if self._orphans:
            self._drain()
        return ticket.state == "gone"

    def _take(self) -> bool:
        """Under the lock: take a free slot, or make one."""
        try:
            self.free.pop()
        except IndexError:
            if self._made >= self.limit:
                return False
            self._made += 1
        return True

    def _next(self) -> Ticket | None:
        """Under the lock: one slot came free. Who gets it? None: nobody, it is free."""
        ticket = self._queue.pop()
        if ticket is None:
            self.free.append(None)
        return ticket

    def _deliver(self, ticket: Ticket | None) -> None:
        """Wake who was granted; what cannot be woken passes its slot on."""
        while ticket is not None and not ticket.waiter.wake():
            with self._lock:
                if ticket.state == "gone":  # thrown away since it was granted: its slot has been passed on
                    return
                ticket.state = "gone"  # should it ever be thrown away, it has nothing to give back
                ticket = self._next()

    def _drain(self) -> None:
        while self._orphans and self._lock.acquire(blocking=False):
            granted = []
            try:
                while self._orphans:
                    orphan = self._orphans.pop()
                    if orphan is None:
                        granted.append(self._next())
                    elif orphan.state == "waiting":
                        self._queue.discard(orphan)
                    elif orphan.state == "granted":
                        orphan.state = "gone"
                        granted.append(self._next())
            finally:
                self._lock.release()
            for ticket in granted:
                self._deliver(ticket)

    def snapshot(self) -> dict[str, Any]:
        """Plain data: the limit, slots in use, calls waiting."""
        return {"limit": self.limit, "in_use": self.in_use, "waiting": self._queue.waiting}

    def idle(self, now: float) -> bool:
        """Whether forgetting it changes nothing."""
        return not self.in_use and not self._queue.waiting

    def __repr__(self) -> str:
        return f"<Slots {self.in_use}/{self.limit:g} in use, {self._queue.waiting} waiting>"
