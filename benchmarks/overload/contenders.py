"""Who is put through the scenarios: published algorithms, and Seawall's recommended stack."""

from collections.abc import Callable

import seawall
from benchmarks.overload.algorithms.limit import Aimd, Gradient2, InFlight, Vegas, Windowed
from benchmarks.overload.algorithms.priority import StrictPriority
from benchmarks.overload.algorithms.repeat import Budget, FinagleBudget, Repeat, Unlimited, aws, tenth
from benchmarks.overload.algorithms.throttle import AdaptiveThrottle
from seawall import CircuitBreaker, ConcurrencyLimit, Policy, Stack, Timeout
from seawall.testing.simulation import Scenario

WHOLE = 600.0
"""Seconds for a whole call: more than any of these takes."""


def none(scenario: Scenario) -> Stack:
    """No retries at all."""
    return Stack(Timeout(scenario.attempt_timeout))


def retrying(
    scenario: Scenario, *inner: Policy, budget: Callable[[], Budget] = Unlimited, exact: bool = False
) -> Stack:
    """Retries with full jitter around other policies."""
    repeat = Repeat(attempts=scenario.attempts, budget=budget, exact=exact)
    return Stack(Timeout(WHOLE), repeat, *inner, Timeout(scenario.attempt_timeout))


def limited(scenario: Scenario, limit: InFlight) -> Stack:
    """A limit in flight alone, for scenarios in which nothing fails."""
    return Stack(Timeout(WHOLE), limit, Timeout(scenario.attempt_timeout))


def standard(scenario: Scenario) -> Stack:
    """Seawall's own, as it is but for the timeout of an attempt, which is the scenario's; at most its 10 s."""
    stack = seawall.standard()
    seconds = min(scenario.attempt_timeout, stack.attempt_timeout)
    return Stack(*list(stack)[:-1], Timeout(seconds))


Contender = Callable[[Scenario], Stack]

RETRIES: dict[str, Contender] = {
    "no retry": none,
    "naive": retrying,
    "finagle": lambda scenario: retrying(scenario, budget=FinagleBudget),
    "sre throttle": lambda scenario: retrying(scenario, AdaptiveThrottle()),
    "aws bucket": lambda scenario: retrying(scenario, budget=aws),
    "success bucket": lambda scenario: retrying(scenario, budget=tenth),
    "breaker+bucket": lambda scenario: retrying(scenario, CircuitBreaker(max_open_for=5), budget=tenth),
    "aimd+bucket": lambda scenario: retrying(scenario, InFlight(algorithm=Aimd, max_wait=0), budget=tenth),
    "seawall": standard,
}
"""Against a server in trouble."""

LIMITS: dict[str, Contender] = {
    "no limit": none,
    "aimd": lambda scenario: limited(scenario, InFlight(algorithm=Aimd)),
    "gradient2": lambda scenario: limited(scenario, InFlight(algorithm=lambda: Windowed(Gradient2()))),
    "vegas": lambda scenario: limited(scenario, InFlight(algorithm=Vegas)),
    "seawall": standard,
}
"""Against a server whose capacity changes."""

HERD: dict[str, Contender] = {
    "naive": retrying,
    "exact wait": lambda scenario: retrying(scenario, exact=True),
    "seawall": standard,
}
"""Against a quota."""

TENANTS: dict[str, Contender] = {
    "no limit": none,
    "strict priority": lambda scenario: Stack(Timeout(WHOLE), StrictPriority(), Timeout(scenario.attempt_timeout)),
    "seawall limit": lambda scenario: Stack(Timeout(WHOLE), ConcurrencyLimit(50), Timeout(scenario.attempt_timeout)),
}
"""With several classes of calls in one client; as many in flight as the server has slots."""

PLAIN: dict[str, Contender] = {"no retry": none, "naive": retrying, "seawall": standard}
"""Where what would help is not there yet."""

FAMILIES = {"steps": LIMITS, "herd": HERD, "tenants": TENANTS, "coalesce": PLAIN, "stragglers": PLAIN}


def family(scenario: Scenario) -> str:
    """What kind of scenario it is: those of one kind are played by the same contenders, and have one table."""
    return scenario.name.partition("-")[0]


def contenders(scenario: Scenario) -> dict[str, Contender]:
    """Who plays a scenario."""
    return FAMILIES.get(family(scenario), RETRIES)


NAMES = tuple(dict.fromkeys(name for group in (RETRIES, *FAMILIES.values()) for name in group))
