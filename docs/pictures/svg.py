"""A drawing that becomes SVG for a light or a dark page.

Shapes name their colour; what the name means is up to the theme. Every colour has a contrast of at least 4.5 to its
page. A drawing is WIDTH units wide and its text 11.5 units high, so that text keeps 9 px on a telephone's 390 px.
"""

from collections.abc import Callable, Iterable, Sequence
from html import escape

THEMES = {
    "light": {
        "ink": "#1f2328",
        "muted": "#59636e",
        "blue": "#0969da",
        "green": "#1a7f37",
        "red": "#cf222e",
        "amber": "#9a6700",
        "purple": "#8250df",
    },
    "dark": {
        "ink": "#e6edf3",
        "muted": "#9198a1",
        "blue": "#4493f8",
        "green": "#3fb950",
        "red": "#f85149",
        "amber": "#d29922",
        "purple": "#ab7df8",
    },
}
WIDTH = 440
SHOWN = 560
"""Pixels that a picture is wide where there is room."""

STYLE = """
text{font:11.5px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:currentColor}
.bold{font-weight:600}
.fill{fill:currentColor}
.faint{fill:currentColor;fill-opacity:.22}
.line{fill:none;stroke:currentColor;stroke-width:1.5}
.thin{fill:none;stroke:currentColor;stroke-width:1;stroke-opacity:.28}
"""

Point = tuple[float, float]
Scale = Callable[[float], float]


class Drawing:
    """Shapes, from the back to the front."""

    def __init__(self, height: float, title: str) -> None:
        self.height = height
        self.title = title
        self._shapes: list[str] = []

    def text(
        self, x: float, y: float, words: str, colour: str = "ink", *, at: str = "start", bold: bool = False
    ) -> None:
        """Words on a base line; `at` says which part of them is at x: "start", "middle" or "end"."""
        kind = f"{colour} bold" if bold else colour
        anchor = "" if at == "start" else f' text-anchor="{at}"'
        self._shapes.append(f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}"{anchor}>{escape(words)}</text>')

    def box(
        self, x: float, y: float, width: float, height: float, colour: str, kind: str = "faint", *, round: float = 2
    ) -> None:
        """A rectangle: "faint", "fill", "line" or "thin"."""
        size = f'width="{_n(width)}" height="{_n(height)}"'
        self._shapes.append(f'<rect class="{kind} {colour}" x="{_n(x)}" y="{_n(y)}" {size} rx="{_n(round)}"/>')

    def dot(self, x: float, y: float, colour: str, radius: float = 3.5) -> None:
        """A filled circle."""
        self._shapes.append(f'<circle class="fill {colour}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"/>')

    def cross(self, x: float, y: float, colour: str, radius: float = 3.5) -> None:
        """What did not work."""
        r = radius
        self.lines([[(x - r, y - r), (x + r, y + r)], [(x - r, y + r), (x + r, y - r)]], colour)

    def lines(self, lines: Iterable[Sequence[Point]], colour: str, kind: str = "line", *, dashed: bool = False) -> None:
        """Lines through points, as one shape."""
        path = "".join("M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points) for points in lines)
        dashes = ' stroke-dasharray="4 3"' if dashed else ""
        self._shapes.append(f'<path class="{kind} {colour}" d="{path}"{dashes}/>')

    def arrow(self, points: Sequence[Point], colour: str = "ink", *, dashed: bool = False) -> None:
        """A line with a head at its end."""
        self.lines([points], colour, dashed=dashed)
        (ax, ay), (bx, by) = points[-2:]
        length = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5
        dx, dy = 6 * (bx - ax) / length, 6 * (by - ay) / length
        head = [(bx, by), (bx - dx - dy / 2, by - dy + dx / 2), (bx - dx + dy / 2, by - dy - dx / 2)]
        corners = " ".join(f"{_n(x)},{_n(y)}" for x, y in head)
        self._shapes.append(f'<polygon class="fill {colour}" points="{corners}"/>')

    def axis(self, x: Scale, bottom: float, ticks: Iterable[float], *, top: float, unit: str = " s") -> None:
        """A time axis with a grid line at each tick; the last tick names the unit."""
        ticks = list(ticks)
        self.lines([[(x(t), top), (x(t), bottom)] for t in ticks], "muted", "thin")
        for tick in ticks:
            self.text(x(tick), bottom + 14, f"{tick:g}{unit if tick == ticks[-1] else ''}", "muted", at="middle")

    def render(self, theme: str) -> str:
        """The SVG of it."""
        colours = "".join(f".{name}{{color:{value}}}" for name, value in THEMES[theme].items())
        shown = f'width="{SHOWN}" height="{_n(self.height * SHOWN / WIDTH)}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_n(self.height)}" {shown} role="img">\n'
            f"<title>{escape(self.title)}</title>\n<style>{STYLE}{colours}\n</style>\n"
            + "\n".join(self._shapes)
            + "\n</svg>\n"
        )


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """From values to places on the page."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def stairs(points: Iterable[Point]) -> list[Point]:
    """A line that stays at each height until the next point."""
    line: list[Point] = []
    for x, y in points:
        if line:
            line.append((x, line[-1][1]))
        line.append((x, y))
    return line


def _n(number: float) -> str:
    """A coordinate, short."""
    return f"{round(number, 1):g}"
