"""The arithmetic of rates. Each engine is plain state: time comes in, "when" goes out.

`ready_at(now, cost)` is the earliest time at which `cost` may start, if everything before it starts as early as it
may; `take(now, cost)` spends it. Both may be asked for more than fits at once, for a call behind others in line.
"""

from collections import deque
from typing import Protocol

STAMPS = 10_000
"""The most stamps that one window keeps; above that, stamps share grains of time and never admit more."""

TOLERANCE = 1e-9
"""Keeps rounding of sums and quotients from making a call wait for a billionth of a second."""


class Engine(Protocol):
    """How often calls may start."""

    most: float

    def ready_at(self, now: float, cost: float) -> float: ...
    def take(self, now: float, cost: float) -> None: ...
    def idle(self, now: float) -> bool: ...
    def tokens(self, now: float) -> float: ...


class SlidingWindow:
    """Exact: no window of `per` seconds, wherever it starts, holds more than `rate` units of cost.

    A start is a stamp that counts until `per` seconds later.
    """

    def __init__(self, rate: float, per: float) -> None:
        self.rate = self.most = rate
        self.per = per
        self.grain = per / (STAMPS / 2) if rate > STAMPS else 0.0
        self._stamps: deque[list[float]] = deque()  # [first, last, cost]
        self._used = 0.0
        self.airborne = 0.0  # taken, but its stamp is still to come

    def ready_at(self, now: float, cost: float) -> float:
        self._expire(now)
        used = self._used + self.airborne
        if used + cost <= self.rate + TOLERANCE:
            return now
        rounds, rest = divmod(cost, self.rate)
        if rest == 0:
            rounds, rest = rounds - 1, self.rate
        excess = used + rest - self.rate
        if excess <= TOLERANCE:
            return now + rounds * self.per
        for _, last, spent in self._stamps:
            excess -= spent
            if excess <= TOLERANCE:
                return last + (rounds + 1) * self.per
        return float("inf")  # it waits for what is in the air

    def take(self, now: float, cost: float) -> None:
        self._used += cost
        stamps = self._stamps
        if stamps and now - stamps[-1][0] <= self.grain:
            stamps[-1][1] = max(now, stamps[-1][1])
            stamps[-1][2] += cost
        else:
            stamps.append([now, now, cost])

    def _expire(self, now: float) -> None:
        stamps = self._stamps
        while stamps and stamps[0][1] + self.per <= now:
            self._used -= stamps.popleft()[2]
        if not stamps:
            self._used = 0.0

    def idle(self, now: float) -> bool:
        self._expire(now)
        return not self._stamps and not self.airborne

    def tokens(self, now: float) -> float:
        """How much may start now."""
        self._expire(now)
        return max(0.0, self.rate - self._used - self.airborne)


class StrictWindow(SlidingWindow):
    """A window whose starts count until `per` seconds after they landed, when their response headers are here."""

    def take(self, now: float, cost: float) -> None:
        self.airborne += cost

    def land(self, now: float, cost: float) -> None:
        """Stamp a start whose answer is here."""
        self.airborne -= cost
        super().take(now, cost)


class LeakyBucket:
    """GCRA: no window of length t holds more than rate x t / per + burst.

    `_due` is the theoretical arrival time: when the bucket is empty again. Source: ITU-T I.371, annex A.
    """

    def __init__(self, rate: float, per: float, burst: float) -> None:
        self.interval = per / rate
        self.burst = self.most = burst
        self._due = float("-inf")

    def ready_at(self, now: float, cost: float) -> float:
        ready = max(self._due, now) + (cost - self.burst) * self.interval
        return ready if ready > now + TOLERANCE else now

    def take(self, now: float, cost: float) -> None:
        self._due = max(self._due, now) + cost * self.interval

    def idle(self, now: float) -> bool:
        return self._due <= now

    def tokens(self, now: float) -> float:
        """How much may start now."""
        return max(0.0, self.burst - max(0.0, self._due - now) / self.interval)


class Unlimited:
    """No rate of its own."""

    most = float("inf")

    def ready_at(self, now: float, cost: float) -> float:
        return now

    def take(self, now: float, cost: float) -> None:
        pass

    def idle(self, now: float) -> bool:
        return True

    def tokens(self, now: float) -> float:
        return float("inf")


class Pace:
    """What the server asked for: a pause of every call, then a spaced restart; or even spacing up to a reset.

    After a pause calls restart at half of the rate that led to it, doubling each second until none waits, rather
    than all at once. Before a reset that little is left for, what is left is spread until then.
    """

    def __init__(self) -> None:
        self.paused_until = float("-inf")
        self._spacing = 0.0
        self._spaced_from = float("-inf")
        self._spaced_until = float("-inf")
        self._last = float("-inf")
        self._second = -1
        self._starts = 0
        self._before = 0

    def pause(self, now: float, seconds: float) -> bool:
        """Nothing starts for `seconds`. False if a longer pause holds already."""
        until = now + seconds
        if until <= self.paused_until:
            return False
        if self.paused_until <= now:  # not paused yet: the rate until now is the one that was too much
            self._roll(now)
            self._spacing = 2.0 / max(1, self._starts, self._before)
        self.paused_until = until
        self._spaced_from = until
        self._spaced_until = float("inf")
        return True

    def spread(self, now: float, spacing: float, until: float) -> None:
        """Until a reset, keep this distance between starts."""
        if self.paused_until <= now:
            self._spacing, self._spaced_from, self._spaced_until = spacing, float("inf"), until

    def ready_at(self, now: float, waiting: bool) -> float:
        """The earliest next start. Without anybody waiting, the restart after a pause is over."""
        if now < self.paused_until:
            return self.paused_until
        if now >= self._spaced_until:
            return now
        spacing: float = self._spacing / 2.0 ** min(64.0, max(0.0, now - self._spaced_from))
        if spacing < 1e-4 or (not waiting and self._spaced_from <= now and self._last + spacing <= now):
            self._spaced_until = float("-inf")
            return now
        return max(now, self._last + spacing)

    def take(self, now: float) -> None:
        self._last = now
        self._roll(now)
        self._starts += 1

    def _roll(self, now: float) -> None:
        second = int(now)
        if second != self._second:
            self._before = self._starts if second == self._second + 1 else 0
            self._second, self._starts = second, 0

    @property
    def active(self) -> bool:
        """Whether it may hold anything back now or later."""
        return self._spaced_until > float("-inf") or self.paused_until > float("-inf")
