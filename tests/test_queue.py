"""The order of a waiting line, by itself."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall._queue import AGEING, NOBODY, Queue, Ticket


class Woken:
    """A waiter that nobody waits on."""

    def wake(self) -> bool:
        return True

    async def wait(self, until: float) -> bool:
        raise NotImplementedError


class Counted(float):
    """A rank that counts comparisons, each of which first asks whether two ranks are the same: what a heap spends."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return super().__eq__(other)

    __hash__ = float.__hash__


def ticket(arrived: float, priority: float = 0, flow: Any = None, cost: float = 1) -> Ticket:
    """What `Slots` and `Throttle` make of a call."""
    return Ticket(Woken(), Counted(arrived - AGEING * priority), flow, cost)


def served(queue: Queue) -> list[Ticket]:
    """Everybody, in the order in which they are served."""
    order = []
    while (one := queue.pop()) is not None:
        order.append(one)
    return order


@given(arrivals=st.lists(st.floats(0, 100), max_size=50), priority=st.floats(-10, 10))
def test_first_come_first_served_within_a_priority(arrivals: list[float], priority: float):
    """Of one priority, whoever came first goes first; those of one instant in the order in which they joined."""
    queue, tickets = Queue(), [ticket(at, priority) for at in sorted(arrivals)]
    for one in tickets:
        queue.push(one)
    assert served(queue) == tickets


def test_a_higher_priority_goes_first():
    """Arriving together, the higher priority is served first."""
    queue = Queue()
    low, high, middle = ticket(0, -1), ticket(0, 2), ticket(0, 0.5)
    for one in (low, high, middle):
        queue.push(one)
    assert served(queue) == [high, middle, low]


@pytest.mark.parametrize(("waited", "first"), [(4.9, "high"), (5.1, "low")])
def test_five_seconds_of_waiting_outweigh_one_step_of_priority(waited: float, first: str):
    """rank = arrival - 5 s x priority: a newcomer one step above overtakes what waited less than 5 s, and no more."""
    queue = Queue()
    tickets = {"low": ticket(0, 0), "high": ticket(waited, 1)}
    for one in tickets.values():
        queue.push(one)
    assert queue.pop() is tickets[first]


def test_nothing_starves_behind_a_stream_of_higher_priority():
    """A call of low priority is served although one of higher priority arrives before each turn."""
    queue, old = Queue(), ticket(0, 0)
    queue.push(old)
    turns = 0
    while old.state == "waiting":
        turns += 1
        queue.push(ticket(turns, 3))
        queue.pop()
    assert turns <= 3 * AGEING + 1


def test_flows_take_turns():
    """A flow of one is served second, behind one call of a flow of a thousand."""
    queue, one = Queue(), ticket(1, flow="small")
    for _ in range(1000):
        queue.push(ticket(0, flow="large"))
    queue.push(one)
    assert [queue.pop().flow for _ in range(3)] == ["large", "small", "large"]


def test_a_flow_that_comes_back_waits_for_its_turn():
    """Leaving and rejoining the round is no way to the front of it."""
    queue = Queue()
    for flow in "aab":
        queue.push(ticket(0, flow=flow))
    assert queue.pop().flow == "a"
    assert queue.pop().flow == "b"
    queue.push(ticket(0, flow="b"))
    assert [one.flow for one in served(queue)] == ["a", "b"]


def test_whoever_leaves_is_not_served():
    """A discarded ticket is passed over wherever it stood, and the counts follow."""
    queue, tickets = Queue(), [ticket(at, cost=2) for at in range(5)]
    for one in tickets:
        queue.push(one)
    for index in (0, 2, 4):
        queue.discard(tickets[index])
    assert (len(queue), queue.cost) == (2, 4)
    assert served(queue) == [tickets[1], tickets[3]]
    assert (queue.peek(), len(queue), queue.cost) == (None, 0, 0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 20), st.integers(-2, 2), st.sampled_from("abc")),
        st.tuples(st.just("pop")),
        st.tuples(st.just("leave"), st.integers(0, 1000)),
    ),
    max_size=300,
)


