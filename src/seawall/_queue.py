"""The order of a waiting line. Plain arithmetic: its owner holds the lock.

- Within a flow the lowest rank goes first: rank = arrival - AGEING x priority. A call of a higher priority
  overtakes what has waited for less than AGEING seconds more, so priorities hold and nothing starves.
- Flows take turns, so that one origin (in a pool) or one tenant (in a limit) with thousands of waiting
  calls does not shut out another with one.
- A ticket that leaves is only marked; it is dropped when it reaches the front, or when the dead outnumber
  the living. Every operation is O(log n) amortised: 20,000 tickets may leave in one go.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Hashable
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


class Queue:
    """Tickets in the order in which they are served."""

    __slots__ = ("_dead", "_flows", "_last", "_orders", "cost", "waiting")

    def __init__(self) -> None:
        self._flows: OrderedDict[Hashable, list[Place]] = OrderedDict()  # a dict is slow to find its first of many
        self._orders = 0
        self._dead = 0
        self._last = -math.inf  # no waiting ticket has a rank above it
        self.waiting = 0
        self.cost = 0.0

    def __len__(self) -> int:
        return self.waiting

    def push(self, ticket: Ticket) -> None:
        """Take a place."""
        self._orders += 1
        heapq.heappush(self._flows.setdefault(ticket.flow, []), (ticket.rank, self._orders, ticket))
        self.waiting += 1
        self.cost += ticket.cost
        self._last = max(self._last, ticket.rank)

    def peek(self) -> Ticket | None:
        """Whose turn it is."""
        flows = self._flows
        while flows:
            heap = next(iter(flows.values()))
            while heap and heap[0][2].state != "waiting":
                heapq.heappop(heap)
                self._dead -= 1
            if heap:
                return heap[0][2]
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
        heap = flows[ticket.flow]
        heapq.heappop(heap)
        if heap:
            flows.move_to_end(ticket.flow)
        else:
            del flows[ticket.flow]
        ticket.state = "granted"
        self._gone(ticket)

    def discard(self, ticket: Ticket) -> None:
        """Leave the line, from wherever the ticket stands."""
        ticket.state = "gone"
        self._gone(ticket)
        self._dead += 1
        if self._dead > 64 and self._dead > self.waiting:
            self._sweep()

    def ahead(self, rank: float) -> float:
        """The cost of everything that a new ticket of this rank would wait behind."""
        if rank >= self._last:
            return self.cost
        return sum(
            ticket.cost
            for heap in self._flows.values()
            for place, _, ticket in heap
            if ticket.state == "waiting" and place <= rank
        )

    def _gone(self, ticket: Ticket) -> None:
        self.waiting -= 1
        if self.waiting:
            self.cost -= ticket.cost
        else:
            self.cost, self._last = 0.0, -math.inf

    def _sweep(self) -> None:
        for flow, heap in list(self._flows.items()):
            alive = [place for place in heap if place[2].state == "waiting"]
            heapq.heapify(alive)
            if alive:
                self._flows[flow] = alive
            else:
                del self._flows[flow]
        self._dead = 0
