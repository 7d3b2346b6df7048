"""A line in which the highest priority always goes first, whoever starves for it."""

import heapq
from dataclasses import dataclass, field
from typing import Any

import seawall


@dataclass
class Strict:
    """Who is in flight, and who waits: the highest priority first, then who came first."""

    in_flight: int = 0
    waiting: list[tuple[float, int, Any]] = field(default_factory=list)
    came: int = 0


@dataclass(frozen=True, kw_only=True)
class StrictPriority(seawall.Policy[Strict]):
    """Bounds calls in flight. What high classes could get at best, with nobody else's good in mind."""

    limit: int = 50

    def new_state(self) -> Strict:
        return Strict()

    async def handle(self, call: seawall.Call, state: Strict, next: seawall.Next) -> Any:
        if state.in_flight < self.limit:
            state.in_flight += 1
        else:
            waiter = call.runtime.waiter()
            state.came += 1
            heapq.heappush(state.waiting, (-call.options.priority, state.came, waiter))
            await call.wait(waiter, float("inf"))
        try:
            return await next(call)
        finally:
            if state.waiting:
                heapq.heappop(state.waiting)[2].wake()
            else:
                state.in_flight -= 1