@given(steps=steps, rank=st.integers(-20, 40))
def test_a_flow_agrees_with_a_sorted_list(steps: list[Any], rank: float):
    """Whatever joins, leaves and is served in whatever order, the counts and the order are those of a plain model."""
    queue, waiting = Queue(), []
    for step in steps:
        if step[0] == "push":
            waiting.append(ticket(step[1], step[2]))
            queue.push(waiting[-1])
        elif step[0] == "leave" and waiting:
            queue.discard(waiting.pop(step[1] % len(waiting)))
        elif step[0] == "pop":
            waiting.sort(key=lambda one: one.rank)
            assert queue.pop() is (waiting.pop(0) if waiting else None)
        assert len(queue) == queue.cost == len(waiting)
        assert queue.ahead(rank) == sum(one.rank <= rank for one in waiting)


@given(steps=steps)
def test_no_flow_is_served_twice_while_another_one_waits(steps: list[Any]):
    """Between two turns of a flow every other flow that waited all the while has had one, in rank order within it."""
    queue, flows = Queue(), {flow: [] for flow in "abc"}
    passed_over: dict[str, set[str]] = {flow: set() for flow in "abc"}  # who was served while this flow waited
    for step in steps:
        waiting = [one for flow in flows.values() for one in flow]
        if step[0] == "push":
            flows[step[3]].append(ticket(step[1], step[2], step[3]))
            queue.push(flows[step[3]][-1])
        elif step[0] == "leave" and waiting:
            left = waiting[step[1] % len(waiting)]
            queue.discard(left)
            flows[left.flow].remove(left)
        elif step[0] == "pop" and (one := queue.pop()) is not None:
            assert one is min(flows[one.flow], key=lambda other: other.rank)
            flows[one.flow].remove(one)
            for flow in "abc":
                if flow != one.flow and flows[flow]:
                    assert one.flow not in passed_over[flow]
                    passed_over[flow].add(one.flow)
            passed_over[one.flow].clear()
        for flow in "abc":
            if not flows[flow]:
                passed_over[flow].clear()


def comparisons(count: int, leave: bool) -> int:
    """What it takes to queue that many, and then to cancel or to serve all of them in one go."""
    queue, tickets = Queue(), [ticket(at % 97, at % 3) for at in range(count)]
    Counted.comparisons = 0
    for one in tickets:
        queue.push(one)
    if leave:
        for one in tickets:
            queue.discard(one)
            queue.peek()
    else:
        served(queue)
    assert not queue
    return Counted.comparisons


@pytest.mark.parametrize("leave", [False, True], ids=["released", "cancelled"])
def test_twenty_thousand_leave_in_one_go(leave: bool):
    """Work per call is O(log n): 20,000 waiters take little more than twice the comparisons of 10,000."""
    half, whole = comparisons(10_000, leave), comparisons(20_000, leave)
    assert whole < 20_000 * 40
    assert whole < 2.5 * half


def test_a_swept_line_keeps_no_dead_tickets():
    """The memory of a line follows those who wait, not those who have left."""
    queue, staying = Queue(), ticket(-1)
    queue.push(staying)
    for at in range(5000):
        one = ticket(at)
        queue.push(one)
        queue.discard(one)
    assert sum(len(list(flow)) for flow in queue._flows.values()) < 200
    assert queue.pop() is staying


@pytest.mark.parametrize("leave", [False, True], ids=["served", "left"])
def test_a_line_in_which_nobody_waits_keeps_nothing(leave: bool):
    """Neither at first nor after those who waited: there are many lines, and few in which anybody waits."""
    queue = Queue()
    assert queue._round is NOBODY
    for _ in range(2):
        tickets = [ticket(at, flow=at % 3) for at in range(100)]
        for one in tickets:
            queue.push(one)
        assert queue._round is not NOBODY
        for one in tickets:
            if leave:
                queue.discard(one)
            else:
                queue.pop()
        assert queue.peek() is None
        assert queue._round is NOBODY
        assert not queue._flows


def test_many_flows_cost_no_more_than_one():
    """Serving four times as many flows of one call takes about four times as long, not sixteen times."""

    def seconds(count: int) -> float:
        best = float("inf")
        for _ in range(5):
            queue = Queue()
            for flow in range(count):
                queue.push(ticket(0, flow=flow))
            began = time.process_time()
            served(queue)
            best = min(best, time.process_time() - began)
        return best

    assert seconds(48_000) < 10 * seconds(12_000)


def test_a_ticket_s_repr_tells_its_state():
    """waiting, granted or gone."""
    one = ticket(0)
    assert "waiting" in repr(one)
    queue = Queue()
    queue.push(one)
    queue.pop()
    assert "granted" in repr(one)
