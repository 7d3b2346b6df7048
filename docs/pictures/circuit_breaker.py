"""CircuitBreaker: its states, and an outage as it sees it."""

import seawall
from seawall import CircuitBreaker, Stack
from seawall.httpx import AsyncClient
from seawall.testing import ScriptedServer, VirtualRuntime

from .svg import Drawing, scale

URL = "https://api.example.com/items"
PER_SECOND, SECONDS, DOWN = 4, 36, (6, 22)
COLOURS = {"closed": "green", "open": "red", "half-open": "amber"}


def states() -> Drawing:
    """The state machine."""
    drawing = Drawing(206, "The states of a circuit: closed, open, half-open and isolated")
    boxes = {"closed": (20, 30), "open": (320, 30), "half-open": (170, 108)}
    for name, (x, y) in boxes.items():
        drawing.box(x, y, 100, 30, COLOURS[name], round=6)
        drawing.box(x, y, 100, 30, COLOURS[name], "line", round=6)
        drawing.text(x + 50, y + 19, name, at="middle", bold=True)
    drawing.arrow([(122, 45), (317, 45)])
    drawing.text(220, 38, "too many failed, or were slow", at="middle")
    drawing.arrow([(345, 62), (345, 116), (273, 116)])
    drawing.text(337, 78, "its time is over,", at="end")
    drawing.text(337, 93, "and a call comes", at="end")
    drawing.arrow([(272, 130), (395, 130), (395, 63)])
    drawing.text(436, 147, "a probe failed: longer", at="end")
    drawing.arrow([(168, 123), (70, 123), (70, 63)])
    drawing.text(14, 141, "every probe", at="start")
    drawing.text(14, 156, "succeeded", at="start")
    drawing.box(170, 168, 100, 30, "purple", round=6)
    drawing.box(170, 168, 100, 30, "purple", "line", round=6)
    drawing.text(220, 187, "isolated", at="middle", bold=True)
    drawing.text(14, 187, "any: isolate()")
    drawing.arrow([(100, 183), (167, 183)], "purple")
    drawing.arrow([(272, 183), (318, 183)], "purple")
    drawing.text(324, 187, "close(): closed")
    return drawing


def run() -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
    """Each call and how it ended, each change of the circuit and its new state; both with their times."""
    runtime = VirtualRuntime(seed=3)
    server = ScriptedServer(then=lambda _: 500 if DOWN[0] <= runtime.now() < DOWN[1] else 200)
    calls: list[tuple[float, str]] = []
    changes: list[tuple[float, str]] = [(0.0, "closed")]

    def listen(event: seawall.Event) -> None:
        if isinstance(event, seawall.CircuitChanged):
            changes.append((runtime.now(), event.new))

    async def main() -> None:
        async with AsyncClient(Stack(CircuitBreaker()), transport=server, listeners=[listen]) as client:
            for _ in range(PER_SECOND * SECONDS):
                now = runtime.now()
                try:
                    answer = await client.get(URL)
                except seawall.CircuitOpen:
                    calls.append((now, "rejected"))
                else:
                    calls.append((now, "failed" if answer.status_code == 500 else "succeeded"))
                await runtime.sleep(1 / PER_SECOND)

    runtime.run(main())
    return calls, changes


def outage() -> Drawing:
    """Each call as a stroke, the state of the circuit below."""
    drawing = Drawing(196, "An outage with CircuitBreaker(): calls that succeed, fail and are rejected, and the state")
    x = scale(0, SECONDS, 84, 422)
    calls, changes = run()
    drawing.text(14, 14, f"CircuitBreaker(), {PER_SECOND} calls a second", bold=True)
    drawing.box(x(DOWN[0]), 24, x(DOWN[1]) - x(DOWN[0]), 20, "red")
    drawing.text((x(DOWN[0]) + x(DOWN[1])) / 2, 38, "down", at="middle")
    drawing.text(14, 38, "server", "muted")
    drawing.axis(x, 172, range(0, SECONDS + 1, 5), top=24)
    for row, (outcome, colour) in enumerate((("succeeded", "green"), ("failed", "red"), ("rejected", "muted"))):
        y = 52 + 28 * row
        drawing.text(14, y + 14, outcome, "muted")
        drawing.lines([[(x(at), y), (x(at), y + 18)] for at, what in calls if what == outcome], colour)
    drawing.text(14, 156, "circuit", "muted")
    for (since, state), (until, _) in zip(changes, [*changes[1:], (SECONDS, "")], strict=True):
        if until == since:  # half-open for the one instant of its probe
            drawing.lines([[(x(since), 129), (x(since), 168)]], COLOURS[state])
            drawing.text(x(since) + 4, 138, state, COLOURS[state])
            continue
        drawing.box(x(since), 142, x(until) - x(since), 22, COLOURS[state], "faint", round=0)
        drawing.text((x(since) + x(until)) / 2, 157, state, at="middle")
    return drawing
