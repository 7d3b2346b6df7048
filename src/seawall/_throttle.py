"""The state of a throttle: a rate, the line before it, and the starts that are granted ahead."""

import threading
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from ._call import INF, Call
from ._errors import Expired, WaitTooLong
from ._headers import mentions_quota, quota, retry_after
from ._listeners import Listener
from ._queue import AGEING, Queue, Ticket
from ._rate import RECENT, STARTED, Engine, Lease, Pace, StrictWindow, Unlimited
from ._slots import Slots
from .backoff import THROTTLED

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

MAX_PAUSE = 60.0
"""Seconds: no server's word holds calls back for longer; the next answer may renew it."""

LOOKS = 16
"""How many answers of a key are searched for quota headers before only one in as many is."""

SCARCE = 0.1
"""The share of a quota below which what is left is spread until its reset."""


LEASES = RECENT
"""How many starts are granted ahead at most. At first it is one, and then twice as many each time: few keys of many are
asked often, and each lease is kept."""


class ThrottleState:
    """The rate and the line of one key. `_lock` guards all of it but leases; wakes are delivered outside.

    Only the head of the line waits for a time; everybody else waits to become the head.

    While nobody waits, calls start on leases. A lease is a start that the rate has room for now, and so at any later
    time too; it is taken with one atomic `pop`, which needs no lock, and remembers when it was used. Whoever takes the
    lock recalls them first: those that were used are counted at their times, the others are gone.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.pace = Pace()
        self.key: Hashable = None
        """Whose rate this is, as rejections tell it."""
        self._looked = 0
        self.until_look = 0
        self._states_quota = False
        self.asked = 0.0  # when a call last asked to start
        self.leases: list[Lease] = []
        """Those that are left. `leases.pop()[0] = now` is a start; `IndexError`: ask `try_start`."""
        self._granted: list[Lease] = []  # the leases, and those that were used
        self._most = 1  # how many are granted next
        self._queue = Queue()
        self._orphans: list[Ticket | tuple[float, float]] = []  # what collectors threw away
        self._lock = threading.Lock()

    def belong(self, label: Hashable, listeners: list[Listener]) -> None:
        """Whose rate this is."""
        self.key = label

    def try_start(self, now: float, cost: float) -> bool:
        """Start at once, if nobody waits and the rate allows it."""
        if cost == 1:
            try:
                lease = self.leases.pop()
            except IndexError:
                pass
            else:
                lease[0] = now
                return True
        started = self._try_start(now, cost)
        if self._orphans:
            self._drain()
        return started

    def _try_start(self, now: float, cost: float) -> bool:
        with self._lock:
            self._recall(now)
            pace, self.asked = self.pace, now
            if self._queue.waiting or (pace.active and pace.ready_at(now, waiting=False) > now):
                return False
            if not self.engine.try_take(now, cost):
                return False
            pace.take(now)
            if not pace.active:
                self._granted = self.engine.grant(now, self._most)
                self.leases.extend(self._granted)
                self._most = min(LEASES, 2 * self._most)
            return True

    def _recall(self, now: float) -> None:
        """Under the lock: take back the leases that are left, and count the starts of the others."""
        if not self._granted:
            return
        left = 0
        try:
            while True:
                self.leases.pop()
                left += 1
        except IndexError:
            pass
        used = self._granted[left:]
        used.reverse()
        times = list(map(STARTED, used))
        if INF in times:  # one was taken this instant, and is yet to tell when
            for lease in used:
                if lease[0] == INF:
                    lease[0] = now
            times = list(map(STARTED, used))
        self.engine.settle(times, left)
        self.pace.take_each(times)
        if times:
            self.asked = times[-1]
        self._granted = []

    def join(self, ticket: Ticket, now: float, until: float) -> float | None:
        """Take a place in line; or, if the wait would pass `until`, return how long it would be."""
        with self._lock:
            self._recall(now)
            ready = self._ready_at(now, self._queue.ahead(ticket.rank) + ticket.cost)
            if until < ready < INF:  # for what is still in the air no time is known
                return ready - now
            self._queue.push(ticket)
            return None

    def advance(self, ticket: Ticket, now: float) -> tuple[float | None, Ticket | None]:
        """When to look again, None if it may start now; and who is the head afterwards, to be woken."""
        with self._lock:
            queue = self._queue
            if queue.peek() is not ticket:
                return INF, None
            if self.pace.active or not self.engine.try_take(now, ticket.cost):
                ready = self._ready_at(now, ticket.cost)
                if ready > now:
                    return ready, None
                self.engine.take(now, ticket.cost)
            self.pace.take(now)
            queue.serve(ticket)
            return None, queue.peek()

    def leave(self, ticket: Ticket) -> Ticket | None:
        """Give a place back. Returns the head, which may have changed."""
        with self._lock:
            if ticket.state == "waiting":
                self._queue.discard(ticket)
            return self._queue.peek()

    def looks(self, headers: Any) -> bool:
        """Whether a response's headers are worth reading, once `until_look` answers have passed.

        A server that states its quota does so in every answer, and looking costs as much as all the rest of a throttle.
        So the first LOOKS answers are looked at, then every LOOKS-th until one states a quota, then all.
        """
        if self._states_quota or mentions_quota(headers):
            self._states_quota = True
        else:
            self._looked += 1
            if self._looked >= LOOKS:
                self.until_look = LOOKS
        return self._states_quota

    def heed(self, now: float, headers: Any, status: int) -> float | None:
        """Follow what a response says. Returns the seconds of a pause that it began."""
        asked = retry_after(headers) if status in THROTTLED else None
        left = quota(headers)
        with self._lock:
            self._recall(now)
            if left is not None and left.remaining < 1 and left.reset > 0:
                asked = max(asked or 0.0, left.reset)
            elif left is not None and left.limit and 1 <= left.remaining < SCARCE * left.limit:
                reset = min(left.reset, MAX_PAUSE)
                self.pace.spread(now, reset / left.remaining, now + reset)
            if asked is None:
                return None
            asked = min(asked, MAX_PAUSE)
            return asked if self.pace.pause(now, asked) else None

    def land(self, now: float, cost: float) -> Ticket | None:
        """A strict start's response is here: it counts from now. Returns the head, which may go sooner."""
        with self._lock:
            assert isinstance(self.engine, StrictWindow)
            self.engine.land(now, cost)
            return self._queue.peek()

    def abandon(self, orphan: Ticket | tuple[float, float]) -> None:
        """Take back a place, or a strict start (when, its cost), from a collector: a holder of the lock looks later."""
        self._orphans.append(orphan)
        self._drain()

    def _drain(self) -> None:
        engine: Any = self.engine
        while self._orphans and self._lock.acquire(blocking=False):
            try:
                while self._orphans:
                    orphan = self._orphans.pop(0)
                    if not isinstance(orphan, Ticket):
                        engine.land(*orphan)
                    elif orphan.state == "waiting":
                        self._queue.discard(orphan)
                head = self._queue.peek()
            finally:
                self._lock.release()
            wake(self, head)

    def _ready_at(self, now: float, cost: float) -> float:
        ready = self.engine.ready_at(now, cost)
        if self.pace.active:
            ready = max(ready, self.pace.ready_at(now, waiting=True))
        return ready

    def idle(self, now: float) -> bool:
        """Whether forgetting it would let nothing start sooner."""
        with self._lock:
            self._recall(now)
            return not self._queue.waiting and self.pace.idle(now) and self.engine.idle(now)

    def snapshot(self) -> dict[str, Any]:
        """Plain data: calls in line, the end of a pause, and what could have started when a call last asked."""
        with self._lock:
            if self.engine.most < INF:  # without a rate nothing is counted, and leases may stay where they are
                self._recall(self.asked)
            paused, tokens = self.pace.paused_until, self.engine.tokens(self.asked)
        return {
            "waiting": self._queue.waiting,
            "paused_until": None if paused == -INF else paused,
            "tokens": None if tokens == INF else tokens,
        }

    def __repr__(self) -> str:
        return f"<Throttle {self._queue.waiting} waiting>"


