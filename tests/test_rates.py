"""The arithmetic of rates: what each engine may and may not let start, whatever is asked of it and when."""

import asyncio
from bisect import bisect_left
from typing import Any

import pytest
import virtual_loop
from aiolimiter import AsyncLimiter
from calls import URL, asking, client, outcome
from hypothesis import given
from hypothesis import strategies as st

from seawall import Throttle, _rate
from seawall._rate import STAMPS, LeakyBucket, Pace, SlidingWindow, StrictWindow
from seawall.testing import ScriptedServer, VirtualRuntime

SLACK = 1e-6
"""Units of cost, and seconds: what rounding may add up to."""

arrivals = st.lists(
    st.tuples(st.floats(0, 3), st.sampled_from([1, 1, 1, 2, 0.5, 3])),  # passes before it comes, costs
    min_size=1,
    max_size=60,
)


def schedule(engine: Any, asked: list[tuple[float, float]], start: float = 1000.0) -> list[tuple[float, float]]:
    """When each call starts if it goes as early as it may, one behind the other: (time, cost)."""
    now, clock, made = start, start, []
    for passed, cost in asked:
        clock += passed
        now = max(now, clock)
        while (ready := engine.ready_at(now, cost)) > now:
            now = ready
        engine.take(now, cost)
        made.append((now, cost))
    return made


def busiest(made: list[tuple[float, float]], length: float) -> float:
    """The most cost in any half-open window of this length: it is enough to look at those that begin with a start."""
    times, most = [at for at, _ in made], 0.0
    for index, at in enumerate(times):
        end = bisect_left(times, at + length - SLACK)
        most = max(most, sum(cost for _, cost in made[index:end]))
    return most


@given(asked=arrivals, rate=st.integers(3, 12), per=st.sampled_from([0.1, 1.0, 7.5, 60.0]))
def test_no_window_wherever_it_starts_holds_more_than_the_rate(asked: Any, rate: int, per: float):
    """A sliding window is exact: not 199 in a second for a rate of 100, as a bucket would let through."""
    made = schedule(SlidingWindow(rate, per), [(passed * per / 3, cost) for passed, cost in asked])
    assert busiest(made, per) <= rate + SLACK


@given(asked=arrivals, rate=st.integers(3, 12))
def test_a_sliding_window_keeps_nobody_longer_than_it_must(asked: Any, rate: int):
    """A call starts when it comes, or when starting any earlier would have passed the rate."""
    made = schedule(SlidingWindow(rate, 1.0), asked)
    clock, previous = 1000.0, 1000.0
    for index, (at, cost) in enumerate(made):
        clock += asked[index][0]
        if at > max(clock, previous):
            before = sum(c for t, c in made[:index] if t > at - 1.0 - SLACK)
            assert before + cost > rate
        previous = at


def test_a_quota_is_spent_at_once_and_comes_back_a_period_later():
    """Ten starts at once, the next ten exactly one period after them."""
    made = schedule(SlidingWindow(10, 1.0), [(0, 1)] * 25, start=0)
    assert [at for at, _ in made] == [0.0] * 10 + [1.0] * 10 + [2.0] * 5


@given(
    rate=st.integers(STAMPS + 1, 5 * STAMPS),
    gaps=st.lists(st.tuples(st.floats(0, 0.4), st.integers(1, 4000)), min_size=1, max_size=40),
)
def test_above_ten_thousand_stamps_memory_is_bounded_and_never_more_is_admitted(rate: int, gaps: Any):
    """Starts that share a stamp count as long as the last of them: the window may admit less, never more."""
    engine, now, made = SlidingWindow(rate, 1.0), 50.0, []
    for passed, burst in gaps:
        now += passed
        for _ in range(burst):
            if engine.ready_at(now, 1) > now:
                break
            engine.take(now, 1)
            now += 1e-7
            made.append((now, 1))
        assert len(engine._stamps) <= STAMPS
    times = [at for at, _ in made]
    assert all(index - bisect_left(times, at - 1.0 + SLACK) < rate for index, at in enumerate(times))


