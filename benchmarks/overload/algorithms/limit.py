"""A limit of requests in flight that finds its own size."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import seawall

INF = float("inf")


class Algorithm(Protocol):
    """How many requests may be in flight."""

    limit: float

    def sample(
        self, now: float, round_trip: float, in_flight: int, *, dropped: bool, coin: Callable[[], float]
    ) -> None:
        """One attempt is over: how long it took, how many were in flight, whether it shows congestion."""


class Aimd:
    """Additive increase, multiplicative decrease.

    One more for each limit's worth of answers while at least half of the limit is in use, times `decrease` for each
    drop. Source: D.-M. Chiu and R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance",
    1989; `AIMDLimit` of Netflix's concurrency-limits adds one for each answer instead.
    """

    def __init__(self, decrease: float = 0.7, limit: float = 20.0, most: float = 200.0) -> None:
        self.limit = limit
        self.decrease = decrease
        self.most = most

    def sample(
        self, now: float, round_trip: float, in_flight: int, *, dropped: bool, coin: Callable[[], float]
    ) -> None:
        if dropped:
            self.limit = max(1.0, self.limit * self.decrease)
        elif in_flight * 2 >= self.limit:
            self.limit = min(self.most, self.limit + 1 / self.limit)


class Gradient2:
    """Compares each round trip with a long average of them.

    Source: `Gradient2Limit` of Netflix's concurrency-limits, with its defaults.
    """

    LONG, WARM_UP, TOLERANCE, SMOOTHING, SPARE, LEAST, MOST = 600, 10, 1.5, 0.2, 4, 20.0, 200.0

    def __init__(self) -> None:
        self.limit = 20.0
        self.long = 0.0
        self._seen = 0

    def sample(
        self, now: float, round_trip: float, in_flight: int, *, dropped: bool, coin: Callable[[], float]
    ) -> None:
        self._seen += 1
        share = 1 / self._seen if self._seen <= self.WARM_UP else 2 / (self.LONG + 1)
        self.long += (round_trip - self.long) * share
        if round_trip and self.long / round_trip > 2:
            self.long *= 0.95  # the average is left over from an overload
        if in_flight < self.limit / 2 or not round_trip:
            return
        gradient = max(0.5, min(1.0, self.TOLERANCE * self.long / round_trip))
        aim = self.limit * gradient + self.SPARE
        self.limit = max(self.LEAST, min(self.MOST, self.limit + (aim - self.limit) * self.SMOOTHING))


class Vegas:
    """Keeps a few requests in the server's line, reckoned from the shortest round trip seen.

    Source: `VegasLimit` of Netflix's concurrency-limits, with its defaults, after L. Brakmo and L. Peterson's TCP Vegas
    (1995).
    """

    MOST, PROBE = 1000.0, 30

    def __init__(self) -> None:
        self.limit = 20.0
        self.shortest = INF
        self._until_probe = INF

    def sample(
        self, now: float, round_trip: float, in_flight: int, *, dropped: bool, coin: Callable[[], float]
    ) -> None:
        if not round_trip:  # failed at once
            return
        self._until_probe -= 1
        if self._until_probe <= 0 or self._until_probe == INF:
            self._until_probe = (0.5 + coin() / 2) * self.PROBE * self.limit
            self.shortest = round_trip
            return
        if round_trip < self.shortest:
            self.shortest = round_trip
            return
        step = max(1.0, math.floor(math.log10(self.limit)))
        waiting = math.ceil(self.limit * (1 - self.shortest / round_trip))
        aim = self.limit
        if dropped:
            aim -= step
        elif in_flight * 2 < self.limit:
            return
        elif waiting <= step:
            aim += 6 * step
        elif waiting < 3 * step:
            aim += step
        elif waiting > 6 * step:
            aim -= step
        self.limit = max(1.0, min(self.MOST, aim))


class Windowed:
    """Gives an algorithm one sample a window: the mean round trip of at least `least` of them, the most in flight.

    Source: `WindowedLimit` of Netflix's concurrency-limits, whose window is 1 s and at least ten samples.
    """

    def __init__(self, algorithm: Algorithm, window: float = 1.0, least: int = 10) -> None:
        self.algorithm = algorithm
        self.window = window
        self.least = least
        self._ends = 0.0
        self._reset()

    @property
    def limit(self) -> float:
        return self.algorithm.limit

    def sample(
        self, now: float, round_trip: float, in_flight: int, *, dropped: bool, coin: Callable[[], float]
    ) -> None:
        self._count += 1
        self._sum += round_trip
        self._most = max(self._most, in_flight)
        self._dropped |= dropped
        if now >= self._ends and self._count >= self.least:
            mean = self._sum / self._count
            self.algorithm.sample(now, mean, self._most, dropped=self._dropped, coin=coin)
            self._ends = now + self.window
            self._reset()

    def _reset(self) -> None:
        self._count, self._sum, self._most, self._dropped = 0, 0.0, 0, False


class Line:
    """Who is in flight, and who waits to be."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self.in_flight = 0
        self.waiting: deque[Any] = deque()

    def let_in(self) -> None:
        """Wake those whose turn it is. They are counted as in flight from then on."""
        while self.waiting and self.in_flight < self.algorithm.limit:
            self.in_flight += 1
            waiter, granted = self.waiting.popleft()
            granted.append(True)
            waiter.wake()

    def snapshot(self) -> dict[str, Any]:
        return {"limit": self.algorithm.limit, "in_use": self.in_flight, "waiting": len(self.waiting)}


@dataclass(frozen=True, kw_only=True)
class InFlight(seawall.Policy[Line]):
    """Bounds attempts in flight by an algorithm; others wait in line, for `max_wait` seconds at most.

    Drops, which the algorithm takes for congestion, are errors of the transport, 429, and with `errors` any 5xx, else
    503 alone.
    """

    algorithm: Callable[[], Algorithm]
    max_wait: float = INF
    errors: bool = True

    def new_state(self) -> Line:
        return Line(self.algorithm())

    async def handle(self, call: seawall.Call, state: Line, next: seawall.Next) -> Any:
        runtime = call.runtime
        if state.waiting or state.in_flight >= state.algorithm.limit:
            await self._wait(call, state)
        else:
            state.in_flight += 1
        begun, in_flight, dropped, told = runtime.now(), state.in_flight, False, False
        try:
            response = await next(call)
            status = response.status_code
            dropped, told = status in (429, 503) or (self.errors and status >= 500), True
            return response
        except Exception:
            dropped = told = True
            raise
        finally:
            state.in_flight -= 1
            if told:
                now = runtime.now()
                took = now - begun
                state.algorithm.sample(now, took, in_flight, dropped=dropped, coin=runtime.random)
            state.let_in()

    async def _wait(self, call: seawall.Call, state: Line) -> None:
        """Wait for a place in flight, or raise."""
        now = call.runtime.now()
        if self.max_wait <= 0:
            raise call.rejected(seawall.QueueFull, "too many in flight")
        granted: list[bool] = []
        place = call.runtime.waiter(), granted
        state.waiting.append(place)
        try:
            await call.wait(place[0], min(call.deadline, now + self.max_wait))
        except BaseException:
            self._leave(state, place)
            raise
        if not granted:
            self._leave(state, place)
            raise call.rejected(seawall.WaitTooLong, "no place in flight")

    @staticmethod
    def _leave(state: Line, place: tuple[Any, list[bool]]) -> None:
        if place[1]:
            state.in_flight -= 1
            state.let_in()
        else:
            state.waiting.remove(place)
