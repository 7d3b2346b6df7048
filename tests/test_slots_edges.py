"""Edges of slots and of their line: calls thrown away in it, the sweep of its dead, what a snapshot tells."""

from types import SimpleNamespace
from typing import Any

import pytest
from calls import URL, client, outcome

from seawall import ConcurrencyLimit
from seawall._call import Trail
from seawall._options import Options
from seawall._queue import NOBODY, Queue, Ticket
from seawall._slots import Slots
from seawall.testing import ScriptedServer, VirtualRuntime, reply

INF = float("inf")


class Waiter:
    """A wait that is never over by itself."""

    def __init__(self) -> None:
        self.woken = False

    def wake(self) -> bool:
        self.woken = True
        return True

    def __await__(self) -> Any:
        yield

    async def wait(self, until: float) -> bool:
        await self
        return self.woken


class StubCall:
    """As much of a call as a line needs."""

    def __init__(self) -> None:
        self.runtime = SimpleNamespace(now=lambda: 0.0, waiter=Waiter)
        self.options = Options()
        self.trail = Trail()

    async def wait(self, waiter: Waiter, until: float) -> bool:
        return await waiter.wait(until)


def in_line(slots: Slots) -> Any:
    """A call that waits for a slot."""
    entering = slots.enter(StubCall(), INF, owner="a test", key=None, flow=None)  # type: ignore[arg-type]
    entering.send(None)
    return entering


def enters(waiting: Any) -> None:
    """A call that waited has its slot."""
    with pytest.raises(StopIteration):
        waiting.send(None)


def test_one_thrown_away_in_line_leaves_it() -> None:
    """A call that is collected with its event loop while it waits takes no place in line, and gets no slot."""
    slots = Slots(1)
    assert slots.try_enter()
    gone, waiting = in_line(slots), in_line(slots)
    gone.close()
    assert slots.snapshot() == {"limit": 1, "in_use": 1, "waiting": 1}
    slots.release()
    enters(waiting)
    slots.release()
    assert slots.idle(0.0)


def test_a_slot_that_came_free_on_the_way_to_the_line_is_taken_at_once() -> None:
    """Between finding no slot and lining up for one, another thread may give one back: then nobody waits."""
    slots = Slots(1)
    call = StubCall()
    with pytest.raises(StopIteration):
        slots.enter(call, INF, owner="a test", key=None, flow=None).send(None)  # type: ignore[arg-type]
    assert slots.snapshot() == {"limit": 1, "in_use": 1, "waiting": 0}
    assert call.trail.queued == 0


def test_one_thrown_away_after_its_grant_passes_the_slot_on() -> None:
    """A call that was given a slot and is collected before it runs again does not take the slot with it."""
    slots = Slots(1)
    assert slots.try_enter()
    gone, waiting = in_line(slots), in_line(slots)
    slots.release()
    gone.close()
    enters(waiting)
    slots.release()
    assert slots.idle(0.0)


def test_one_collected_while_it_is_woken_passes_its_slot_on_once() -> None:
    """The collector may strike between a grant and its wake: one slot is passed on, not two."""
    slots = Slots(1)
    assert slots.try_enter()
    gone, waiting, last = in_line(slots), in_line(slots), in_line(slots)
    waiter = slots._queue.peek().waiter  # type: ignore[union-attr]

    def collected() -> bool:
        gone.close()
        return False

    waiter.wake = collected  # type: ignore[method-assign]
    slots.release()
    assert slots.snapshot() == {"limit": 1, "in_use": 1, "waiting": 1}
    enters(waiting)
    slots.release()
    enters(last)
    slots.release()
    assert slots.idle(0.0)


def test_time_in_line_adds_up() -> None:
    """A call that waits once for each of its attempts was queued for all of that."""
    slots, call = Slots(1), StubCall()
    call.trail.queued = 2.5
    times = iter([10.0, 14.0, 14.0])
    call.runtime.now = lambda: next(times)
    assert slots.try_enter()
    entering = slots.enter(call, INF, owner="a test", key=None, flow=None)  # type: ignore[arg-type]
    entering.send(None)
    slots.release()
    enters(entering)
    assert call.trail.queued == 6.5


