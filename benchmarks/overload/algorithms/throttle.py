"""Adaptive throttling by the client: calls are refused as often as the server refuses them."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import seawall


class Window:
    """Requests and accepts of the last seconds, in buckets of one second."""

    def __init__(self) -> None:
        self.requests = 0
        self.accepts = 0
        self._buckets: deque[list[int]] = deque()  # second, requests, accepts

    def bucket(self, now: float, seconds: float) -> list[int]:
        """Where to count now; forgets what is too old."""
        buckets, second = self._buckets, int(now)
        while buckets and buckets[0][0] <= second - seconds:
            _, requests, accepts = buckets.popleft()
            self.requests -= requests
            self.accepts -= accepts
        if not buckets or buckets[-1][0] != second:
            buckets.append([second, 0, 0])
        return buckets[-1]


@dataclass(frozen=True, kw_only=True)
class AdaptiveThrottle(seawall.Policy[Window]):
    """Refuses a call with the probability max(0, (requests - k * accepts) / (requests + 1)) over `seconds`.

    Source: "Handling Overload", Site Reliability Engineering, Google, 2016: k = 2, two minutes. What times out or fails
    with a 5xx or a 429 was not accepted.
    """

    k: float = 2.0
    seconds: float = 120.0

    def new_state(self) -> Window:
        return Window()

    async def handle(self, call: seawall.Call, state: Window, next: seawall.Next) -> Any:
        now = call.runtime.now()
        bucket = state.bucket(now, self.seconds)
        refused = (state.requests - self.k * state.accepts) / (state.requests + 1)
        bucket[1] += 1
        state.requests += 1
        if call.runtime.random() < refused:
            raise call.rejected(seawall.CircuitOpen, "throttled by the client")
        response = await next(call)
        if response.status_code < 500 and response.status_code != 429:
            state.bucket(call.runtime.now(), self.seconds)[2] += 1
            state.accepts += 1
        return response