class LimiterState(ThrottleState):
    """A user's `AsyncLimiter`, shared with the rest of a service, behind our line of one.

    Only the head of the line calls `acquire`: by itself the limiter lets newcomers overtake, and starves large costs.
    """

    def __init__(self, limiter: "AsyncLimiter") -> None:
        super().__init__(Unlimited())
        self.limiter = limiter
        self.engine.most = limiter.max_rate
        self.line = Slots(1)

    def try_start(self, now: float, cost: float) -> bool:
        return False  # only the limiter knows

    async def acquire(self, call: Call, cost: float, until: float) -> None:
        """Wait in line, then for the limiter."""
        if call.runtime.name != "asyncio":
            raise RuntimeError(f"an AsyncLimiter works under asyncio only, not under the {call.runtime.name} runtime")
        self._ready_by(until, call)
        if not self.line.try_enter():
            await self.line.enter(call, until, owner="Throttle", key=self.key, flow=None)
        try:
            while (at := self._ready_by(until, call)) > call.runtime.now():
                await call.wait(call.runtime.waiter(), at)
            await call.runtime.within(self.limiter.acquire(cost), until)
            with self._lock:
                self.pace.take(call.runtime.now())
        except Expired:
            raise call.rejected(
                WaitTooLong, "Throttle: the AsyncLimiter did not admit the call in time", key=self.key
            ) from None
        finally:
            self.line.abandon()  # waits for no lock: it may be a collector that throws the call away

    def _ready_by(self, until: float, call: Call) -> float:
        """When the server lets the head of the line start; `WaitTooLong` if that is too late."""
        now = call.runtime.now()
        with self._lock:
            at = self.pace.ready_at(now, self.line.waiting > 0) if self.pace.active else now
        if at > until:
            raise _too_long(self, call, f"the wait would be {at - now:.3g} s", at - now)
        return at

    def idle(self, now: float) -> bool:
        """Whether nobody waits here; what the limiter counts is its owner's."""
        return super().idle(now) and self.line.idle(now)

    def snapshot(self) -> dict[str, Any]:
        """Plain data."""
        return super().snapshot() | {"waiting": self.line.waiting}


