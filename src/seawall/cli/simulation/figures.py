"""The figures that contenders are compared by, as numbers and as words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

from seawall.testing.simulation import Result, Scenario
from seawall.testing.simulation.result import STEADY
from seawall.testing.simulation.schedule import INF

from ..comparison import seconds
from .run import Run

AFTER = 60.0
"""Seconds after a fault that count as the time after it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a contender's: None where there is none, and then the words say why."""

    value: float | None
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of every contender."""

    name: str
    figures: tuple[Figure, ...]


@lru_cache(maxsize=1)  # the terminal and the page show the same
def rows(run: Run) -> list[Row]:
    """Every figure of a run."""
    return [Row(name, tuple(map(figure, run.results))) for name, figure in _kinds(run.scenario)]


def _kinds(scenario: Scenario) -> Iterator[tuple[str, Callable[[Result], Figure]]]:
    yield "requests made", lambda result: _count(len(result.tally.calls))
    yield "success", partial(_share, begin=0.0, end=INF)
    if scenario.fault is not None:
        begin, end = scenario.fault
        yield "goodput during the fault", partial(_share, begin=begin, end=end)
        yield f"goodput in the {AFTER:g} s after", partial(_share, begin=end, end=end + AFTER)
        yield "recovery after the fault", recovery
    yield "amplification, mean", lambda result: _times(result.amplification)
    yield "amplification, peak of 5 s", lambda result: _times(result.peak_amplification())
    yield "latency p50, answered", partial(_latency, quantile=0.5)
    yield "latency p99, answered", partial(_latency, quantile=0.99)
    yield "server's work wasted", lambda result: Figure(result.waste(), percent(result.waste()))
    yield "fairness (Jain)", lambda result: Figure(result.fairness(), f"{result.fairness():.3f}")
    yield "circuit transitions", lambda result: _count(len(result.tally.circuits))
    if len(scenario.traffic) > 1:
        for number, traffic in enumerate(scenario.traffic):
            yield f"success, {traffic.name}", partial(_share, begin=0.0, end=INF, group=number)
            yield f"p99, {traffic.name}", partial(_latency, quantile=0.99, group=number)


def recovery(result: Result) -> Figure:
    """How long it took to recover from the fault, or why that cannot be said."""
    assert result.scenario.fault is not None
    end, value = result.scenario.fault[1], result.recovery()
    if value is not None:
        return Figure(value, "at once" if value == 0 else f"{value:g} s")
    if min(result.at, result.scenario.duration) < end + STEADY:
        return Figure(None, "too early to tell")
    return Figure(None, "never" if result.complete else "not yet")


def percent(share: float) -> str:
    """A share with as many digits as matter: `81 %`, `97.4 %`, `99.96 %`; never 0 or 100 % of what is not."""
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    digits = 2 if not 0.01 <= share < 0.99 else 1
    floor, ceiling = 10.0 ** -(digits + 2), 1 - 10.0 ** -(digits + 2)
    return f"{100 * min(max(share, floor), ceiling):.{digits}f} %"


def _share(result: Result, begin: float, end: float, group: int | None = None) -> Figure:
    if not any(True for _ in result.tally.calls.within(begin, end, group)):
        return Figure(None, "-")
    value = result.goodput(begin, end, group)
    return Figure(value, percent(value))


def _times(value: float) -> Figure:
    return Figure(value, f"{value:.3f}" if value < 1.1 else f"{value:.2f}")


def _latency(result: Result, quantile: float, group: int | None = None) -> Figure:
    value = result.latency(quantile, group=group)
    return Figure(value, seconds(value))


def _count(value: int) -> Figure:
    return Figure(value, f"{value:,}")
