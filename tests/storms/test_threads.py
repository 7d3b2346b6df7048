"""One State shared by threads and event loops at once; `SEAWALL_STORMS=5000 pytest` does it with 50 seeds, not 6."""

import os
from typing import Any

import pytest

from seawall import CircuitBreaker, ConcurrencyLimit, Retry, RetryBudget, Stack, Throttle, Timeout
from seawall._rate import LeakyBucket

from .case import Fixed
from .hammer import LOOPS, TASKS, THREADS, Hammer

SEEDS = range(max(1, int(os.environ.get("SEAWALL_STORMS", "600")) // 100))
CALLS = 30
"""Of each thread and task."""
RETRY = Retry(3, wait=Fixed(0.0005), budget=RetryBudget(100, transient=5, throttled=2))
CIRCUIT = CircuitBreaker(consecutive=4, minimum_calls=10, open_for=0.002, max_open_for=0.01, probes=2)
STACKS = {
    "whole": Stack(Timeout(30), RETRY, CIRCUIT, ConcurrencyLimit(3), Throttle(5, per=0.01), Timeout(5)),
    "limit": Stack(RETRY, ConcurrencyLimit(2, queue=4)),
    "bucket": Stack(CIRCUIT, Throttle(1000, burst=3), ConcurrencyLimit(3)),
}
LIMITS = {"whole": 3, "limit": 2, "bucket": 3}


def check_rates(hammer: Hammer) -> None:
    """Whatever a throttle granted keeps to its rate.

    A call reads the clock before it takes the lock, and may be late: a start counts from the time that it was asked
    with, and a later one was granted at the time at which the lock was held.
    """
    for granted in hammer.stamps.values():
        engine: Any = granted[0][2]
        for j, (_, at, _) in enumerate(granted):
            if isinstance(engine, LeakyBucket):
                held = all(
                    j - i + 1 <= (at - asked) / engine.interval + engine.burst + 1e-6
                    for i, (asked, _, _) in enumerate(granted[: j + 1])
                )
            else:
                held = sum(asked + engine.per > at + 1e-6 for asked, _, _ in granted[:j]) < engine.rate
            assert held, f"{engine!r} granted too much at {at}"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", STACKS)
def test_threads_and_loops_share_one_state(name: str, seed: int):
    """Eight threads and two loops, on locks that yield: every call ends, no bound is passed, nothing is left."""
    hammer = Hammer(seed, STACKS[name], LIMITS[name], calls=CALLS)
    hammer.run()
    check_rates(hammer)
    assert hammer.outcomes.total() == (THREADS + LOOPS * TASKS) * CALLS
    assert hammer.outcomes["response"] > 20