def test_fractions_of_a_start_are_bounded_too():
    """Many starts of a tiny cost keep no more than STAMPS stamps, and still never admit more than the rate."""
    engine, now, spent = SlidingWindow(10, 1.0), 0.0, 0.0
    for _ in range(3 * STAMPS):
        now += 1e-6
        assert engine.ready_at(now, 1e-4) == now
        engine.take(now, 1e-4)
        spent += 1e-4
    assert len(engine._stamps) <= STAMPS
    assert engine.tokens(now) == pytest.approx(10 - spent)
    assert engine.ready_at(now, 8) > now
    assert engine.tokens(now + 1.0) == 10


@given(
    asked=arrivals, rate=st.sampled_from([1, 2.5, 10]), per=st.sampled_from([1.0, 60.0]), burst=st.integers(3, 15)
)  # fmt: skip
def test_a_bucket_lets_no_window_of_any_length_hold_more_than_rate_and_burst(
    asked: Any, rate: float, per: float, burst: int
):
    """GCRA: between any two starts, t apart, lie at most rate x t / per + burst units of cost."""
    made = schedule(LeakyBucket(rate, per, burst), [(passed * per / 3, cost) for passed, cost in asked])
    for first in range(len(made)):
        total = 0.0
        for at, cost in made[first:]:
            total += cost
            assert total <= rate * (at - made[first][0]) / per + burst + SLACK


def test_a_burst_of_one_is_evenly_paced():
    """Ten a second, never two within 100 ms."""
    made = schedule(LeakyBucket(10, 1.0, 1), [(0, 1)] * 5, start=0)
    assert [at for at, _ in made] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


@given(
    flights=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2), st.floats(0, 1)), min_size=1, max_size=40),
    rate=st.integers(1, 6),
)
def test_the_server_s_window_never_sees_more_than_a_strict_rate(flights: Any, rate: int):
    """Wherever between send and headers each request really arrived, the server's own window holds."""
    engine, now = StrictWindow(rate, 1.0), 0.0
    flying: list[float] = []  # when the headers of each will be here
    arrived: list[float] = []
    for passed, latency, share in flights:
        now += passed
        while True:
            for landing in sorted(one for one in flying if one <= now):
                flying.remove(landing)
                engine.land(landing, 1)
            ready = engine.ready_at(now, 1)
            if ready <= now:
                break
            now = min([ready, *flying])
        engine.take(now, 1)
        flying.append(now + latency)
        arrived.append(now + latency * share)
    arrived.sort()
    assert busiest([(at, 1.0) for at in arrived], 1.0) <= rate


def schedule_of_asyncio(rate: float, per: float, times: list[float]) -> list[float]:
    """When a real AsyncLimiter lets calls of these arrival times start."""
    made: list[float] = []

    async def one(limiter: AsyncLimiter, at: float) -> None:
        await asyncio.sleep(at)
        await limiter.acquire()
        made.append(asyncio.get_running_loop().time())

    async def main() -> None:
        limiter = AsyncLimiter(rate, per)
        await asyncio.gather(*(one(limiter, at) for at in times))

    virtual_loop.run(main())
    return sorted(made)


