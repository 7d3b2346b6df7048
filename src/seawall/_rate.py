"""The arithmetic of rates. Each engine is plain state: time comes in, "when" goes out.

`ready_at(now, cost)` is the earliest time at which `cost` may start, if everything before it starts as early as it
may; `take(now, cost)` spends it. Both may be asked for more than fits at once, for a call behind others in line.
"""

from bisect import bisect_left
from collections import deque
from operator import itemgetter
from typing import Protocol

from ._call import INF

STAMPS = 10_000
"""The most stamps that one window keeps; above that, stamps share grains of time and never admit more."""

RECENT = 32
"""How many starts the rate before a pause is judged by."""

UP_TO = itemgetter(2)
"""Of a stamp: what it and those before it cost."""

STARTED = itemgetter(0)
"""Of a lease: when it was used; INF if it was not."""

TOLERANCE = 1e-9
"""Keeps rounding of sums and quotients from making a call wait for a billionth of a second."""


Lease = list[float]
"""A start for a cost of 1 that is granted ahead. Whoever uses it sets its first item to the time."""


class Engine(Protocol):
    """How often calls may start.

    What may start now may start at any later time too, as long as nothing else does: `grant` gives such starts away, to
    be used from the end of the list on. Before anything else is asked, `settle` must say at which times some were used,
    and how many are left.
    """

    most: float

    def try_take(self, now: float, cost: float) -> bool: ...
    def ready_at(self, now: float, cost: float) -> float: ...
    def take(self, now: float, cost: float) -> None: ...
    def grant(self, now: float, most: int) -> list[Lease]: ...
    def settle(self, times: list[float], left: int) -> None: ...
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
        # [when it was last shared, cost, the sum of these up to here]; differences of sums alone would drift
        self._stamps: deque[list[float]] = deque()
        self._gone = 0.0  # the sum up to the last stamp that counts no more
        self._shared = -INF  # until when starts share the newest stamp
        self._expiry = INF  # when the oldest stamp counts no more
        self._left = rate  # what may start now: the rate less the stamps and what is in the air
        self._airborne = 0.0  # taken, but its stamp is still to come

    def try_take(self, now: float, cost: float) -> bool:
        """Spend `cost` if it may start now."""
        if now >= self._expiry:
            self._expire(now)
        left = self._left - cost
        if left < -TOLERANCE:
            return False
        self._left = left
        self._stamp(now, cost)
        return True

    def ready_at(self, now: float, cost: float) -> float:
        if now >= self._expiry:
            self._expire(now)
        if cost <= self._left + TOLERANCE:
            return now
        rounds, rest = divmod(cost, self.rate)
        if rest == 0:
            rounds, rest = rounds - 1, self.rate
        excess = rest - self._left
        if excess <= TOLERANCE:
            return now + rounds * self.per
        place = bisect_left(self._stamps, self._gone + excess - TOLERANCE, key=UP_TO)
        if place == len(self._stamps):
            return INF  # it waits for what is in the air
        return self._stamps[place][0] + (rounds + 1) * self.per

    def take(self, now: float, cost: float) -> None:
        self._left -= cost
        self._stamp(now, cost)

    def grant(self, now: float, most: int) -> list[Lease]:
        """Stamps that are yet to get their times."""
        stamps = self._stamps
        room = int(min(most, self._left + TOLERANCE, STAMPS - len(stamps)))
        if room <= 0:
            return []
        up_to = stamps[-1][2] if stamps else self._gone
        granted = [[INF, 1, up_to + number] for number in range(1, room + 1)]
        stamps.extend(granted)
        self._left -= room
        self._shared = -INF
        granted.reverse()
        return granted

    def settle(self, times: list[float], left: int) -> None:
        stamps = self._stamps
        for _ in range(left):
            stamps.pop()
        self._left += left
        self._expiry = stamps[0][0] + self.per if stamps else INF

    def _stamp(self, now: float, cost: float) -> None:
        stamps = self._stamps
        if now <= self._shared:
            newest = stamps[-1]
            newest[1] += cost
            newest[2] += cost
            if now > newest[0]:
                newest[0] = now
                self._expiry = stamps[0][0] + self.per
        else:
            stamps.append([now, cost, (stamps[-1][2] if stamps else self._gone) + cost])
            count = len(stamps)
            self._shared = now + self.grain if count < STAMPS else INF
            if count == 1:
                self._expiry = now + self.per

    def _expire(self, now: float) -> None:
        stamps, per, gone = self._stamps, self.per, 0.0
        stamp = None
        while stamps and stamps[0][0] + per <= now:  # just as `ready_at` adds them up
            stamp = stamps.popleft()
            gone += stamp[1]
        if stamp is not None:
            self._gone = stamp[2]
            self._left += gone
        if stamps:
            self._expiry = stamps[0][0] + self.per
            if self._shared == INF and len(stamps) < STAMPS:  # there is room for stamps again
                self._shared = -INF
        else:
            self._left, self._gone, self._expiry, self._shared = self.rate - self._airborne, 0.0, INF, -INF

    def idle(self, now: float) -> bool:
        self._expire(now)
        return not self._stamps and self._airborne <= TOLERANCE

    def tokens(self, now: float) -> float:
        """How much may start now."""
        self._expire(now)
        return max(0.0, self._left)


