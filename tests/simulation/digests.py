"""Digests of traces, which every Python is to reproduce.

They are of calls and of the server's counts, with times to the nanosecond: what the logarithms of another system's C
library may change is less. On one system the traces are the same byte for byte.
"""

import hashlib

from seawall import CircuitBreaker, ConcurrencyLimit, Retry, Stack, Throttle, Timeout
from seawall.testing.simulation import Result, Scenario, Simulation

STACK = Stack(
    Timeout(20),
    Retry(3),
    CircuitBreaker(minimum_calls=5, open_for=1),
    ConcurrencyLimit(40),
    Throttle(None),
    Timeout(0.5),
)
"""A bit of everything."""


def begun(scenario: Scenario, calls: int) -> Result:
    """A scenario, up to the second after so many calls."""
    simulation = Simulation(scenario, STACK, seed=5)
    for _ in simulation:
        if len(simulation.result().tally.calls) >= calls:
            break
    return simulation.result()


def rounded(result: Result) -> str:
    """The digest."""
    tally, calls = result.tally, result.tally.calls
    rows = zip(calls.begun, calls.ended, calls.outcome, calls.attempts, calls.group, calls.client, strict=True)
    lines = [f"{begun:.9f} {ended:.9f} {rest}" for begun, ended, *rest in rows]
    lines += [str(list(column)) for column in (tally.attempts, tally.answers, tally.waiting)]
    lines += [f"{useful:.9f} {wasted:.9f}" for useful, wasted in zip(tally.useful, tally.wasted, strict=True)]
    lines += [f"{at:.9f} {rest}" for at, *rest in tally.circuits]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


DIGESTS = {
    "collapse": "786fe4f2363817b7",
    "steps-0.25-1": "e4361b6d6553c35a",
    "steps-0.25-10": "18ab262091163fda",
    "steps-1-1": "1debb5b28766bf95",
    "steps-1-10": "057f818b5d3d938a",
    "steps-2-1": "500119c0978915d7",
    "steps-2-10": "fb8383f9b49b3295",
    "stragglers": "98d8c121d0a637b7",
    "stragglers-slow": "98d8c121d0a637b7",
    "herd": "ff5c7cbf17bfc6ab",
    "tenants-0.95": "12d1d8f1d936f98a",
    "tenants-1.05": "069f66d7a6327b24",
    "coalesce-cancelled": "bd22067935f64219",
    "coalesce-slow": "71e150628876490c",
    "coalesce-failing": "f81c4e0d8e37c2f8",
    "small calm": "4724a41ffbb41806",
    "small stall": "842532d22406bd97",
    "small spike": "e157b4dce2fe7e23",
    "small outage": "b2ac1f57355c5b07",
    "small brownout": "26ac5774522369d4",
    "small errors": "ae715ad0d1cde913",
    "small errors-1": "880475fda98d0382",
}
