"""ReadBody: whether a body that breaks is part of the attempt."""

from dataclasses import dataclass, field

import httpx  # noqa: TID251 - what a client of it sees
import tenacity

import seawall
from seawall import ReadBody, Retry, Stack
from seawall.httpx import AsyncClient
from seawall.testing import ScriptedServer, VirtualRuntime, reply

from .svg import Drawing, scale

URL = "https://api.example.com/items"
CHUNK = b"x" * 100


@dataclass
class Seen:
    """When the server got each request, when your code got the response and each chunk, and how it ended."""

    report: seawall.Report
    handed: float
    chunks: list[float] = field(default_factory=list)
    ended: float = 0.0
    broken: bool = False


def run(*inside: ReadBody, breaks: bool = True, chunks: int = 4) -> Seen:
    """A streamed GET; the first answer's body may break after half of it."""
    runtime = VirtualRuntime()
    length = {"content-length": str(chunks * len(CHUNK))}
    whole = reply(200, [CHUNK] * chunks, headers=length, after=1.5, every=0.5)
    broken = reply(200, [CHUNK] * (chunks // 2), headers=length, after=1.5, every=0.5, breaks=httpx.ReadError)
    server = ScriptedServer(broken, whole) if breaks else ScriptedServer(whole)

    async def main() -> Seen:
        stack = Stack(Retry(wait=tenacity.wait_fixed(1)), *inside)
        async with AsyncClient(stack, transport=server) as client, client.stream("GET", URL) as response:
            seen = Seen(seawall.report(response), runtime.now())
            try:
                async for _ in response.aiter_raw():
                    seen.chunks.append(runtime.now())
            except httpx.ReadError:
                seen.broken = True
            seen.ended = runtime.now()
            return seen

    return runtime.run(main())


def attempts() -> Drawing:
    """Three calls on one time line."""
    drawing = Drawing(260, "A body that breaks, without and with ReadBody; and a body beyond its bound")
    x = scale(0, 7.5, 14, 426)
    drawing.axis(x, 236, range(8), top=4)
    for top, heading, seen in (
        (0, "no ReadBody: it breaks in your hands", run()),
        (78, "ReadBody(1_000): it breaks in an attempt", run(ReadBody(1_000))),
        (156, "ReadBody(1_000): a longer body streams on", run(ReadBody(1_000), breaks=False, chunks=11)),
    ):
        drawing.text(14, top + 16, heading, bold=True)
        y = top + 24
        for attempt in seen.report.attempts:
            end = attempt.started + attempt.elapsed
            drawing.box(x(attempt.started), y, x(min(end, seen.handed)) - x(attempt.started), 22, "blue")
            drawing.text(x(attempt.started) + 4, y + 15, f"attempt {attempt.number}")
            if attempt.error is not None:
                drawing.cross(x(end), y + 11, "red")
        last = seen.report.attempts[-1].started + seen.report.attempts[-1].elapsed
        if seen.handed > last:  # the last attempt's headers; its body was read before it was handed over
            drawing.box(x(last), y, x(seen.handed) - x(last), 22, "blue")
        drawing.lines([[(x(seen.handed), y - 3), (x(seen.handed), y + 38)]], "ink")
        side, at = (-4, "end") if seen.handed > 4 else (4, "start")
        drawing.text(x(seen.handed) + side, y + 36, "your code has the response", "muted", at=at)
        drawing.box(x(seen.handed), y, x(seen.ended) - x(seen.handed), 22, "green")
        for chunk in seen.chunks:
            drawing.dot(x(chunk), y + 11, "green", 2.5)
        if seen.broken:
            drawing.cross(x(seen.ended), y + 11, "red")
            drawing.text(x(seen.ended) + 10, y + 15, "httpx.ReadError", "red")
    return drawing