async def line_up(state: ThrottleState, call: Call, cost: float, until: float) -> None:
    """Wait in line until the rate and the server allow the start."""
    runtime = call.runtime
    arrived = runtime.now()
    ticket = Ticket(runtime.waiter(), arrived - AGEING * call.options.priority, cost=cost)
    too_long = state.join(ticket, arrived, until)
    state._drain()
    if too_long is not None:
        raise _too_long(state, call, f"the wait would be {too_long:.3g} s", too_long)
    try:
        while True:
            now = runtime.now()
            at, head = state.advance(ticket, now)
            if at is None:
                wake(state, head)
                return
            if now >= until:
                raise _too_long(state, call, f"no turn within {until - arrived:.3g} s", None)
            state._drain()
            await call.wait(ticket.waiter, min(at, until))
            ticket.waiter = runtime.waiter()  # before looking again, so that no wake is lost
    except GeneratorExit:
        state.abandon(ticket)
        raise
    except BaseException:
        wake(state, state.leave(ticket))
        raise


def _too_long(state: ThrottleState, call: Call, reason: str, retry_after: float | None) -> Exception:
    message = f"Throttle: {reason}, past the deadline or max_wait"
    return call.rejected(WaitTooLong, message, key=state.key, retry_after=retry_after)


def wake(state: ThrottleState, head: Ticket | None) -> None:
    """Wake the head of a line; one that cannot be woken leaves it."""
    while head is not None and not head.waiter.wake():
        head = state.leave(head)
    if state._orphans:
        state._drain()
