"""The engines of rates against slow models that keep every start, with times and costs that floats hold exactly."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stepping import INF

from seawall import _rate
from seawall._rate import LeakyBucket, SlidingWindow, StrictWindow

MOMENT = 1 / 1024
"""A step of time much shorter than any that calls keep between them."""
PER = 2.0
costs = st.sampled_from([0.5, 1.0, 1.0, 1.0, 3.0])


class RateModel(RuleBasedStateMachine):
    """Calls of several costs ask, wait for the time that they are told, and start."""

    engine: Any
    rate = 4.0

    def __init__(self) -> None:
        super().__init__()
        self.time = 100.0
        self.starts: list[tuple[float, float]] = []  # every one there ever was

    def room(self, now: float) -> float:
        """What may start at a time if nothing does before."""
        raise NotImplementedError

    def events(self, now: float) -> list[float]:
        """When there may come to be more room, in order."""
        raise NotImplementedError

    def ready(self, cost: float) -> float:
        """The earliest time at which it fits: the slow way, by trying every one."""
        return next((at for at in [self.time, *self.events(self.time)] if self.room(at) >= cost), INF)

    def start(self, cost: float) -> None:
        self.starts.append((self.time, cost))

    @rule(seconds=st.sampled_from([0.0, 1 / 64, 0.25, 0.5, 1.0, PER, 3 * PER]))
    def wait(self, seconds: float) -> None:
        self.time += seconds

    @rule(cost=costs)
    def ask(self, cost: float) -> None:
        """It starts at once if, and only if, there is room for it."""
        room = self.room(self.time) >= cost
        assert self.engine.try_take(self.time, cost) == room
        if room:
            self.start(cost)

    @rule(cost=costs)
    def line_up(self, cost: float) -> None:
        """What is told is exact: a call fits at that time, and does not a moment earlier."""
        at = self.engine.ready_at(self.time, cost)
        assert at == self.ready(cost)
        if at == INF:
            return
        if at > self.time:
            assert not deepcopy(self.engine).try_take(at - MOMENT, cost)
            assert deepcopy(self.engine).ready_at(at - MOMENT, cost) == at
        self.time = at
        assert deepcopy(self.engine).try_take(at, cost)
        self.engine.take(at, cost)
        self.start(cost)

    @invariant()
    def agrees(self) -> None:
        """What is left, and whether anything still counts."""
        assert self.engine.tokens(self.time) == max(0.0, self.room(self.time))
        assert self.engine.idle(self.time) == (self.room(self.time) == self.engine.most)

    @invariant()
    def keeps_the_rate(self) -> None:
        """Over the whole list of starts, not only the last ones."""
        for index, (since, _) in enumerate(self.starts):
            total = 0.0
            for at, cost in self.starts[index:]:
                total += cost
                assert total <= self.allowed(at - since)

    def allowed(self, seconds: float) -> float:
        """The most that two starts so far apart may have between them, themselves included."""
        return self.rate if seconds < PER else INF


class SlidingModel(RateModel):
    """A window that is exact wherever it starts."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = SlidingWindow(self.rate, PER)

    def room(self, now: float) -> float:
        return self.rate - sum(cost for at, cost in self.starts if at + PER > now)

    def events(self, now: float) -> list[float]:
        return [at + PER for at, _ in self.starts if at + PER > now]

    @rule(cost=st.sampled_from([4.0, 5.5, 8.0, 13.0]))
    def look_far(self, cost: float) -> None:
        """For a call behind others: when the last of so much starts, if all of it goes as early as it may."""
        planned, at, left = deepcopy(self), self.time, cost
        while (room := planned.room(at)) < left:
            if room > 0:
                planned.starts.append((at, room))
                left -= room
            at = planned.events(at)[0]
        assert self.engine.ready_at(self.time, cost) == at

    def __deepcopy__(self, memo: Any) -> Any:
        copy = type(self)()
        copy.time, copy.starts = self.time, self.starts.copy()
        return copy


