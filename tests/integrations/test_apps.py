"""Applications in the same process as the inner transport: ASGI, WSGI, and Starlette's TestClient."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest
import tenacity

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, ReadBody, Retry, Stack, TimedOut, Timeout
from seawall.httpx import AsyncClient, Client

STACK = Stack(
    Timeout(30), Retry(wait=tenacity.wait_none()), CircuitBreaker(), ConcurrencyLimit(1, max_wait=5), ReadBody(1000)
)
"""One slot: a call that does not give its own back is noticed by the next."""
BASE = "http://app"


class Broken(Exception):
    """What an application may raise."""


class App:
    """An application that does what the path says: `/busy/2` is busy twice, then works."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.cancelled = 0

    def answer(self, method: str, path: str) -> tuple[int, list[tuple[str, str]], bytes]:
        self.heard.append((method, path))
        if path.startswith("/busy/") and len(self.heard) <= int(path[6:]):
            return 503, [], b"busy"
        if path == "/limited" and len(self.heard) == 1:
            return 429, [("retry-after", "0.02")], b"slowly"
        if path == "/broken":
            raise Broken
        return 200, [("x-app", "yes")], b"works"

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["path"] == "/hangs":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        status, headers, body = self.answer(scope["method"], scope["path"])
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    def wsgi(self, environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            time.sleep(0.05)
        status, headers, body = self.answer(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        start_response(f"{status} Whatever", headers)
        return [body]


def outcome(app: App, method: str, path: str) -> httpx.Response:
    """What a WSGI application answers through a protected client."""
    with Client(STACK, transport=httpx.WSGITransport(app.wsgi), base_url=BASE) as client:
        return client.request(method, path)


async def async_outcome(app: App, method: str, path: str) -> httpx.Response:
    """What an ASGI application answers through a protected client."""
    async with AsyncClient(STACK, transport=httpx.ASGITransport(app.asgi), base_url=BASE) as client:
        return await client.request(method, path)


@pytest.fixture(params=["wsgi", "asgi"])
def ask(request: pytest.FixtureRequest) -> Callable[[App, str, str], httpx.Response]:
    """Both kinds of application, one after the other."""
    if request.param == "wsgi":
        return outcome
    return lambda *asked: asyncio.run(async_outcome(*asked))


def test_an_app_that_is_busy_is_asked_again(ask: Any) -> None:
    """A 503 of an application is repeated, and the answer that follows has the report of all."""
    app = App()
    answer = ask(app, "GET", "/busy/2")
    assert (answer.content, answer.headers["x-app"]) == (b"works", "yes")
    assert [attempt.status for attempt in seawall.report(answer).attempts] == [503, 503, 200]
    assert app.heard == [("GET", "/busy/2")] * 3


def test_an_apps_retry_after_is_kept_to(ask: Any) -> None:
    """A 429 of an application is repeated, whatever the method, after the time that it asks for."""
    refused, served = seawall.report(ask(App(), "POST", "/limited")).attempts
    assert (refused.status, refused.retry_after, served.status) == (429, 0.02, 200)
    assert served.waited >= 0.02


def test_what_an_app_raises_comes_through(ask: Any) -> None:
    """An exception of the application is the test's to see: itself, at once, and no failure of a server."""
    app = App()
    with pytest.raises(Broken):
        ask(app, "GET", "/broken")
    assert len(app.heard) == 1


@pytest.fixture
def starlette() -> Any:
    """Starlette's test client, whose library is httpx2."""
    return pytest.importorskip("starlette.testclient")


def test_starlettes_test_client_protected(starlette: Any) -> None:
    """`protect` puts policies around a TestClient: what the application refuses for now is asked again."""
    app = App()
    with seawall.protect(starlette.TestClient(app.asgi, base_url=BASE), STACK) as client:
        answer = client.get("/busy/2")
        assert (answer.content, answer.headers["x-app"]) == (b"works", "yes")
        assert [attempt.status for attempt in seawall.report(answer).attempts] == [503, 503, 200]
        with pytest.raises(Broken):
            client.get("/broken")
        assert client.get("/").content == b"works"
    assert app.heard == [("GET", "/busy/2")] * 3 + [("GET", "/broken"), ("GET", "/")]


def test_a_protected_test_client_still_speaks_websocket(starlette: Any) -> None:
    """What is no HTTP passes by: TestClient's WebSocket sessions work as without policies."""

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        await receive()
        await send({"type": "websocket.accept"})
        heard = await receive()
        await send({"type": "websocket.send", "text": heard["text"]})
        await send({"type": "websocket.close", "code": 1000})

    client = seawall.protect(starlette.TestClient(echo, base_url=BASE), STACK)
    with client.websocket_connect("/") as session:
        session.send_text("hello")
        assert session.receive_text() == "hello"
    client.close()


def test_a_deadline_cancels_an_asgi_app() -> None:
    """An application that does not answer is cancelled at the deadline, and the slot comes back."""
    app = App()

    async def main() -> bytes:
        async with AsyncClient(STACK, transport=httpx.ASGITransport(app.asgi), base_url=BASE) as client:
            with seawall.options(timeout=0.05), pytest.raises(TimedOut):
                await client.get("/hangs")
            return (await client.get("/")).content

    assert asyncio.run(main()) == b"works"
    assert app.cancelled == 1


def test_a_wsgi_app_that_is_late_has_timed_out() -> None:
    """Nothing interrupts a WSGI application: it runs to its end, and its answer is too late."""
    app = App()
    with Client(STACK, transport=httpx.WSGITransport(app.wsgi), base_url=BASE) as client:
        with seawall.options(timeout=0.01), pytest.raises(TimedOut):
            client.get("/slow")
        assert client.get("/").content == b"works"
    assert app.heard == [("GET", "/slow"), ("GET", "/")]