def schedule_of_throttle(policy: Throttle, times: list[float]) -> list[float]:
    """When a client with this throttle sends calls of these arrival times."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def one(c: Any, at: float) -> None:
        await runtime.sleep(at)
        await c.get(URL)

    async def main() -> None:
        async with client(server, policy) as c:
            for task in [runtime.spawn(one(c, at)) for at in times]:
                await task

    runtime.run(main())
    return sorted(request.at for request in server.requests)


@given(
    rate=st.integers(1, 10),
    per=st.sampled_from([0.5, 1.0, 60.0]),
    shares=st.lists(st.integers(0, 400), min_size=1, max_size=40),
)
def test_a_burst_of_the_rate_is_aiolimiter_s_schedule(rate: int, per: float, shares: list[int]):
    """Throttle(r, per=p, burst=r) starts calls exactly when a real AsyncLimiter(r, p) would."""
    times = [share * per / 100 for share in sorted(shares)]
    ours = schedule_of_throttle(Throttle(rate, per=per, burst=rate), times)
    assert ours == pytest.approx(schedule_of_asyncio(rate, per, times), abs=1e-4 * per)


@given(
    rate=st.integers(2, 6),
    calls=st.lists(st.tuples(st.floats(0, 4), st.integers(1, 2), st.integers(-1, 1)), min_size=1, max_size=25),
    cancelled=st.lists(st.tuples(st.integers(0, 24), st.floats(0, 6)), max_size=8),
)
def test_a_line_of_any_shape_keeps_the_rate(rate: int, calls: Any, cancelled: Any):
    """With priorities, costs and cancellations at any time, every window holds and everybody else is served."""
    runtime, server, costs = VirtualRuntime(), ScriptedServer(), {}

    async def one(c: Any, index: int) -> Any:
        at, cost, priority = calls[index]
        await runtime.sleep(at)
        return await c.get(f"{URL}/{index}", **asking(cost=cost, priority=priority))

    async def main() -> None:
        async with client(server, Throttle(rate)) as c:
            tasks = [runtime.spawn(one(c, index)) for index in range(len(calls))]
            gone = set()
            for index, at in cancelled:
                if index < len(tasks):
                    runtime.call_at(at, tasks[index].cancel)
                    gone.add(index)
            for index, task in enumerate(tasks):
                if index not in gone:
                    assert (await outcome(task)).status_code == 200

    runtime.run(main())
    for request in server.requests:
        costs[request.url] = calls[int(request.url.rpartition("/")[2])][1]
    made = sorted((request.at, float(costs[request.url])) for request in server.requests)
    assert busiest(made, 1.0) <= rate + SLACK


def test_a_rate_below_one_is_one_per_a_longer_period():
    """Throttle(0.5) is one start every two seconds."""
    assert schedule_of_throttle(Throttle(0.5), [0.0] * 3) == [0, 2, 4]
    assert schedule_of_throttle(Throttle(0.1, per=60), [0.0] * 2) == [0, 600]


def test_a_rate_between_one_and_two_is_a_window_like_any_other():
    """Throttle(1.5) has room for one start of cost 1 in any second, not for one each two thirds of a second."""
    assert schedule_of_throttle(Throttle(1.5), [0.0] * 3) == [0, 1, 2]


def test_calls_that_find_room_do_not_wait():
    """A throttle that is not exhausted costs no time."""
    assert schedule_of_throttle(Throttle(3), [0.0, 0.1, 0.2, 1.0, 1.1]) == [0.0, 0.1, 0.2, 1.0, 1.1]


class Looked(SlidingWindow):
    """A window that tells when it looked at its stamps."""

    def __init__(self, rate: float, per: float) -> None:
        super().__init__(rate, per)
        self.looks: list[float] = []

    def _expire(self, now: float) -> None:
        self.looks.append(now)
        super()._expire(now)


def test_a_window_looks_at_its_stamps_only_when_the_oldest_is_due():
    """While it has room a start costs one comparison, however many stamps there are."""
    window = Looked(4, 1.0)
    assert all(window.try_take(at, 0.5) for at in (0.0, 0.25, 0.5, 0.75, 1.0, 1.125, 1.25))
    assert window.looks == [1.0, 1.25]


def test_a_stamp_that_is_shared_is_due_a_period_after_its_last_start(monkeypatch: pytest.MonkeyPatch):
    """Where starts share grains of time, too, nothing is looked at before that."""
    monkeypatch.setattr(_rate, "STAMPS", 4)
    window = Looked(8, 1.0)
    assert all(window.try_take(at, 0.5) for at in (0.0, 0.25, 0.375, 1.0, 1.375))
    assert window.looks == [1.375]


def test_a_pace_that_nothing_was_asked_of_holds_nobody_back():
    """Whoever waits, and however close calls come."""
    pace = Pace()
    pace.mark(5.0)
    assert pace.ready_at(5.0, waiting=True) == 5.0
    assert pace.idle(5.0)


@pytest.mark.parametrize(
    "policy", [Throttle(5), Throttle(5, burst=5), Throttle(5, strict=True), Throttle(5, burst=1)], ids=repr
)
def test_what_is_left_is_told(policy: Throttle):
    """`tokens` counts down with each start and recovers with time."""
    engine = policy.new_state().engine
    full = engine.tokens(0.0)
    assert full == engine.most
    engine.take(0.0, 1)
    assert engine.tokens(0.0) == full - 1
    assert not engine.idle(0.0)
    if policy.strict:
        engine.land(0.0, 1)
    assert engine.tokens(10.0) == full
    assert engine.idle(10.0)


def test_a_strict_window_of_fractions_becomes_idle_again():
    """Rounding of what was in the air does not keep a key for ever."""
    engine = StrictWindow(1, 1.0)
    costs = [0.1, 0.2, 0.3]
    for cost in costs:
        engine.take(0.0, cost)
    for cost in costs:
        engine.land(0.0, cost)
    assert engine.idle(2.0)


# -- starts that are granted in advance

granted = st.lists(
    st.tuples(
        st.integers(0, 192),  # 64ths of a second pass before; where a billionth decides is another test's
        st.booleans(),  # one tries by itself
        st.integers(0, 6),  # are asked for
        st.lists(st.integers(0, 26), max_size=6),  # are used, so many 64ths apart
    ),
    max_size=30,
)


@pytest.mark.parametrize(
    "kind", [SlidingWindow, lambda rate, per: LeakyBucket(rate, per, rate)], ids=["window", "bucket"]
)
@given(rounds=granted, rate=st.integers(1, 9), per=st.sampled_from([0.5, 1.0, 4.0]))
def test_a_start_granted_in_advance_counts_like_any_other(kind: Any, rounds: Any, rate: int, per: float):
    """Leases that were used are starts at the times of their use, and those that were not have never been."""
    leased, plain, now = kind(rate, per), kind(rate, per), 1000.0
    for passed, another, most, gaps in rounds:
        now += passed / 64
        if another:
            assert leased.try_take(now, 1) == plain.try_take(now, 1)
        for cost in {1, rate}:
            assert leased.ready_at(now, cost) == pytest.approx(plain.ready_at(now, cost), abs=SLACK)
        assert leased.tokens(now) == pytest.approx(plain.tokens(now))
        leases = leased.grant(now, most)
        assert len(leases) == min(most, int(plain.tokens(now) + SLACK))
        times = []
        for gap in gaps[: len(leases)]:
            now += gap / 64
            times.append(now)
            leases.pop()[0] = now
            plain.take(now, 1)
        leased.settle(times, len(leases))
    assert leased.idle(now) == plain.idle(now)
    assert leased.idle(now + 50 * per)


def test_starts_granted_in_advance_are_stamps_that_there_may_be(monkeypatch: pytest.MonkeyPatch):
    """Where starts cost less than one, no more are granted than there are stamps for."""
    monkeypatch.setattr(_rate, "STAMPS", 5)
    window = SlidingWindow(5, 1.0)
    for now in (0.0, 0.1, 0.2):
        window.take(now, 0.5)
    assert len(window.grant(0.3, 32)) == 2
    window.settle([], 2)
    for now in (0.4, 0.5):
        window.take(now, 0.5)
    assert window.grant(0.6, 32) == []
