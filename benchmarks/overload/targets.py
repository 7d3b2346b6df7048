"""What Seawall is to reach, and what published algorithms were known to."""

from collections.abc import Callable, Mapping

from benchmarks.measure import Bar
from benchmarks.overload.runs import Played, across, spread
from seawall.testing.simulation import Scenario, overload

Group = list[Played]
Groups = Mapping[tuple[str, str], Group]
"""The runs of a scenario (or of a variant of one) and a contender."""

LOADS = (0.6, 0.7, 0.8, 0.9)
AGEING = 5.0
"""Seconds of waiting that outweigh one step of priority."""
STEPS = 2
"""From the lowest priority to the highest."""
CVS = (0.25, 1, 2)

REFERENCE: dict[str, tuple[float, float, float, float]] = {
    "no retry": (36, 0.41, 1.0, 0.901),
    "naive": (float("inf"), 0, 3.01, 0.999),
    "finagle": (float("inf"), 0, 2.38, 0.999),
    "sre throttle": (float("inf"), 0, 3.01, 0.999),
    "aws bucket": (40, 0.35, 1.35, 0.999),
    "success bucket": (37, 0.38, 1.10, 0.990),
    "breaker+bucket": (7, 0.89, 1.06, 0.990),
    "aimd+bucket": (2, 0.97, 1.04, 0.92),
}
"""An earlier simulation of the same algorithms: recovery from the stall and goodput of the minute after it, peak
amplification in the outage, success at 10 % errors."""


def variants(name: str) -> dict[str, Scenario]:
    """What a scenario is played as besides, by Seawall alone: at other loads, by other clients, on another server."""
    if name != "stall":
        return {}
    loads = {f"stall at {load}": overload(name, load=load) for load in LOADS}
    clients = {f"stall, clients: {count}": overload(name, clients=count) for count in (1, 200)}
    timeouts = {f"stall, timeout {seconds:g} s": overload(name, attempt_timeout=seconds) for seconds in (0.3, 3.0)}
    return loads | clients | timeouts | {"stall, line of 2 s": overload(name, queue_seconds=2.0)}


def bars(groups: Groups) -> list[Bar]:
    """The targets that the runs have something to say on."""
    made: list[Bar] = []

    def of(scenario: str, contender: str = "seawall") -> Group:
        return groups.get((scenario, contender), [])

    def bar(
        name: str,
        group: Group,
        figure: str | Callable[[Played], float],
        limit: float,
        *,
        at_least: bool = False,
        mean: bool = False,
    ) -> None:
        """The worst of the seeds, or their mean."""
        if group:
            if mean and isinstance(figure, str):
                value = across(group, figure)
            else:
                values = [one.figures[figure] if isinstance(figure, str) else figure(one) for one in group]
                value = min(values) if at_least else max(values)
            made.append(Bar(name, value, limit, at_least=at_least))

    for load in LOADS:
        stall = of(f"stall at {load}")
        bar(f"1 stall at {load}: recovery, s", stall, "recovery", 2)
        bar(f"1 stall at {load}: goodput of the minute after", stall, "goodput after", 0.97, at_least=True)
    bar("2 outage: peak amplification", of("outage"), "peak", 1.05)
    bar("3 errors: success", of("errors"), "success", 0.9985, at_least=True, mean=True)
    bar("4 stall: wasted work", of("stall"), "wasted", 0.01)
    for cv in CVS:
        one, ten = of(f"steps-{cv:g}-1"), of(f"steps-{cv:g}-10")
        bar(f"5 steps, cv {cv:g}, 1 client: least used", one, "least used", 0.95, at_least=True)
        bar(f"5 steps, cv {cv:g}, 1 client: worst RTT / unloaded", one, "worst RTT", 1.25)
        bar(f"5 steps, cv {cv:g}, 10 clients: worst RTT / unloaded", ten, "worst RTT", 2)
        bar(f"5 steps, cv {cv:g}, 10 clients: Jain", ten, "Jain", 0.98, at_least=True)
    bare, slow = of("stragglers", "no retry"), of("stragglers-slow")
    if bare:
        usual = across(bare, "p99")
        bar("6 stragglers: p99 / that of no retry", of("stragglers"), lambda one: one.figures["p99"] / usual, 0.38)
        bar("6 stragglers: extra load", of("stragglers"), "extra", 0.052)
    bar("6 stragglers, all slow: extra load in any 10 s", slow, "extra in 10 s", 0.052)
    bar("7 herd: attempts a call", of("herd"), "attempts a call", 1.3)
    bar("7 herd: done / ideal", of("herd"), "done / ideal", 1.2)
    bar("7 herd: success", of("herd"), "success", 1, at_least=True)
    for load in (0.95, 1.05):
        ours, strict, fifo = (of(f"tenants-{load:g}", who) for who in ("seawall limit", "strict priority", "no limit"))
        if strict:
            best = across(strict, "high p99")
            bar(f"8 tenants at {load:g}: high p99 / strict", ours, lambda one, p=best: one.figures["high p99"] / p, 1.2)
        if fifo:
            bound = max(one.figures["longest"] for one in fifo) + AGEING * STEPS
            bar(f"8 tenants at {load:g}: longest call, s", ours, "longest", bound)
    bar("9 one simulated hour, s", of("hour"), lambda one: one.seconds, 10)
    return made


def compared(groups: Groups) -> list[list[str]]:
    """Measured, its spread over the seeds, and the reference, of the algorithms that played all of its scenarios."""
    rows = []
    for name, reference in REFERENCE.items():
        stall, outage, errors = (groups.get((scenario, name), []) for scenario in ("stall", "outage", "errors"))
        if stall and outage and errors:
            figures = (stall, "recovery", 0), (stall, "goodput after", 2), (outage, "peak", 2), (errors, "success", 3)
            rows.append([name])
            for (group, figure, digits), known in zip(figures, reference, strict=True):
                low, high = (shown(value, digits) for value in spread(group, figure))
                measured = shown(across(group, figure), digits)
                rows[-1] += [measured if low == high else f"{measured} [{low}, {high}]", shown(known, digits)]
    return rows


def shown(value: float, digits: int) -> str:
    """A figure as tables show it."""
    return "never" if value == float("inf") else f"{value:.{digits}f}"
