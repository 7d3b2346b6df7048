"""What the report draws: series over virtual time, each with a name, a unit and a sentence.

Plots know no colours, only the names of custom properties of the page's style sheet, which the page puts in their
places: so they follow a change between light and dark.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from seawall.testing.simulation import Result

from .run import Run

POINTS = 300
"""Points of a curve, at most: in a longer run each stands for several seconds."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
"""Of the contenders' curves, which colour alone shall not tell apart."""
MOST = len(DASHES)
"""Contenders that one plot can show."""

COUNTS: dict[str, Any] = {"rangemode": "tozero"}
_TICKS = [number * 10.0**power for power in range(-3, 4) for number in (1, 3)]
SECONDS: dict[str, Any] = {
    "type": "log",
    "tickvals": _TICKS,
    "ticktext": [f"{1000 * tick:.0f} ms" if tick < 1 else f"{tick:.0f} s" for tick in _TICKS],
}
"""Axes of numbers, and of durations, which a struggling server spreads over several powers of ten."""

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a plot."""

    name: str
    values: Values
    colour: str
    dash: str = "solid"
    thin: bool = False
    filled: bool = False
    """Whether the area below it is filled, on top of the one before."""


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves over the same times, in virtual seconds, and what they show."""

    id: str
    title: str
    about: str
    unit: str
    times: Sequence[float]
    curves: Sequence[Curve]
    log: bool = False

    def figure(self, fault: tuple[float, float] | None) -> dict[str, Any]:
        """As plotly's data and layout."""
        layout: dict[str, Any] = {
            "xaxis": {"title": {"text": "virtual seconds"}, "range": [0, self.times[-1]]},
            "yaxis": {"title": {"text": self.unit}, "hoverformat": ".4~g"} | (SECONDS if self.log else COUNTS),
        }
        if fault is not None:
            layout["shapes"] = [
                {"type": "rect", "yref": "paper", "x0": fault[0], "x1": fault[1], "y0": 0, "y1": 1, "layer": "below"}
                | {"line": {"width": 0}, "fillcolor": "--fault", "name": "fault", "showlegend": True}
            ]
        return {"data": [self._trace(curve) for curve in self.curves], "layout": layout}

    def _trace(self, curve: Curve) -> dict[str, Any]:
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "lines",
            "name": curve.name,
            "x": list(self.times),
            "y": list(curve.values),
            "line": {"color": curve.colour, "dash": curve.dash, "width": 1 if curve.thin else 2},
        }
        if curve.filled:
            trace |= {"stackgroup": "one", "fillcolor": curve.colour}
            trace["line"] |= {"width": 0, "shape": "hv"}
        return trace


