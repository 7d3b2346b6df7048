"""What is compared of a real and of simulated runs, and of which stacks."""

from collections.abc import Iterable

from seawall import CircuitBreaker, Retry, Stack, Timeout, full_jitter, standard
from seawall.testing.simulation import Exponential, Poisson, Result, Scenario, Schedule, Server, Traffic

ATTEMPT = 0.5
BREAKER = CircuitBreaker(minimum_calls=5, open_for=0.5, max_open_for=0.5)
WAIT = full_jitter(base=0.05, throttled=0.05)

STACKS = {
    "no retry": Stack(Timeout(ATTEMPT)),
    "naive": Stack(Timeout(10), Retry(3, wait=WAIT, budget=None), Timeout(ATTEMPT)),
    "breaker": Stack(Timeout(10), Retry(3, wait=WAIT), BREAKER, Timeout(ATTEMPT)),
    "standard": Stack(*list(standard())[:-1], Timeout(ATTEMPT)),
}
"""Too few retries to matter, too many, and what ends a storm."""


def stall(*, slots: int, begin: float, end: float, duration: float) -> Scenario:
    """The scenario `stall` on a tenth of its scale: so little to do that it is not the machine that is measured."""
    return Scenario(
        name="real stall",
        about=f"A server of {slots} slots and 100 ms, at 70 % of what it can do, stalls from {begin:g} to {end:g} s.",
        server=Server(slots=Schedule.during(begin, end, 0, usually=slots), service=Exponential(0.1)),
        traffic=[Traffic(arrivals=Poisson(0.7 * slots / 0.1), clients=4)],
        duration=duration,
        drain=15.0,
        fault=(begin, end),
        attempt_timeout=ATTEMPT,
    )


STALL = stall(slots=5, begin=5, end=8, duration=30)

SLACK = {"success": 0.05, "goodput after": 0.1, "amplification": 0.1, "peak": 0.3, "wasted": 0.1}
"""How far a real run may be beyond the span of simulated ones: HTTP adds a millisecond or two to each 100 ms of
service, and an event loop that is late now and then adds attempts that time out."""


def figures(result: Result) -> dict[str, float]:
    """Counts and ratios: none of them in seconds, which a busy machine stretches."""
    fault, end = result.scenario.fault or (0.0, 0.0)
    return {
        "success": result.success,
        "goodput after": result.goodput(end, result.scenario.duration),
        "amplification": result.amplification,
        "peak": result.peak_amplification(2),
        "wasted": result.waste(fault, result.scenario.duration),
    }


def spanned(results: Iterable[Result]) -> dict[str, tuple[float, float]]:
    """The least and the most of each figure."""
    rows = [figures(result) for result in results]
    return {name: (min(row[name] for row in rows), max(row[name] for row in rows)) for name in rows[0]}
