"""The waiting line against a slow model: plain lists, searched from end to end."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from stepping import Waiter

from seawall._queue import AGEING, Queue, Ticket

FLOWS = "abc"


class Line:
    """Who waits, in the order in which they joined, and which flow has had a turn while another one waited."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self._turns: dict[Any, set[Any]] = {}

    def join(self, ticket: Any) -> None:
        self.waiting.append(ticket)

    def leave(self, ticket: Any) -> None:
        self.waiting.remove(ticket)
        self._forget_empty()

    def of(self, flow: Any) -> list[Any]:
        return [ticket for ticket in self.waiting if ticket.flow == flow]

    def serve(self, ticket: Any) -> None:
        """Check that it may be this one's turn: first of its flow, and no other flow was passed over twice."""
        assert ticket in self.waiting
        assert ticket is min(self.of(ticket.flow), key=lambda one: one.rank)  # of equal ones, who joined first
        self.waiting.remove(ticket)
        for flow in {one.flow for one in self.waiting} - {ticket.flow}:
            passed = self._turns.setdefault(flow, set())
            assert ticket.flow not in passed
            passed.add(ticket.flow)
        self._turns.pop(ticket.flow, None)
        self._forget_empty()

    def _forget_empty(self) -> None:
        flows = {one.flow for one in self.waiting}
        self._turns = {flow: passed for flow, passed in self._turns.items() if flow in flows}


class QueueModel(RuleBasedStateMachine):
    """Tickets of several flows, priorities and costs join, are served and leave from anywhere, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.queue, self.line, self.time = Queue(), Line(), 0.0

    @rule(
        flow=st.sampled_from(FLOWS), priority=st.integers(-2, 2), cost=st.sampled_from([0.5, 1, 4]), count=st.just(1)
        | st.just(50),
    )  # fmt: skip
    def push(self, flow: str, priority: int, cost: float, count: int) -> None:
        for _ in range(count):
            ticket = Ticket(Waiter(), self.time - AGEING * priority, flow, cost)
            self.queue.push(ticket)
            self.line.join(ticket)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.time += seconds

    @rule(count=st.just(1) | st.integers(2, 60))
    def pop(self, count: int) -> None:
        for _ in range(count):
            ticket = self.queue.pop()
            if ticket is None:
                assert not self.line.waiting
                return
            self.line.serve(ticket)
            assert ticket.state == "granted"

    @precondition(lambda self: self.line.waiting)
    @rule(data=st.data(), count=st.just(1) | st.integers(2, 90))
    def leave(self, data: Any, count: int) -> None:
        """One from anywhere, or so many that the dead outnumber the living."""
        first = data.draw(st.integers(0, len(self.line.waiting) - 1))
        for ticket in self.line.waiting[first : first + count]:
            self.queue.discard(ticket)
            self.line.leave(ticket)
            assert ticket.state == "gone"

    @precondition(lambda self: self.line.waiting)
    @rule(flow=st.sampled_from(FLOWS))
    def look(self, flow: str) -> None:
        """Whose turn it is stays whose turn it is, whoever joins another flow or leaves behind it."""
        head = self.queue.peek()
        assert head is not None
        later = Ticket(Waiter(), head.rank if flow == head.flow else head.rank - 1, flow)
        self.queue.push(later)
        assert self.queue.peek() is head
        self.queue.discard(later)
        assert self.queue.peek() is head

    @rule(rank=st.integers(-20, 40))
    def ask(self, rank: float) -> None:
        """What is ahead of a rank is the cost of all that have it or a lower one, over all flows."""
        ahead = self.queue.ahead(rank)
        assert ahead == sum(one.cost for one in self.line.waiting if one.rank <= rank)

    @invariant()
    def counts(self) -> None:
        """The running totals are those of the line, and the dead never outnumber the living by much."""
        assert len(self.queue) == self.queue.waiting == len(self.line.waiting)
        assert self.queue.cost == sum(one.cost for one in self.line.waiting)
        kept = sum(len(list(flow)) for flow in self.queue._flows.values())
        assert kept <= 2 * len(self.line.waiting) + 65

    def teardown(self) -> None:
        """Everybody who still waits is served."""
        self.pop(len(self.line.waiting) + 1)
        assert not self.queue._flows


TestQueueModel = QueueModel.TestCase