@pytest.mark.parametrize("limit", [{"queue": 0}, {"max_wait": 1}], ids=["full", "too long"])
def test_a_refusal_names_the_key_whose_slots_are_taken(limit: Any) -> None:
    """That of the limit, which may be one for all origins."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=9))

    async def main() -> Any:
        async with client(server, ConcurrencyLimit(1, key=lambda request: "shop", **limit)) as c:
            task = runtime.spawn(c.get(URL))
            await runtime.sleep(1)
            refused = await outcome(c.get(URL))
            await task
            return refused.key

    assert runtime.run(main()) == "shop"


def test_one_thrown_away_under_the_lock_is_seen_by_whoever_holds_it() -> None:
    """What a collector leaves while the lock is taken is cleared up with the next look, by whatever it is."""
    slots = Slots(1)
    assert slots.try_enter()
    gone = in_line(slots)
    with slots._lock:
        gone.close()
    assert slots.waiting == 1
    assert not slots.try_enter()
    assert slots.waiting == 0


def test_flows_whose_calls_have_all_left_are_forgotten() -> None:
    """A line that is swept keeps neither dead tickets nor the flows that they were of."""
    queue, waiter = Queue(), Waiter()
    staying = Ticket(waiter, 0.0, "stays")
    queue.push(staying)
    for flow in range(70):
        leaving = Ticket(waiter, 1.0, flow)
        queue.push(leaving)
        queue.discard(leaving)
    assert len(queue._flows) < 10
    assert (len(queue), queue.pop(), queue.pop()) == (1, staying, None)


def lined_up(queue: Queue, *ranks: float, cost: float = 1) -> list[Ticket]:
    """Tickets of these ranks, in line."""
    tickets = [Ticket(Waiter(), float(rank), cost=cost) for rank in ranks]
    for ticket in tickets:
        queue.push(ticket)
    return tickets


def test_a_sweep_keeps_the_order() -> None:
    """Those who wait on are served as before, lowest rank first, whoever left between them."""
    queue = Queue()
    tickets = lined_up(queue, *(rank * 37 % 101 for rank in range(101)))
    assert queue.cost == 101
    for ticket in tickets[:80]:
        queue.discard(ticket)
    served = [queue.pop() for _ in range(21)]
    assert [ticket.rank for ticket in served if ticket] == sorted(ticket.rank for ticket in tickets[80:])
    assert (len(queue), queue.cost) == (0, 0.0)


def kept(queue: Queue) -> int:
    """How many tickets a line keeps, of those who wait and of those who have left."""
    return sum(len(list(flow)) for flow in queue._flows.values())


def test_a_line_is_swept_once_more_have_left_than_wait() -> None:
    """Not sooner, which would take a look at everybody each time: neither at first nor after a sweep."""
    queue = Queue()
    tickets = lined_up(queue, *range(998))
    for waiting in (998, 498):  # at first, and after a sweep
        for _ in range(waiting // 2):
            queue.discard(tickets.pop())
        assert kept(queue) == waiting
        queue.discard(tickets.pop())
        assert kept(queue) == len(queue) == waiting // 2 - 1


def test_those_who_were_served_are_none_of_those_who_left() -> None:
    """They are out of the line: it is swept neither sooner nor later for them."""
    queue = Queue()
    tickets = lined_up(queue, *range(300))
    for ticket in tickets[:100]:
        assert queue.pop() is ticket
    for ticket in tickets[200:]:
        queue.discard(ticket)
    assert kept(queue) == 200
    queue.discard(tickets[199])
    assert kept(queue) == 99


def test_a_few_who_left_are_not_swept() -> None:
    """However few wait: 64 are kept, one more is one too many, and where nobody waits nothing is kept."""
    queue = Queue()
    tickets = lined_up(queue, *range(65))
    for ticket in tickets[:64]:
        queue.discard(ticket)
    assert kept(queue) == 65
    queue.discard(tickets[64])
    assert kept(queue) == 0
    assert queue._round is NOBODY


def test_those_who_left_at_the_front_are_dropped_without_a_sweep() -> None:
    """They are gone with the next look at the front, and no longer count as those who have left."""
    queue = Queue()
    front, back = lined_up(queue, *range(60)), lined_up(queue, *range(60, 460))
    for ticket in front:
        queue.discard(ticket)
    assert queue.peek() is back[0]
    assert kept(queue) == 400
    for _ in range(200):
        queue.discard(back.pop())
    assert kept(queue) == 400
    queue.discard(back.pop())
    assert kept(queue) == 199


def test_what_is_ahead_of_the_last_one_is_known_without_a_look_at_the_line() -> None:
    """Whoever comes last waits behind the cost of all, be it of the same rank; also where a line was empty."""
    queue = Queue()
    for _ in range(2):
        tickets = lined_up(queue, *range(3), cost=2)
        line, queue._flows = queue._flows, {}  # nobody there to be looked at
        assert queue.ahead(2.0) == 6
        queue._flows = line
        for ticket in tickets:
            queue.discard(ticket)


def test_a_slot_put_back_while_a_call_lines_up_is_given_to_it() -> None:
    """Another thread that saw no line puts its slot with the free ones: who lines up looks there once more."""
    slots = Slots(1)
    assert slots.try_enter()

    class Racing(Queue):
        def push(self, ticket: Ticket) -> None:
            super().push(ticket)
            slots.free.append(None)

    slots._queue = Racing()
    waiting = in_line(slots)
    assert (slots.in_use, slots.waiting, slots.free) == (1, 0, [])
    enters(waiting)


@pytest.mark.parametrize("gone", [False, True], ids=["still free", "taken by another"])
def test_who_lines_up_while_a_slot_is_put_back_is_given_it_if_it_is_still_free(gone: bool) -> None:
    """A thread that puts a slot back looks at the line once more; what others took meanwhile it cannot hand on."""
    slots, ticket = Slots(1), Ticket(Waiter(), 0.0)
    assert slots.try_enter()

    class Racing(list[None]):
        def append(self, slot: None) -> None:
            if not gone:
                super().append(slot)
            slots._queue.push(ticket)

    slots.free = Racing()
    slots.release()
    assert (ticket.state, ticket.waiter.woken, slots.free) == (("waiting" if gone else "granted"), not gone, [])