class StrictModel(RateModel):
    """A window in which a start counts from when it goes out until `PER` seconds after it landed."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = StrictWindow(self.rate, PER)
        self.flying: list[float] = []
        self.landed: list[tuple[float, float]] = []

    def room(self, now: float) -> float:
        return self.rate - sum(self.flying) - sum(cost for at, cost in self.landed if at + PER > now)

    def events(self, now: float) -> list[float]:
        return [at + PER for at, _ in self.landed if at + PER > now]

    def start(self, cost: float) -> None:
        super().start(cost)
        self.flying.append(cost)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def land(self, data: Any) -> None:
        cost = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.engine.land(self.time, cost)
        self.landed.append((self.time, cost))


class BucketModel(RateModel):
    """GCRA, held to a plain bucket of tokens."""

    @initialize(burst=st.sampled_from([1.0, 3.0, 4.0, 8.0]))
    def begin(self, burst: float) -> None:
        self.burst = burst
        self.engine = LeakyBucket(self.rate, PER, burst)
        self.left, self.since = burst, self.time

    def room(self, now: float) -> float:
        return min(self.burst, self.left + (now - self.since) * self.rate / PER)

    def ready(self, cost: float) -> float:
        return max(self.time, self.since + (cost - self.left) * PER / self.rate)

    def start(self, cost: float) -> None:
        super().start(cost)
        self.left, self.since = self.room(self.time) - cost, self.time

    @rule(cost=costs)
    def line_up(self, cost: float) -> None:
        """As for windows, for a cost that fits at all."""
        super().line_up(min(cost, self.burst))

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "burst"):
            super().agrees()

    def allowed(self, seconds: float) -> float:
        return self.burst + seconds * self.rate / PER


class CoarseModel(RuleBasedStateMachine):
    """Windows with more starts than they have stamps for: bounded, never too many, and never stuck."""

    MOST = 8

    @initialize(rate=st.sampled_from([4.0, 12.0, 40.0]))
    def begin(self, rate: float) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(_rate, "STAMPS", self.MOST)
        self.rate, self.time = rate, 100.0
        self.engine = SlidingWindow(rate, PER)
        self.starts: list[tuple[float, float]] = []

    def start(self, cost: float) -> None:
        self.starts.append((self.time, cost))
        assert sum(cost for at, cost in self.starts if at + PER > self.time) <= self.rate

    @rule(seconds=st.sampled_from([1 / 64, 1 / 8, 0.5, PER]))
    def wait(self, seconds: float) -> None:
        self.time += seconds

    @rule(cost=st.sampled_from([0.25, 1.0, 4.0]), count=st.integers(1, 6), gap=st.sampled_from([0.0, 1 / 64, 1 / 8]))
    def ask(self, cost: float, count: int, gap: float) -> None:
        for _ in range(count):
            if self.engine.try_take(self.time, cost):
                self.start(cost)
            self.time += gap

    @rule(cost=st.sampled_from([0.25, 4.0]))
    def line_up(self, cost: float) -> None:
        """It may be told a later time than need be, but at that time it starts; after a period all is over."""
        at = self.engine.ready_at(self.time, cost)
        last = self.starts[-1][0] if self.starts else -INF
        assert self.time <= at <= max(self.time, last + PER)
        self.time = at
        assert self.engine.try_take(at, cost)
        self.start(cost)

    @invariant()
    def is_bounded(self) -> None:
        if hasattr(self, "engine"):
            assert len(self.engine._stamps) <= self.MOST
            assert self.engine.tokens(self.time) <= self.rate
            if not any(at + PER > self.time for at, _ in self.starts):
                assert self.engine.idle(self.time)
                assert self.engine.tokens(self.time) == self.rate

    def teardown(self) -> None:
        """The bound is the module's own again."""
        if hasattr(self, "patch"):
            self.patch.undo()


TestSlidingModel = SlidingModel.TestCase
TestStrictModel = StrictModel.TestCase
TestBucketModel = BucketModel.TestCase
TestCoarseModel = CoarseModel.TestCase