class StrictWindow(SlidingWindow):
    """A window whose starts count until `per` seconds after they landed, when their response headers are here."""

    def grant(self, now: float, most: int) -> list[Lease]:
        return []

    def _stamp(self, now: float, cost: float) -> None:
        self._airborne += cost

    def land(self, now: float, cost: float) -> None:
        """Stamp a start whose answer is here."""
        self._airborne -= cost
        super()._stamp(now, cost)


class LeakyBucket:
    """GCRA: no window of length t holds more than rate x t / per + burst.

    `_due` is the theoretical arrival time: when the bucket is empty again. Source: ITU-T I.371, annex A.
    """

    def __init__(self, rate: float, per: float, burst: float) -> None:
        self.interval = per / rate
        self.burst = self.most = burst
        self._due = -INF

    def try_take(self, now: float, cost: float) -> bool:
        """Spend `cost` if it may start now."""
        if self.ready_at(now, cost) > now:
            return False
        self.take(now, cost)
        return True

    def ready_at(self, now: float, cost: float) -> float:
        ready = max(self._due, now) + (cost - self.burst) * self.interval
        return ready if ready > now + TOLERANCE else now

    def take(self, now: float, cost: float) -> None:
        self._due = max(self._due, now) + cost * self.interval

    def grant(self, now: float, most: int) -> list[Lease]:
        return [[INF] for _ in range(int(min(most, self.tokens(now) + TOLERANCE)))]

    def settle(self, times: list[float], left: int) -> None:
        for at in times:
            self.take(at, 1)

    def idle(self, now: float) -> bool:
        return self._due <= now

    def tokens(self, now: float) -> float:
        """How much may start now."""
        return max(0.0, self.burst - max(0.0, self._due - now) / self.interval)


class Unlimited:
    """No rate of its own."""

    most = INF

    def try_take(self, now: float, cost: float) -> bool:
        return True

    def ready_at(self, now: float, cost: float) -> float:
        return now

    def take(self, now: float, cost: float) -> None:
        pass

    def grant(self, now: float, most: int) -> list[Lease]:
        return [[INF] for _ in range(most)]

    def settle(self, times: list[float], left: int) -> None:
        pass

    def idle(self, now: float) -> bool:
        return True

    def tokens(self, now: float) -> float:
        return INF


class Pace:
    """What the server asked for: a pause of every call, then a spaced restart; or even spacing up to a reset.

    After a pause calls restart at half of the rate that led to it (but at least 1/s), doubling each second until none
    waits, rather than all at once; a pause that follows before that is over halves what the restart had reached. Before
    a reset that little is left for, what is left is spread until then.
    """

    def __init__(self) -> None:
        self.active = False
        """Whether it may hold anything back, now or later."""
        self.paused_until = -INF
        self._spacing = 0.0
        self._spaced_from = -INF
        self._spaced_until = -INF
        self._last = -INF
        self.starts = 0  # since `_marks[1]`; `_marks[0]` is RECENT starts before that
        self._marks = (-INF, -INF)

    def pause(self, now: float, seconds: float) -> bool:
        """Nothing starts for `seconds`. False if a longer pause holds already."""
        until = now + seconds
        if until <= self.paused_until:
            return False
        if self.paused_until <= now:  # not a pause made longer, but a new one
            restarting = self.active and self._spaced_from <= now
            spacing = 2 * (self._spaced_by(now) if restarting else self._recent(now))
            self._spacing = min(1.0, max(0.001, spacing))  # starts at one instant have a distance of 0
        self.active = True
        self.paused_until = self._spaced_from = until
        self._spaced_until = INF
        return True

    def spread(self, now: float, spacing: float, until: float) -> None:
        """Until a reset, keep this distance between starts."""
        if self.paused_until <= now:
            self.active = True
            self._spacing, self._spaced_from, self._spaced_until = spacing, INF, until

    def ready_at(self, now: float, waiting: bool) -> float:
        """The earliest next start. Without anybody waiting, the restart after a pause is over."""
        if now < self.paused_until:
            return self.paused_until
        spacing = self._spaced_by(now)
        restarted = self._spaced_from <= self._last  # the first one after a pause may have a herd behind it
        over = not waiting and restarted and self._last + spacing <= now
        if over or spacing < 1e-4 or now >= self._spaced_until:
            self.active = False
            return now
        return max(now, self._last + spacing)

    def idle(self, now: float) -> bool:
        """Whether nothing that the server asked for is still in force."""
        if self.active:
            self.ready_at(now, waiting=True)
        return not self.active

    def take(self, now: float) -> None:
        """Something starts now."""
        self.starts += 1
        if self.starts >= RECENT or self.active:
            self.mark(now)

    def take_each(self, times: list[float]) -> None:
        """So many starts, at most RECENT, when nothing was asked for."""
        self.starts += len(times)
        if self.starts >= RECENT:
            over = self.starts - RECENT
            self.mark(times[-1 - over])
            self.starts = over

    def mark(self, now: float) -> None:
        """Remember a start: each while pacing, else the last of every RECENT."""
        if self.starts >= RECENT:
            self._marks, self.starts = (self._marks[1], now), 0
        self._last = now

    def _spaced_by(self, now: float) -> float:
        halvings = min(64.0, max(0.0, now - self._spaced_from))
        return float(self._spacing / 2.0**halvings)

    def _recent(self, now: float) -> float:
        """The mean distance of the last starts, at most twice RECENT of them; endless if there were fewer."""
        before, since = self._marks
        if before > -INF:
            return (now - before) / (self.starts + RECENT)
        return (now - since) / (self.starts or 1)
