"""ConcurrencyLimit: who waits, who is in flight."""

from dataclasses import dataclass

import seawall
from seawall import ConcurrencyLimit, Stack
from seawall.httpx import AsyncClient
from seawall.testing import ScriptedServer, VirtualRuntime, reply

from .svg import Drawing, scale, stairs

URL = "https://api.example.com/items"
LIMIT, TAKES = 2, 2.0
ARRIVALS = [(0.0, 0)] * 8 + [(1.0, 1), (3.0, 1), (6.0, 1)]
"""When calls come, and their priority."""


@dataclass
class Stay:
    """One call: when it came, when it got its slot, when it was done."""

    priority: int
    arrived: float
    sent: float = 0.0
    done: float = 0.0


def run() -> tuple[list[Stay], list[tuple[float, int, int]]]:
    """Each call's stay, and how many were in flight and in line at each time."""
    runtime, server, state = VirtualRuntime(), ScriptedServer(then=reply(after=TAKES)), seawall.State()
    stays: list[Stay] = []
    counts: list[tuple[float, int, int]] = []

    async def main() -> None:
        async with AsyncClient(Stack(ConcurrencyLimit(LIMIT)), transport=server, state=state) as client:

            async def fetch(stay: Stay) -> None:
                await runtime.sleep(stay.arrived)
                answer = await client.get(URL, extensions={"seawall": {"priority": stay.priority}})
                stay.sent = stay.arrived + seawall.report(answer).queued
                stay.done = runtime.now()

            tasks = []
            for arrived, priority in ARRIVALS:
                stays.append(Stay(priority, arrived))
                tasks.append(runtime.spawn(fetch(stays[-1])))
            while not all(task.done for task in tasks):
                await runtime.sleep(0.05)
                [slots] = state.snapshot()
                counts.append((runtime.now(), slots["in_use"], slots["waiting"]))

    runtime.run(main())
    return stays, counts


def line() -> Drawing:
    """A bar for each call, and below how many there were of each kind."""
    stays, counts = run()
    rows, end = len(stays), max(stay.done for stay in stays)
    bottom = 26 + 17 * rows + 100
    drawing = Drawing(bottom + 22, "ConcurrencyLimit(2): calls waiting and in flight, with priorities")
    x = scale(0, end, 88, 420)
    drawing.axis(x, bottom, range(0, int(end) + 1, 2), top=20)
    drawing.text(14, 12, "ConcurrencyLimit(2), each request takes 2 s", bold=True)
    for row, stay in enumerate(stays):
        y, colour = 24 + 17 * row, "purple" if stay.priority else "blue"
        drawing.text(14, y + 11, f"priority {stay.priority}", colour)
        drawing.lines([[(x(stay.arrived), y + 7), (x(stay.sent), y + 7)]], colour, dashed=True)
        drawing.box(x(stay.sent), y, x(stay.done) - x(stay.sent), 14, colour)
        drawing.box(x(stay.sent), y, x(stay.done) - x(stay.sent), 14, colour, "line")
        drawing.dot(x(stay.arrived), y + 7, colour, 2.5)
    y = scale(0, 10, bottom - 4, bottom - 90)
    for height in (0, 4, 8):
        drawing.lines([[(88, y(height)), (420, y(height))]], "muted", "thin")
        drawing.text(82, y(height) + 4, str(height), "muted", at="end")
    for index, (name, colour) in enumerate((("in flight", "green"), ("in line", "amber")), 1):
        drawing.lines([stairs([(x(count[0]), y(count[index])) for count in counts])], colour)
        drawing.text(14, y(2 if index == 1 else 6) + 4, name, colour, bold=True)
    return drawing
