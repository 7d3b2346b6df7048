"""IdempotencyKey: which requests carry which key."""

from collections.abc import Awaitable, Callable

from seawall import IdempotencyKey, Retry, Stack
from seawall.httpx import AsyncClient
from seawall.testing import ScriptedServer, VirtualRuntime, reply
from seawall.testing.server import Received

from .svg import Drawing

URL = "https://api.example.com/orders"
MOVED = reply(307, headers={"Location": "https://api.example.com/v2/orders"})
COLOURS = ("blue", "green", "purple", "amber")


def run() -> list[tuple[str, list[Received]]]:
    """Each call, and the requests that reached the server for it."""
    runtime = VirtualRuntime(seed=4)
    server = ScriptedServer(503, 201, 201, MOVED, 201, 503, 201, 503, 200)
    found: list[tuple[str, list[Received]]] = []

    async def main() -> None:
        async with AsyncClient(Stack(IdempotencyKey(), Retry()), transport=server, follow_redirects=True) as client:
            request = client.build_request("POST", URL, content=b"{}")
            calls: list[tuple[str, Callable[[], Awaitable[object]]]] = [
                ("POST, repeated after a 503", lambda: client.send(request)),
                ("the same Request, sent again", lambda: client.send(request)),
                ("POST, redirected", lambda: client.post(URL)),
                ("POST with a key of its own", lambda: client.post(URL, headers={"Idempotency-Key": "order-17"})),
                ("GET, repeated after a 503", lambda: client.get(URL)),
            ]
            for label, call in calls:
                before = len(server.requests)
                await call()
                found.append((label, server.requests[before:]))

    runtime.run(main())
    return found


def keys() -> Drawing:
    """A box for each request, its colour the key's."""
    found = run()
    drawing = Drawing(14 + 34 * len(found), "Which requests of five calls carry which Idempotency-Key")
    colours: dict[str, str] = {}
    for row, (label, requests) in enumerate(found):
        y = 8 + 34 * row
        drawing.text(14, y + 17, label)
        for place, request in enumerate(requests):
            key = request.headers.get("idempotency-key")
            x = 198 + 118 * place
            if key is None:
                drawing.box(x, y, 108, 26, "muted", "thin", round=4)
                drawing.text(x + 54, y + 17, "no key", "muted", at="middle")
                continue
            colour = colours.setdefault(key, COLOURS[len(colours) % len(COLOURS)])
            drawing.box(x, y, 108, 26, colour, round=4)
            drawing.box(x, y, 108, 26, colour, "line", round=4)
            drawing.text(x + 54, y + 17, key if len(key) < 12 else f"{key[:8]}…", at="middle", bold=True)
    return drawing
