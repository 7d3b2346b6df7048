"""The order of a waiting line. Plain arithmetic: its owner holds the lock.

- Within a flow the lowest rank goes first: rank = arrival - AGEING x priority. A call of a higher priority
  overtakes what has waited for less than AGEING seconds more, so priorities hold and nothing starves.
- Flows take turns, so that one origin (in a pool) or one tenant (in a limit) with thousands of waiting
  calls does not shut out another with one.
- A ticket that leaves is only marked; it is dropped when it reaches the front, or when the dead outnumber
  the living. Every operation is O(log n) amortised, and O(1) while ranks come in order: 20,000 tickets may leave in
  one go.
"""

import heapq
import math
from collections import deque
from collections.abc import Hashable, Iterator
from typing import Literal

from .runtime import Waiter

AGEING = 5.0
"""Seconds of waiting that outweigh one step of priority."""


class Ticket:
    """One call's place in a line."""

    __slots__ = ("cost", "flow", "rank", "state", "waiter")

    def __init__(self, waiter: Waiter, rank: float, flow: Hashable = None, cost: float = 1) -> None:
        self.waiter = waiter
        self.rank = rank
        self.flow = flow
        self.cost = cost
        self.state: Literal["waiting", "granted", "gone"] = "waiting"

    def __repr__(self) -> str:
        return f"<Ticket {self.state} rank={self.rank:.3f} cost={self.cost:g}>"


Place = tuple[float, int, Ticket]
"""Rank, order of coming, and whose place it is. Unlike tickets, tuples are compared without running Python."""


class Flow:
    """The places of one flow. Most come in order, and stand in a deque; only those that overtake need a heap."""

    __slots__ = ("in_order", "name", "overtaking")

    def __init__(self, name: Hashable) -> None:
        self.name = name
        self.in_order: deque[Place] = deque()
        self.overtaking: list[Place] = []

    def push(self, place: Place) -> None:
        if not self.in_order or place > self.in_order[-1]:
            self.in_order.append(place)
        else:
            heapq.heappush(self.overtaking, place)

    def front(self) -> deque[Place] | list[Place]:
        """Where the first one stands, at its start. Empty if nobody is there."""
        in_order, overtaking = self.in_order, self.overtaking
        if overtaking and not (in_order and in_order[0] < overtaking[0]):
            return overtaking
        return in_order

    def drop_first(self) -> None:
        if self.front() is self.in_order:
            self.in_order.popleft()
        else:
            heapq.heappop(self.overtaking)

    def sweep(self) -> None:
        """Drop everybody who left."""
        self.in_order = deque(place for place in self.in_order if place[2].state == "waiting")
        self.overtaking = [place for place in self.overtaking if place[2].state == "waiting"]
        heapq.heapify(self.overtaking)

    def __iter__(self) -> Iterator[Place]:
        yield from self.in_order
        yield from self.overtaking


NOBODY: deque[Flow] = deque(maxlen=0)
"""The round of a line in which nobody waits: most do not, and an empty deque takes 760 bytes."""


class Queue:
    """Tickets in the order in which they are served."""

    __slots__ = ("_flows", "_last", "_orders", "_places", "_round", "cost", "waiting")

    def __init__(self) -> None:
        self._flows: dict[Hashable, Flow] = {}
        self._round = NOBODY  # all of them, in the order of their turns
        self._orders = 0
        self._places = 0  # of the waiting, and of those who left and were not dropped yet
        self._last = -math.inf  # no waiting ticket has a rank above it
        self.waiting = 0
        self.cost = 0.0

    def __len__(self) -> int:
        return self.waiting

    def push(self, ticket: Ticket) -> None:
        """Take a place."""
        self._orders += 1
        flow = self._flows.get(ticket.flow)
        if flow is None:
            if not self._flows:
                self._round = deque()
            flow = self._flows[ticket.flow] = Flow(ticket.flow)
            self._round.append(flow)
        flow.push((ticket.rank, self._orders, ticket))
        self._places += 1
        self.waiting += 1
        self.cost += ticket.cost
        self._last = max(self._last, ticket.rank)

    def peek(self) -> Ticket | None:
        """Whose turn it is."""
        while self._round:
            flow = self._round[0]
            while front := flow.front():
                ticket = front[0][2]
                if ticket.state == "waiting":
                    return ticket
                flow.drop_first()
                self._places -= 1
            self._end_first()
        return None

    def pop(self) -> Ticket | None:
        """Serve the one whose turn it is; its flow goes to the back of the round."""
        ticket = self.peek()
        if ticket is not None:
            self.serve(ticket)
        return ticket

    def serve(self, ticket: Ticket) -> None:
        """Serve the one whose turn it is, as `peek` has told."""
        flow = self._round[0]
        flow.drop_first()
        self._places -= 1
        if flow.in_order or flow.overtaking:
            self._round.rotate(-1)
        else:
            self._end_first()
        ticket.state = "granted"
        self._gone(ticket)

    def discard(self, ticket: Ticket) -> None:
        """Leave the line, from wherever the ticket stands."""
        ticket.state = "gone"
        self._gone(ticket)
        dead = self._places - self.waiting
        if dead > 64 and dead > self.waiting:
            self._sweep()

    def ahead(self, rank: float) -> float:
        """The cost of everything that a new ticket of this rank would wait behind."""
        if rank >= self._last:
            return self.cost
        return sum(
            ticket.cost
            for flow in self._flows.values()
            for place, _, ticket in flow
            if ticket.state == "waiting" and place <= rank
        )

    def _gone(self, ticket: Ticket) -> None:
        self.waiting -= 1
        if self.waiting:
            self.cost -= ticket.cost
        else:
            self.cost, self._last = 0.0, -math.inf

    def _end_first(self) -> None:
        """Nobody is left of the flow whose turn it is."""
        del self._flows[self._round.popleft().name]
        if not self._flows:
            self._round = NOBODY

    def _sweep(self) -> None:
        """Drop everybody who left."""
        for flow in self._round:
            flow.sweep()
        left = [flow for flow in self._round if flow.in_order or flow.overtaking]
        self._round = deque(left) if left else NOBODY
        self._flows = {flow.name: flow for flow in left}
        self._places = self.waiting
