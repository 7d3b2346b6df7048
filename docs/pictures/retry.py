"""Retry: attempts on their time line, and how long the waits between them are."""

from collections.abc import Iterator

import seawall
from seawall import Retry, Stack
from seawall.httpx import AsyncClient
from seawall.testing import ScriptedServer, VirtualRuntime, reply
from seawall.testing.server import Step

from .svg import Drawing, scale

URL = "https://api.example.com/items"
CALLS = 8
WAITS = 100
JITTER = seawall.full_jitter()


def reports(answer: Step, calls: int) -> list[seawall.Report]:
    """What becomes of calls whose every attempt gets this answer."""
    runtime, server = VirtualRuntime(seed=2), ScriptedServer(then=answer)

    async def main() -> list[seawall.Report]:
        async with AsyncClient(Stack(Retry(budget=None)), transport=server) as client:
            return [seawall.report(await client.get(URL)) for _ in range(calls)]

    return runtime.run(main())


def calls() -> Drawing:
    """One line for each call: its four attempts, all of which fail."""
    drawing = Drawing(44 + 16 * CALLS, "Eight calls with Retry(), each with its four attempts on a time line")
    bottom = 22 + 16 * CALLS
    x = scale(0, 1.75, 60, 420)
    drawing.axis(x, bottom, [0, 0.25, 0.75, 1.75], top=18)
    drawing.text(14, 12, "attempts of eight calls, every answer a 500", bold=True)
    for row, report in enumerate(reports(500, CALLS), 1):
        y = 16 + 16 * row
        times = [attempt.started for attempt in report.attempts]
        drawing.text(14, y + 4, f"call {row}", "muted")
        drawing.lines([[(x(times[0]), y), (x(times[-1]), y)]], "blue", "thin")
        for time in times:
            drawing.dot(x(time), y, "blue")
    return drawing


def ranges() -> Iterator[tuple[str, Step, int, float, float]]:
    """Each kind of wait: what it follows, the answer, which attempt it precedes, its least and its greatest."""
    for status, base in ((500, JITTER.base), (503, JITTER.throttled)):
        for number in (1, 2, 3):
            yield f"attempt {number + 1}, after {status}", status, number, 0, base * 2 ** (number - 1)
    yield "attempt 2, asked for 3 s", reply(503, headers={"Retry-After": "3"}), 1, 3, 3 + JITTER.throttled


def waits() -> Drawing:
    """The range of each wait, and the waits of a hundred calls in it."""
    rows = list(ranges())
    drawing = Drawing(40 + 24 * len(rows), "How long Retry() waits: the range of each wait, and a hundred waits in it")
    bottom = 20 + 24 * len(rows)
    x = scale(0, 4, 164, 420)
    drawing.axis(x, bottom, [0, 1, 2, 3, 4], top=18)
    drawing.text(14, 12, "how long Retry() waits before", bold=True)
    for row, (label, answer, number, least, most) in enumerate(rows):
        y = 20 + 24 * row
        drawing.text(14, y + 16, label)
        drawing.box(x(least), y + 3, x(most) - x(least), 18, "blue")
        for index, report in enumerate(reports(answer, WAITS)):
            drawing.dot(x(report.attempts[number].waited), y + 6 + index * 7 % 13, "blue", 1.2)
    return drawing
