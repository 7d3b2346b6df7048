"""One run of one contender, and the figures that are kept of it."""

import gc
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from statistics import fmean, median

from benchmarks import measure
from benchmarks.overload.contenders import contenders, family
from seawall.testing.simulation import Result, Scenario, simulate

NEVER = float("inf")
UNLOADED = 0.1
"""Seconds that serving takes in the scenarios of steps."""
SETTLED = 5
"""Seconds after a step from which it counts."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Run:
    """What is to be played. `variant` tells runs of one scenario apart that differ in their data."""

    contender: str
    scenario: Scenario
    seed: int
    variant: str = ""


@dataclass(frozen=True)
class Played:
    """A run and its figures."""

    run: Run
    figures: Figures
    digest: str
    seconds: float


def play(run: Run) -> Played:
    """Play it, in whatever process this is."""
    scenario = run.scenario
    begun = time.perf_counter()
    result = simulate(scenario, contenders(scenario)[run.contender](scenario), seed=run.seed)
    seconds = time.perf_counter() - begun
    kind = family(scenario)
    figures = {"steps": steps, "stragglers": stragglers, "herd": herd, "tenants": tenants}.get(kind, trouble)(result)
    return Played(run, figures, result.digest(), seconds)


def play_all(runs: Iterable[Run], processes: int) -> Iterator[Played]:
    """Play all of them, in order."""
    if processes == 1:
        settle()
        yield from map(play, runs)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=settle) as pool:
        yield from pool.map(play, runs)


def settle() -> None:
    """Make the collector of garbage look less often at the hundred thousand requests that a storm leaves in a line."""
    measure.settle()
    gc.set_threshold(100_000, 20, 100)


def trouble(result: Result) -> Figures:
    """Of a server in trouble."""
    fault = result.scenario.fault
    recovery = result.recovery()
    begin, end = fault or (0.0, result.at - 60)
    return {
        "recovery": 0.0 if fault is None else NEVER if recovery is None else recovery,
        "goodput after": result.goodput(end, end + 60),
        "success": result.success,
        "amplification": result.amplification,
        "peak": result.peak_amplification(),
        "wasted": result.waste(begin, end + 60),
        "p99": result.latency(0.99) or NEVER,
        "Jain": result.fairness(),
    }


def steps(result: Result) -> Figures:
    """Of a server whose slots change: the worst of its phases, each without the seconds right after its step."""
    begin, end = result.scenario.fault or (0.0, 0.0)
    last = result.scenario.duration
    phases = [(a + SETTLED, b) for a, b in ((0.0, begin), (begin, end), (end, last))]
    used = [result.utilisation(*phase) for phase in phases]
    trips = [(result.round_trip(*phase) or NEVER) / UNLOADED for phase in phases]
    return {
        "least used": min(used),
        "used": fmean(used),
        "worst RTT": max(trips),
        "RTT": fmean(trips),
        "Jain": result.fairness(),
    }


def stragglers(result: Result) -> Figures:
    """Of a server that is slow now and then: extra load is attempts beyond one for each call."""
    return {
        "p50": result.latency(0.5) or NEVER,
        "p99": result.latency(0.99) or NEVER,
        "extra": result.amplification - 1,
        "extra in 10 s": result.peak_amplification(10) - 1,
        "success": result.success,
    }


def herd(result: Result) -> Figures:
    """Of a crowd before a quota."""
    server, calls = result.scenario.server, len(result.tally.calls)
    assert server.quota is not None
    assert server.quota.burst is not None
    ideal = (calls - server.quota.burst) / server.quota.rate
    done = max(result.tally.calls.ended)
    return {
        "attempts a call": result.amplification,
        "done": done,
        "done / ideal": done / ideal,
        "success": result.success,
    }


def tenants(result: Result) -> Figures:
    """Of several classes of calls."""
    figures = {"success": result.success}
    for group, traffic in enumerate(result.scenario.traffic):
        figures[f"{traffic.name} p99"] = result.latency(0.99, group=group) or NEVER
    return figures | {"longest": result.latency(1.0) or NEVER}


def across(played: list[Played], figure: str) -> float:
    """A figure over the seeds: the mean, or the median where one is never."""
    values = [one.figures[figure] for one in played]
    return median(values) if NEVER in values else fmean(values)


def spread(played: list[Played], figure: str) -> tuple[float, float]:
    """The least and the most of a figure over the seeds."""
    values = [one.figures[figure] for one in played]
    return min(values), max(values)


def seeds(contender: str, scenario: Scenario, count: int, variant: str = "") -> list[Run]:
    """Runs that differ in their seed."""
    return [Run(*run) for run in zip(repeat(contender), repeat(scenario), range(count), repeat(variant), strict=False)]
