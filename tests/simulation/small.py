"""What tests of the simulation share: a small scenario, stacks, and confidence intervals."""

import statistics
from typing import Any

from seawall import CircuitBreaker, Retry, RetryBudget, Stack, Timeout, full_jitter
from seawall.testing.simulation import Poisson, Scenario, Server, Traffic

PATIENT = Stack(Timeout(1e6))
"""Lets everything through, and waits for it."""
BUSY = Stack(Timeout(20), Retry(3, budget=RetryBudget(100)), CircuitBreaker(minimum_calls=5, open_for=1), Timeout(0.5))
STUBBORN = Stack(Timeout(600), Retry(3, budget=None, wait=full_jitter(base=0.1, throttled=0.1)), Timeout(1))


def scenario(server: Server | None = None, *traffic: Traffic, duration: float = 30, **options: Any) -> Scenario:
    """A scenario of these, or of a small server and a few clients."""
    return Scenario(
        name="small",
        server=Server(slots=5) if server is None else server,
        traffic=traffic or [Traffic(arrivals=Poisson(30), clients=3)],
        duration=duration,
        **options,
    )


STUDENT = 4.781
"""Student's t for ten samples and a confidence of 99.9 %."""


def interval(samples: list[float]) -> tuple[float, float]:
    """Where the mean lies of which these ten are independent samples, with a confidence of 99.9 %."""
    assert len(samples) == 10
    mean, error = statistics.fmean(samples), statistics.stdev(samples) / len(samples) ** 0.5
    return mean - STUDENT * error, mean + STUDENT * error


def assert_within(samples: list[float], theory: float, width: float) -> None:
    """Theory lies in the confidence interval of the samples, and that is no wider than a share of it."""
    low, high = interval(samples)
    assert low <= theory <= high, (low, theory, high)
    assert high - low <= width * theory, (low, theory, high)
