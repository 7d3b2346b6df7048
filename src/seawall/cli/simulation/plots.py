"""What the report draws: series over virtual time, each with a name, a unit and a sentence.

Plots know no colours, only the names of custom properties of the page's style sheet, which the page puts in their
places: so they follow a change between light and dark.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Points:
    """How the seconds of a run become points of a plot: one each, or several of them in one."""

    seconds: int

    @property
    def step(self) -> int:
        return -(-self.seconds // POINTS) or 1

    @property
    def times(self) -> list[float]:
        return [float(second) for second in range(0, self.seconds, self.step)]

    def of(self, values: Values, several: Callable[[Values], float | None]) -> Values:
        """A value for each point; None for those after the last value."""
        parts = [several(values[begin : begin + self.step]) for begin in range(0, len(values), self.step)]
        return self.filled(parts)

    def filled(self, values: Values) -> Values:
        """Values that are one for each point already."""
        return [*values, *[None] * (len(self.times) - len(values))]


def plots(run: Run) -> Iterator[Plot]:
    """Every plot of a run that has something to show."""
    points = Points(max(len(result.tally.attempts) for result in run.results))
    last = math.ceil(run.scenario.duration)  # after it no more calls are made
    every = "second" if points.step == 1 else f"{points.step} s"
    plotted = functools.partial(Plot, times=points.times)

    def compared(of: Callable[[Result], Values], quantile: str = "", *, thin: bool = False) -> list[Curve]:
        return [
            Curve(f"{contender.name}{quantile}", of(result), f"--contender-{n + 1}", DASHES[n], thin=thin)
            for n, (contender, result) in enumerate(run.pairs)
        ]

    yield plotted(
        "goodput",
        "Goodput and offered load",
        f"Requests made in each {every}, and how many of them were answered, whenever that was.",
        "requests per second",
        curves=[
            Curve("offered", points.of(run.results[0].offered()[:last], _mean), "--offered", thin=True),
            *compared(lambda result: points.of(result.answered()[:last], _mean)),
        ],
    )
    yield plotted(
        "amplification",
        "Amplification",
        "Attempts that reached the server for each request made, over the last 5 s.",
        "attempts per request",
        curves=compared(lambda result: points.of(result.amplifications(), _most)),
    )
    yield plotted(
        "latency",
        "Latency",
        f"What answered requests took, retries and waiting included, by the {every} in which they were made.",
        "latency",
        curves=[
            *compared(lambda result: points.filled(result.latency_over_time(0.99, points.step)), " p99"),
            *compared(lambda result: points.filled(result.latency_over_time(0.5, points.step)), " p50", thin=True),
        ],
        log=True,
    )
    yield plotted(
        "line",
        "The server's line",
        "Requests that wait at the server, for whomever it is going to serve.",
        "requests",
        curves=compared(lambda result: points.of(result.tally.waiting, _last)),
    )
    for number, (contender, result) in enumerate(run.pairs, 1):
        if result.tally.circuits:
            bands = circuits(result).items()
            yield plotted(
                f"circuits-{number}",
                f"Circuits of {contender.name}",
                f"How many circuits, of all clients together, were open or half-open, on average in each {every}.",
                "circuits",
                curves=[Curve(name, points.of(bins, _mean), f"--{name}", filled=True) for name, bins in bands],
            )
    for kind, title, unit, endings in KINDS:
        for number, (contender, result) in enumerate(run.pairs, 1):
            if shown := states(result, endings):
                yield plotted(
                    f"{kind}-{number}",
                    f"{title} of {contender.name}",
                    "What the states of the policies show, all clients together.",
                    unit,
                    curves=[
                        Curve(name, points.of(values, _last), f"--contender-{n % MOST + 1}", DASHES[n % MOST])
                        for n, (name, values) in enumerate(shown.items())
                    ],
                )


KINDS = (
    ("limits", "Limits and lines", "requests", (".limit", ".in_use", ".waiting")),
    ("budgets", "Retry budgets", "tokens", (".tokens",)),
)
"""Plots of what policies' states show: id, title, unit, and the ends of the names."""


def states(result: Result, endings: tuple[str, ...]) -> dict[str, Values]:
    """What the states show at the end of each second, of those that have a bound: None before there is any."""
    seconds = result.tally.states
    bounded = {name for shown in seconds for name, value in shown.items() if value < math.inf}
    names = sorted(name for name in bounded if name.endswith(endings))
    return {name: [shown.get(name) for shown in seconds] for name in names}


def circuits(result: Result) -> dict[str, list[float]]:
    """How many circuits were open, and half-open, on average in each second."""
    bands: dict[str, list[float]] = {name: [0.0] * len(result.tally.attempts) for name in ("open", "half-open")}
    now = dict.fromkeys(bands, 0)
    begin = 0.0
    for end, _, old, new in [*result.tally.circuits, (result.at, "", "", "")]:
        for name, count in now.items():
            for second in range(int(begin), math.ceil(end)) if count else ():
                bands[name][second] += count * (min(end, second + 1) - max(begin, second))
        for name, change in ((old, -1), (new, 1)):
            if name in now:
                now[name] += change
        begin = end
    return bands


def _mean(values: Values) -> float | None:
    return math.fsum(value or 0.0 for value in values) / len(values)


def _most(values: Values) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _last(values: Values) -> float | None:
    return values[-1]
