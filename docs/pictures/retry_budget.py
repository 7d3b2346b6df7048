"""The retry budget: what reaches a server that is down, with and without."""

from collections import Counter

from seawall import Retry, RetryBudget, Stack
from seawall.httpx import AsyncClient
from seawall.testing import ScriptedServer, VirtualRuntime

from .svg import Drawing, scale, stairs

URL = "https://api.example.com/items"
PER_SECOND, SECONDS, DOWN = 10, 60, (10, 40)


def load(budget: RetryBudget | None) -> list[int]:
    """Attempts that reach the server in each second, of ten calls a second."""
    runtime = VirtualRuntime()
    server = ScriptedServer(then=lambda _: 500 if DOWN[0] <= runtime.now() < DOWN[1] else 200)

    async def main() -> None:
        async with AsyncClient(Stack(Retry(budget=budget)), transport=server) as client:
            calls = []
            for _ in range(PER_SECOND * SECONDS):
                calls.append(runtime.spawn(client.get(URL)))
                await runtime.sleep(1 / PER_SECOND)
            for call in calls:
                await call

    runtime.run(main())
    seconds = Counter(int(request.at + 1e-9) for request in server.requests)
    return [seconds[second] for second in range(SECONDS)]


def storm() -> Drawing:
    """Attempts a second over an outage."""
    drawing = Drawing(222, "Attempts a second that reach a server before, during and after an outage")
    x, y = scale(0, SECONDS, 40, 420), scale(0, 54, 196, 20)
    drawing.text(14, 12, "attempts a second, of 10 calls a second", bold=True)
    drawing.box(x(DOWN[0]), 20, x(DOWN[1]) - x(DOWN[0]), 20, "red")
    drawing.text(x(sum(DOWN) / 2), 34, "the server is down", at="middle")
    drawing.axis(x, 196, range(0, SECONDS + 1, 10), top=20)
    for height in (0, 10, 20, 30, 40):
        drawing.lines([[(40, y(height)), (420, y(height))]], "muted", "thin")
        drawing.text(34, y(height) + 4, str(height), "muted", at="end")
    for budget, colour in ((None, "purple"), (RetryBudget(), "green")):
        seconds = load(budget)
        points = [(x(second), y(count)) for second, count in enumerate([*seconds, seconds[-1]])]
        drawing.lines([stairs(points)], colour)
    drawing.text(x(25), y(31), "budget=None", "purple", at="middle", bold=True)
    drawing.text(x(25), y(13), "RetryBudget()", "green", at="middle", bold=True)
    return drawing
