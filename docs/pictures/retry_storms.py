"""Retry storms: a server that stalls for ten seconds, and what becomes of it under several clients."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from seawall import CircuitBreaker, Retry, Stack, Timeout
from seawall.testing.simulation import Exponential, Poisson, Result, Scenario, Schedule, Server, Traffic, simulate

from .svg import Drawing, Scale, scale

LEFT, RIGHT = 40, 420
STALL, END = (10, 20), 90
ATTEMPT = Timeout(1)
STACKS = {
    "no retries": Stack(ATTEMPT),
    "three attempts": Stack(Timeout(30), Retry(3, budget=None), ATTEMPT),
    "with a budget": Stack(Timeout(30), Retry(3), ATTEMPT),
    "and a breaker": Stack(Timeout(30), Retry(3), CircuitBreaker(max_open_for=5), ATTEMPT),
}
COLOURS = {"no retries": "blue", "three attempts": "red", "with a budget": "amber", "and a breaker": "green"}
LOADS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SERVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "as above": ("red", {}),
    "a line of 0.5 s": ("green", {"queue_seconds": 0.5}),
    "drops who has gone": ("purple", {"serves_the_gone": False}),
}


def stall(load: float = 0.8, seconds: float = END, **server: Any) -> Scenario:
    """Five slots of 100 ms, so 50 requests a second; two clients; nothing is served from 10 to 20 s."""
    return Scenario(
        name="stall",
        server=Server(slots=Schedule.during(*STALL, 0, usually=5), service=Exponential(0.1), **server),
        traffic=[Traffic(arrivals=Poisson(load * 50), clients=2)],
        duration=seconds,
        fault=STALL,
    )


@cache
def play(stack: str, load: float = 0.8, seconds: float = END) -> Result:
    """The stall with one of the stacks."""
    return simulate(stall(load, seconds), STACKS[stack], seed=1)


def smooth(row: Sequence[float], seconds: int = 3) -> list[float]:
    """Means of the seconds around each, until calls end."""
    row, half = row[:END], seconds // 2
    parts = [row[max(0, at - half) : at + half + 1] for at in range(len(row))]
    return [sum(part) / len(part) for part in parts]


def legend(drawing: Drawing, y: float, colours: dict[str, str]) -> None:
    """Names in their colours, with a bit of their line."""
    x = 14.0
    for name, colour in colours.items():
        drawing.lines([[(x, y - 4), (x + 12, y - 4)]], colour)
        drawing.text(x + 16, y, name, colour, bold=True)
        x += 32 + 6.6 * len(name)


def panel(
    drawing: Drawing, x: Scale, top: float, title: str, most: float, ticks: Iterable[float], *, last: bool = False
) -> Scale:
    """Axes for rows over time, with the stall shaded. Returns the scale of heights."""
    bottom = top + 84
    y = scale(0, most, bottom, top + 14)
    drawing.text(14, top + 4, title, bold=True)
    drawing.box(x(STALL[0]), top + 12, x(STALL[1]) - x(STALL[0]), bottom - top - 12, "red", round=0)
    for tick in ticks:
        drawing.lines([[(LEFT, y(tick)), (RIGHT, y(tick))]], "muted", "thin")
        drawing.text(LEFT - 6, y(tick) + 4, f"{tick:g}", "muted", at="end")
    if last:
        drawing.axis(x, bottom, range(0, END + 1, 10), top=bottom - 3)
    return y


def row(drawing: Drawing, x: Scale, y: Scale, values: Sequence[float], colour: str) -> None:
    """One line over time."""
    drawing.lines([[(x(second + 0.5), y(values[second])) for second in range(END)]], colour)


def storm() -> Drawing:
    """What the server gets, what it has in its line, and what of it is of use."""
    drawing = Drawing(346, "A stall of ten seconds: attempts a second, the server's line and calls answered a second")
    x = scale(0, END, LEFT, RIGHT)
    shown = {name: COLOURS[name] for name in ("no retries", "three attempts")}
    legend(drawing, 14, shown)
    rows: list[tuple[str, float, Sequence[float], Callable[[Result], Sequence[float]]]] = [
        ("attempts that reach the server, a second", 135, (0, 40, 80, 120), lambda run: smooth(run.tally.attempts)),
        ("requests in its line", 6000, (0, 2000, 4000, 6000), lambda run: run.tally.waiting),
        ("calls that are answered, a second", 55, (0, 20, 40), lambda run: smooth(run.answered())),
    ]
    for number, (title, most, ticks, figure) in enumerate(rows):
        y = panel(drawing, x, 32 + 100 * number, title, most, ticks, last=number == len(rows) - 1)
        for name, colour in shown.items():
            row(drawing, x, y, figure(play(name)), colour)
    return drawing


def loads() -> Drawing:
    """Whether it comes back, by how much is asked of it."""
    drawing = Drawing(196, "Calls answered after the stall, by the load of the server")
    x, y = scale(0.15, 0.95, LEFT, RIGHT), scale(0, 1, 156, 34)
    shown = {name: COLOURS[name] for name in ("no retries", "three attempts", "and a breaker")}
    legend(drawing, 14, shown)
    for tick in (0, 0.5, 1):
        drawing.lines([[(LEFT, y(tick)), (RIGHT, y(tick))]], "muted", "thin")
        drawing.text(LEFT - 6, y(tick) + 4, f"{tick:.0%}", "muted", at="end")
    drawing.lines([[(x(1 / 3), 34), (x(1 / 3), 156)]], "muted", "thin", dashed=True)
    for load in (0.2, 0.4, 0.6, 0.8):
        drawing.text(x(load), 170, f"{load:.0%}", "muted", at="middle")
    drawing.text(RIGHT, 188, "load before the stall, as a share of what the server can do", "muted", at="end")
    for name, colour in shown.items():
        points = [(x(load), y(play(name, load, 60).goodput(40, 60))) for load in LOADS]
        drawing.lines([points], colour)
        for at, height in points:
            drawing.dot(at, height, colour, 2.5)
    return drawing


def remedies() -> Drawing:
    """How soon calls are answered again."""
    drawing = Drawing(146, "Calls answered a second after the stall, without retries, with a budget, with a breaker")
    x = scale(0, END, LEFT, RIGHT)
    shown = {name: colour for name, colour in COLOURS.items() if name != "three attempts"}
    legend(drawing, 14, shown)
    y = panel(drawing, x, 32, "calls that are answered, a second", 55, (0, 20, 40), last=True)
    for name, colour in shown.items():
        row(drawing, x, y, smooth(play(name).answered(), 5), colour)
    return drawing


def servers() -> Drawing:
    """Three attempts each, and three servers."""
    drawing = Drawing(146, "Calls answered a second with three attempts each, by what the server does with its line")
    x = scale(0, END, LEFT, RIGHT)
    legend(drawing, 14, {name: colour for name, (colour, _) in SERVERS.items()})
    y = panel(drawing, x, 32, "calls that are answered, a second", 55, (0, 20, 40), last=True)
    for colour, options in SERVERS.values():
        result = simulate(stall(**options), STACKS["three attempts"], seed=1)
        row(drawing, x, y, smooth(result.answered(), 5), colour)
    return drawing