def plots(run: Run) -> Iterator[Plot]:
    """Every plot of a run that has something to show."""
    seconds = max(len(result.tally.attempts) for result in run.results)
    step = -(-seconds // POINTS) or 1
    times = [float(second) for second in range(0, seconds, step)]
    last = int(-(-run.scenario.duration // 1))  # after it no more calls are made
    every = "second" if step == 1 else f"{step} s"

    def compared(of: Callable[[Result], Values], name: str = "", *, thin: bool = False) -> list[Curve]:
        return [
            Curve(f"{contender.name}{name}", _filled(of(result), len(times)), f"--contender-{n}", DASHES[n - 1], thin=thin)
            for n, (contender, result) in enumerate(zip(run.contenders, run.results, strict=True), 1)
        ]

    yield Plot(
        "goodput",
        "Goodput and offered load",
        f"Requests made in each {every}, and how many of them were answered, whenever that was.",
        "requests per second",
        times,
        [
            Curve("offered", _filled(_rate(run.results[0].offered()[:last], step), len(times)), "--offered", thin=True),
            *compared(lambda result: _rate(result.answered()[:last], step)),
        ],
    )
    yield Plot(
        "amplification",
        "Amplification",
        "Attempts that reached the server for each request made, over the last 5 s.",
        "attempts per request",
        times,
        compared(lambda result: _most(result.amplifications(), step)),
    )
    yield Plot(
        "latency",
        "Latency",
        f"What answered requests took, retries and waiting included, by the {every} in which they were made.",
        "seconds",
        times,
        [
            *compared(lambda result: result.latency_over_time(0.99, step), " p99"),
            *compared(lambda result: result.latency_over_time(0.5, step), " p50", thin=True),
        ],
        log=True,
    )
    yield Plot(
        "line",
        "The server's line",
        "Requests that wait at the server, those of clients who have gone included.",
        "requests",
        times,
        compared(lambda result: _last(list(result.tally.waiting), step)),
    )
    yield from _of_circuits(run, times, step)
    yield from _of_limits(run, times, step)


def _of_circuits(run: Run, times: list[float], step: int) -> Iterator[Plot]:
    """Bands of circuits that are not closed, for each contender that has any."""
    for number, (contender, result) in enumerate(zip(run.contenders, run.results, strict=True), 1):
        if result.tally.circuits:
            states = circuits(result, len(result.tally.attempts))
            yield Plot(
                f"circuits-{number}",
                f"Circuits of {contender.name}",
                "How many circuits, of all clients together, were open or half-open, on average over the time.",
                "circuits",
                times,
                [
                    Curve(state, _filled(_mean(bins, step), len(times)), f"--{state}", filled=True)
                    for state, bins in states.items()
                ],
            )


def _of_limits(run: Run, times: list[float], step: int) -> Iterator[Plot]:
    """Limits, what is in use of them and the lines before them; and budgets, for each contender that has any."""
    kinds = (
        ("limits", "Limits and lines", "requests", (".limit", ".in_use", ".waiting")),
        ("budgets", "Retry budgets", "tokens", (".tokens",)),
    )
    for id, title, unit, endings in kinds:
        for number, (contender, result) in enumerate(zip(run.contenders, run.results, strict=True), 1):
            names = sorted({name for shown in result.tally.states for name in shown if name.endswith(endings)})
            if names:
                yield Plot(
                    f"{id}-{number}",
                    f"{title} of {contender.name}",
                    "What the policies' states show at the end of each second, all clients together.",
                    unit,
                    times,
                    [
                        Curve(name, _filled(_last(_shown(result, name), step), len(times)), _colour(n), DASHES[n % MOST])
                        for n, name in enumerate(names)
                    ],
                )


def _colour(number: int) -> str:
    return f"--contender-{number % MOST + 1}"


def _shown(result: Result, name: str) -> Values:
    values = [shown.get(name) for shown in result.tally.states]
    return [None if value == float("inf") else value for value in values]


def circuits(result: Result, seconds: int) -> dict[str, list[float]]:
    """How many circuits were open, and half-open, on average in each second."""
    states: dict[str, list[float]] = {"open": [0.0] * seconds, "half-open": [0.0] * seconds}
    counts = dict.fromkeys(states, 0)
    changes = [*result.tally.circuits, (result.at, "", "", "")]
    for (_, _, old, new), ((begin, *_), (end, *_)) in zip(changes, pairwise(changes)):
        for state, change in ((old, -1), (new, 1)):
            if state in counts:
                counts[state] += change
        for state, count in counts.items():
            for second in range(int(begin), min(seconds, int(end) + 1)) if count else ():
                states[state][second] += count * (min(end, second + 1) - max(begin, second))
    return states


# -- several seconds in one point


def _steps(values: Sequence[Any], step: int) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(values), step):
        yield values[begin : begin + step]


def _rate(counts: Sequence[int], step: int) -> Values:
    return [sum(part) / len(part) for part in _steps(counts, step)]


def _mean(values: Sequence[float], step: int) -> Values:
    return [sum(part) / len(part) for part in _steps(values, step)]


def _most(values: Values, step: int) -> Values:
    return [max((value for value in part if value is not None), default=None) for part in _steps(values, step)]


def _last(values: Values, step: int) -> Values:
    return [part[-1] for part in _steps(values, step)]


def _filled(values: Values, length: int) -> Values:
    """With None where somebody else was played for longer."""
    return [*values, *[None] * (length - len(values))]
