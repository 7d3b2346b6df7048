"""What queueing theory says of a server, and how far a run of some length may be from it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial
from typing import Self

SURE = 3.29
"""Standard deviations within which a figure lies with a probability of 99.9 %."""


@dataclass(frozen=True)
class Expected:
    """A figure of the number of requests at a server, in the long run."""

    mean: float
    variance: float
    spread: float
    """The variance of the figure's average over a stretch of time, times the length of the stretch."""

    @classmethod
    def of(cls, births: Callable[[int], float], deaths: Callable[[int], float], figure: Callable[[int], float]) -> Self:
        """For a birth-death process: `births(n)` and `deaths(n)` are the rates at which n becomes one more or less.

        The spread is that of W. Whitt, "Asymptotic formulas for Markov processes with applications to simulation",
        Operations Research 40 (1992).
        """
        shares, count = [1.0], 0
        while shares[-1] > 1e-15 and births(count) > 0:
            shares.append(shares[-1] * births(count) / deaths(count + 1))
            count += 1
        whole = sum(shares)
        shares = [share / whole for share in shares]
        mean = sum(share * figure(n) for n, share in enumerate(shares))
        variance = sum(share * (figure(n) - mean) ** 2 for n, share in enumerate(shares))
        spread = below = 0.0
        for n, share in enumerate(shares[:-1]):
            below += share * (figure(n) - mean)
            spread += 2 * below**2 / (births(n) * share)
        return cls(mean, variance, spread)


def mmc(slots: int, rate: float, service: float, figure: Callable[[int], float]) -> Expected:
    """Poisson arrivals, exponential service, a line without bound."""
    return Expected.of(lambda n: rate, lambda n: min(n, slots) / service, figure)


def erlang_c(slots: int, load: float) -> float:
    """The share of calls that wait, where all wait who find every slot busy."""
    terms = [load**n / factorial(n) for n in range(slots)]
    last = load**slots / factorial(slots) / (1 - load / slots)
    return last / (sum(terms) + last)


def assert_near(measured: float, theory: float, deviation: float, *, width: float) -> None:
    """A figure is as near to theory as 99.9 % of them are, and that is within a share of it, or it says nothing."""
    assert abs(measured - theory) <= SURE * deviation, (measured, theory, SURE * deviation)
    assert SURE * deviation <= width * theory, f"a longer run is needed: {SURE * deviation / theory:.2f}"
