"""Throttle: when requests start, by the kind of rate, and around a pause that the server asked for."""

from seawall import Stack, Throttle
from seawall.httpx import AsyncClient
from seawall.testing import ScriptedServer, VirtualRuntime, reply
from seawall.testing.server import Step

from .svg import Drawing, Point, Scale, scale, stairs

URL = "https://api.example.com/items"
CALLS = 40
PAUSED_AT, PAUSE, PER_SECOND, SECONDS = 4.0, 3, 10, 12


def starts(throttle: Throttle) -> list[float]:
    """When each of forty calls that come at once is sent."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def main() -> None:
        async with AsyncClient(Stack(throttle), transport=server) as client:
            for call in [runtime.spawn(client.get(URL)) for _ in range(CALLS)]:
                await call

    runtime.run(main())
    return [request.at for request in server.requests]


def rates() -> Drawing:
    """How many have started, for three throttles of one rate."""
    drawing = Drawing(246, "Forty calls at once: how many have started, under three throttles of 10 a second")
    x, y = scale(0, 4, 40, 420), scale(0, CALLS, 220, 24)
    grid(drawing, x, y, [0, 1, 2, 3, 4], range(0, CALLS + 1, 10))
    drawing.text(14, 12, "40 calls at once: how many have started", bold=True)
    for throttle, colour, label in (
        (Throttle(10), "blue", 14),
        (Throttle(10, burst=10), "green", 9),
        (Throttle(10, burst=1), "purple", 4),
    ):
        drawing.lines([cumulative(starts(throttle), x, y, 4)], colour)
        words = "Throttle(10)" if throttle.burst is None else f"Throttle(10, burst={throttle.burst:g})"
        drawing.text(x(2.3), y(label) + 4, words, colour, bold=True)
    return drawing


def paused() -> tuple[list[float], list[float]]:
    """When calls come, ten a second, and when they are sent, around a 429 that asks for a pause."""
    runtime = VirtualRuntime()
    told: list[float] = []

    def answer(_: object) -> Step:
        if runtime.now() >= PAUSED_AT and not told:
            told.append(runtime.now())
            return reply(429, headers={"Retry-After": str(PAUSE)})
        return 200

    server = ScriptedServer(then=answer)
    calls: list[float] = []

    async def main() -> None:
        async with AsyncClient(Stack(Throttle(None)), transport=server) as client:
            tasks = []
            for _ in range(PER_SECOND * SECONDS):
                calls.append(runtime.now())
                tasks.append(runtime.spawn(client.get(URL)))
                await runtime.sleep(1 / PER_SECOND)
            for task in tasks:
                await task

    runtime.run(main())
    return calls, [request.at for request in server.requests]


def pause() -> Drawing:
    """How many calls have come, and how many were sent."""
    drawing = Drawing(246, "A 429 with Retry-After: 3 pauses every call; then they restart spaced")
    x, y = scale(0, SECONDS, 40, 420), scale(0, SECONDS * PER_SECOND, 220, 24)
    calls, sent = paused()
    drawing.text(14, 12, "Throttle(None), 10 calls a second: how many so far", bold=True)
    drawing.box(x(PAUSED_AT), 24, x(PAUSED_AT + PAUSE) - x(PAUSED_AT), 20, "red")
    drawing.text(x(PAUSED_AT) + 5, 38, "Retry-After: 3")
    grid(drawing, x, y, range(0, 13, 2), range(0, 121, 20))
    drawing.lines([cumulative(calls, x, y, SECONDS)], "muted", dashed=True)
    drawing.lines([cumulative(sent, x, y, SECONDS)], "blue")
    drawing.text(x(5.6), y(66), "made", "muted", at="end", bold=True)
    drawing.text(x(7.6), y(38), "sent", "blue", bold=True)
    return drawing


def grid(drawing: Drawing, x: Scale, y: Scale, across: range | list[int], up: range) -> None:
    """Both axes."""
    drawing.axis(x, 220, across, top=24)
    for height in up:
        drawing.lines([[(40, y(height)), (420, y(height))]], "muted", "thin")
        drawing.text(34, y(height) + 4, str(height), "muted", at="end")


def cumulative(times: list[float], x: Scale, y: Scale, until: float) -> list[Point]:
    """How many there were so far, as a line up to a time."""
    counted = [(time, count) for count, time in enumerate(times, 1) if time <= until]
    return stairs([(x(0), y(0)), *((x(time), y(count)) for time, count in counted), (x(until), y(len(counted)))])
