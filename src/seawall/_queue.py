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
from collections import OrderedDict, deque
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
    """The places of one flow, the first in front. Most come in order; only those that overtake need a heap."""

    __slots__ = ("in_order", "overtaking")

    def __init__(self) -> None:
        self.in_order: deque[Place] = deque()
        self.overtaking: list[Place] = []

    def push(self, place: Place) -> None:
        if not self.in_order or place > self.in_order[-1]:
            self.in_order.append(place)
        else:
            heapq.heappush(self.overtaking, place)

    def first(self) -> Ticket | None:
        """Whose place is the first; None if there is none."""
        if self.overtaking and not (self.in_order and self.in_order[0] < self.overtaking[0]):
            return self.overtaking[0][2]
        return self.in_order[0][2] if self.in_order else None

    def drop_first(self) -> None:
        if self.overtaking and not (self.in_order and self.in_order[0] < self.overtaking[0]):
            heapq.heappop(self.overtaking)
        else:
            self.in_order.popleft()

    def __iter__(self) -> Iterator[Place]:
        yield from self.in_order
        yield from self.overtaking


class Queue:
    """Tickets in the order in which they are served."""

    __slots__ = ("_flows", "_last", "_orders", "_places", "cost", "waiting")

    def __init__(self) -> None:
        self._flows: OrderedDict[Hashable, Flow] = OrderedDict()  # a dict is slow to find its first of many
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
            flow = self._flows[ticket.flow] = Flow()
        flow.push((ticket.rank, self._orders, ticket))
        self._places += 1
        self.waiting += 1
        self.cost += ticket.cost
        self._last = max(self._last, ticket.rank)

    def peek(self) -> Ticket | None:
        """Whose turn it is."""
        flows = self._flows
        while flows:
            flow = next(iter(flows.values()))
            while (ticket := flow.first()) is not None:
                if ticket.state == "waiting":
                    return ticket
                flow.drop_first()
                self._places -= 1
            flows.popitem(last=False)
        return None

    def pop(self) -> Ticket | None:
        """Serve the one whose turn it is; its flow goes to the back of the round."""
        ticket = self.peek()
        if ticket is not None:
            self.serve(ticket)
        return ticket

    def serve(self, ticket: Ticket) -> None:
        """Serve the one whose turn it is, as `peek` has told."""
        flows = self._flows
        flow = flows[ticket.flow]
        flow.drop_first()
        self._places -= 1
        if flow.in_order or flow.overtaking:
            flows.move_to_end(ticket.flow)
        else:
            del flows[ticket.flow]
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

    def _sweep(self) -> None:
        """Drop everybody who left."""
        for name, flow in list(self._flows.items()):
            flow.in_order = deque(place for place in flow.in_order if place[2].state == "waiting")
            flow.overtaking = [place for place in flow.overtaking if place[2].state == "waiting"]
            heapq.heapify(flow.overtaking)
            if not flow.in_order and not flow.overtaking:
                del self._flows[name]
        self._places = self.waiting
