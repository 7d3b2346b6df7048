"""Timeout: what the deadline of a call and the limit of an attempt cut off."""

import tenacity

import seawall
from seawall import ConcurrencyLimit, Retry, Stack, Timeout
from seawall.httpx import AsyncClient
from seawall.testing import ScriptedServer, VirtualRuntime, reply

from .svg import Drawing, scale

URL = "https://api.example.com/items"
CALL, ATTEMPT, BACKOFF = 12, 4, 1


def hanging() -> seawall.Report:
    """A call that waits 1 s for a slot, and whose every attempt hangs."""
    runtime, server = VirtualRuntime(), ScriptedServer(reply(after=1), then=reply(after=60))
    stack = Stack(Timeout(CALL), Retry(wait=tenacity.wait_fixed(BACKOFF)), ConcurrencyLimit(1), Timeout(ATTEMPT))

    async def main() -> seawall.Report:
        async with AsyncClient(stack, transport=server) as client:
            runtime.spawn(client.get(URL))
            await runtime.sleep(0)
            try:
                await client.get(URL)
            except seawall.TimedOut as error:
                return seawall.report(error)
        raise AssertionError("it should have timed out")

    return runtime.run(main())


def dripping(*, body: bool) -> tuple[float, list[float], float, bool]:
    """When the headers of a slow answer came, each chunk of its body, the end, and whether it is whole."""
    runtime = VirtualRuntime()
    server = ScriptedServer(reply(200, [b"chunk"] * 12, after=3.5, every=1))
    chunks: list[float] = []

    async def main() -> tuple[float, bool]:
        async with (
            AsyncClient(Stack(Timeout(CALL, body=body)), transport=server) as client,
            client.stream("GET", URL) as response,
        ):
            headers = runtime.now()
            try:
                async for _ in response.aiter_raw():
                    chunks.append(runtime.now())  # noqa: PERF401 - what came before an error counts
            except seawall.TimedOut:
                return headers, False
            return headers, True

    headers, whole = runtime.run(main())
    return headers, chunks, runtime.now(), whole


def deadlines() -> Drawing:
    """Three calls on one time line."""
    drawing = Drawing(
        252, "Attempts that hang, and a slow body, under Timeout(12) for the call and Timeout(4) for an attempt"
    )
    x = scale(0, 16, 14, 420)
    drawing.axis(x, 228, range(0, 17, 2), top=16)
    drawing.lines([[(x(CALL), 8), (x(CALL), 228)]], "red", dashed=True)
    drawing.text(x(CALL) + 5, 14, "the deadline", "red")

    report = hanging()
    drawing.text(14, 34, "Timeout(12), Retry(), Timeout(4): it hangs", bold=True)
    drawing.box(x(0), 42, x(report.queued) - x(0), 22, "amber")
    drawing.text(x(report.queued / 2), 78, "line", "amber", at="middle")
    for attempt in report.attempts:
        end = attempt.started + attempt.elapsed
        drawing.box(x(attempt.started), 42, x(end) - x(attempt.started), 22, "blue")
        if attempt.elapsed > 1:
            drawing.text(
                (x(attempt.started) + x(end)) / 2, 57, f"attempt {attempt.number}, {attempt.elapsed:g} s", at="middle"
            )
        if attempt.waited:
            middle = attempt.started - attempt.waited / 2
            drawing.text(x(middle), 78, "backoff", "muted", at="middle")
        drawing.cross(x(end), 53, "red")
    assert isinstance(report.attempts[-1].error, seawall.TimedOut)
    drawing.text(x(CALL) + 8, 57, f'scope "{report.attempts[-1].error.scope}"', "red")

    for top, body, heading in (
        (92, True, "Timeout(12): a slow body"),
        (160, False, "Timeout(12, body=False): the same"),
    ):
        headers, chunks, end, whole = dripping(body=body)
        drawing.text(14, top + 14, heading, bold=True)
        drawing.box(x(0), top + 22, x(headers) - x(0), 22, "blue")
        drawing.text(x(headers / 2), top + 37, "headers", at="middle")
        drawing.box(x(headers), top + 22, x(end) - x(headers), 22, "green")
        for chunk in chunks:
            drawing.dot(x(chunk), top + 33, "green", 2.5)
        if not whole:
            drawing.cross(x(end), top + 33, "red")
        drawing.text(x(headers) + 4, top + 58, "the body, chunk by chunk", "muted")
    return drawing
