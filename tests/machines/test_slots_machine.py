"""Slots and the line before them: permits are conserved, whatever happens between a grant and who was granted."""

from contextlib import nullcontext
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stepping import INF, Cancelled, Runtime, Stepped, StubCall
from test_queue_machine import Line

from seawall import QueueFull, WaitTooLong
from seawall._queue import AGEING, Queue, Ticket
from seawall._slots import Slots


class Watched(Queue):
    """A line that checks each turn it gives against the slow model."""

    __slots__ = ("line",)

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()

    def push(self, ticket: Ticket) -> None:
        super().push(ticket)
        self.line.join(ticket)

    def pop(self) -> Ticket | None:
        ticket = super().pop()
        if ticket is not None:
            self.line.serve(ticket)
        return ticket

    def discard(self, ticket: Ticket) -> None:
        super().discard(ticket)
        self.line.leave(ticket)


class Waiting(Stepped):
    """A call in line."""

    def __init__(self, call: StubCall, arrived: float, until: float, coro: Any) -> None:
        self.call = call
        self.arrived = arrived
        self.until = until
        super().__init__(coro)

    @property
    def granted(self) -> bool:
        return self.call.waiter is not None and self.call.waiter.woken

    @property
    def stranded(self) -> bool:
        """Its loop is closed: it cannot be woken, and will never run again."""
        return self.call.waiter is not None and self.call.waiter.gone


class SlotsModel(RuleBasedStateMachine):
    """Calls of several tenants and priorities come, wait, are cancelled or stranded, hold a slot and drop it."""

    @initialize(limit=st.integers(1, 3), bound=st.none() | st.integers(0, 4))
    def begin(self, limit: int, bound: int | None) -> None:
        self.runtime = Runtime()
        self.slots = Slots(limit, bound)
        self.queue = self.slots._queue = Watched()
        self.holding = 0
        self.orphans = 0
        self.calls: list[Waiting] = []

    def some(self, data: Any, **wanted: bool) -> Waiting | None:
        """One of the calls in line of which all this holds."""
        found = [c for c in self.calls if all(getattr(c, name) == value for name, value in wanted.items())]
        return data.draw(st.sampled_from(found)) if found else None

    @rule()
    def try_enter(self) -> None:
        room = self.slots.in_use < self.slots.limit and not self.queue.waiting
        assert self.slots.try_enter() == room
        self.holding += room

    @rule(
        priority=st.integers(-1, 1), tenant=st.sampled_from([None, "a", "b"]), patience=st.sampled_from([INF, 1.0, 4.0])
    )
    def enter(self, priority: int, tenant: str | None, patience: float) -> None:
        slots, now = self.slots, self.runtime.time
        room = slots.in_use < slots.limit and not self.queue.waiting
        full = not room and self.queue.waiting >= slots.bound
        call = StubCall(self.runtime, priority=priority)
        one = Waiting(call, now, now + patience, slots.enter(call, now + patience, owner="it", key=None, flow=tenant))
        if one.done:
            assert (one.error is None) == room
            assert isinstance(one.error, QueueFull) == full
            self.holding += room
        else:
            assert not room
            assert not full
            self.calls.append(one)
            if not one.granted:
                joined = self.queue.line.waiting[-1]
                assert (joined.rank, joined.flow) == (now - AGEING * priority, tenant)

    @precondition(lambda self: self.holding)
    @rule(way=st.sampled_from(["release", "abandon", "abandon under the lock"]))
    def leave(self, way: str) -> None:
        """Give a slot back; a collector may do so while somebody holds the lock."""
        self.holding -= 1
        if way == "release":
            self.slots.release()
        elif way == "abandon":
            self.slots.abandon()
        else:
            with self.slots._lock:
                self.slots.abandon()
            self.orphans += 1

    @rule(data=st.data())
    def wake(self, data: Any) -> None:
        """Whoever was granted a slot runs, and has it."""
        one = self.some(data, granted=True, stranded=False)
        if one is not None:
            self.calls.remove(one)
            one.step()
            assert one.done
            assert one.error is None
            assert one.call.trail.queued == self.runtime.time - one.arrived
            self.holding += 1

    @rule(data=st.data())
    def time_out(self, data: Any) -> None:
        """A deadline passes: in line that is WaitTooLong, but a slot granted just before is kept."""
        one = self.some(data, stranded=False)
        if one is not None and one.until < INF:
            self.runtime.time = max(self.runtime.time, one.until)
            granted = one.granted
            self.calls.remove(one)
            one.step()
            assert isinstance(one.error, WaitTooLong) == (not granted)
            self.holding += granted

    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        """In line or just granted: the slot is passed on."""
        one = self.some(data, stranded=False)
        if one is not None:
            self.calls.remove(one)
            one.cancel()
            assert isinstance(one.error, Cancelled)

    @rule(data=st.data())
    def strand(self, data: Any) -> None:
        """The event loop of one that waits is closed."""
        one = self.some(data, granted=False, stranded=False)
        if one is not None:
            one.call.waiter.gone = True

    @rule(data=st.data(), locked=st.booleans())
    def collect(self, data: Any, locked: bool) -> None:
        """What waited on a closed loop is thrown away, by a collector that may interrupt a holder of the lock."""
        one = self.some(data, stranded=True)
        if one is not None:
            self.calls.remove(one)
            with self.slots._lock if locked else nullcontext():
                one.coro.close()

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.runtime.time += seconds

    @invariant()
    def permits_are_conserved(self) -> None:
        """Each slot in use is held, granted or about to come back, and nobody waits while one is free."""
        if not hasattr(self, "slots"):
            return
        slots = self.slots
        self.orphans = min(self.orphans, len(slots._orphans))
        granted = sum(one.granted for one in self.calls)
        assert slots.in_use == self.holding + granted + self.orphans
        assert 0 <= slots.in_use <= slots.limit
        assert slots.in_use == slots.limit or not slots.waiting
        assert slots.waiting == len(self.queue.line.waiting) <= slots.bound
        assert slots.idle(0.0) == (not slots.in_use and not slots.waiting)
        assert slots.snapshot() == {"limit": slots.limit, "in_use": slots.in_use, "waiting": slots.waiting}

    def teardown(self) -> None:
        """When everybody has left, every slot is free."""
        if hasattr(self, "slots"):
            for one in [one for one in self.calls if not one.stranded]:
                one.cancel()
            for _ in range(self.holding):
                self.slots.release()
            self.slots._drain()  # as whoever held the lock does when it has let go of it
            assert (self.slots.in_use, self.slots.waiting) == (0, 0)


TestSlotsModel = SlotsModel.TestCase
