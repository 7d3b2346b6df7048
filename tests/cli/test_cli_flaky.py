"""The flaky server, one behaviour at a time, over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from seawall.cli.flaky import FlakyServer, Weather, Window


def serve(
    weather: Weather,
    use: Callable[[FlakyServer, httpx.AsyncClient], Awaitable[None]],
    *,
    clock: Callable[[], float] = lambda: 0.0,
) -> FlakyServer:
    """Run `use` with a server, whose clock stands still unless given, and with a bare client."""

    async def run() -> FlakyServer:
        server = FlakyServer(weather, clock=clock)
        async with server, httpx.AsyncClient(trust_env=False, base_url=server.url) as client:
            await use(server, client)
        return server

    return asyncio.run(run())


async def raw(server: FlakyServer, sent: bytes) -> bytes:
    """Everything the server says to `sent` until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(sent)
    writer.write_eof()
    said = await reader.read()
    writer.close()
    return said


def test_fair_weather() -> None:
    """Without faults a request is answered with 200 and a JSON body."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        response = await client.get("/items/1")
        assert response.status_code == 200
        assert len(response.json()["items"]) == 100

    assert serve(Weather(), use).received == {"ok": 1}


def test_keep_alive() -> None:
    """Requests one after the other share one connection."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        for n in range(5):
            await client.get(f"/items/{n}")

    assert serve(Weather(), use).connections == 1


def test_connection_close() -> None:
    """A client that asks for the connection to be closed gets it closed."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        for n in range(3):
            response = await client.get(f"/items/{n}", headers={"Connection": "close"})
            assert response.headers["connection"] == "close"

    assert serve(Weather(), use).connections == 3


def test_http_1_0() -> None:
    """An HTTP/1.0 client gets its answer and the connection closed."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        said = await raw(server, b"GET / HTTP/1.0\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nConnection: close\r\n" in said

    serve(Weather(), use)


def test_head() -> None:
    """HEAD tells the length of the body and sends none."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        response = await client.head("/items/1")
        assert int(response.headers["content-length"]) > 0
        assert response.content == b""
        assert (await client.get("/items/1")).status_code == 200

    assert serve(Weather(), use).connections == 1


def test_request_body() -> None:
    """A request's body is read, so that the next request on the connection is understood."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        assert (await client.post("/items", content=b"x" * 100_000)).status_code == 200
        assert (await client.get("/items")).status_code == 200

    assert serve(Weather(), use).connections == 1


def test_chunked_request_body() -> None:
    """A request body without a Content-Length is refused with 411."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        assert (await client.post("/items", content=chunks())).status_code == 411

    serve(Weather(), use)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/3\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_malformed_request(sent: bytes) -> None:
    """What is not HTTP/1.1 is answered with 400 and the connection closed."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        assert (await raw(server, sent)).startswith(b"HTTP/1.1 400 ")

    assert serve(Weather(), use).received.total() == 0


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", b"x" * 100_000])
def test_unfinished_request(sent: bytes) -> None:
    """A client that leaves in the middle of a request, or never ends its header, disturbs nobody."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        with contextlib.suppress(ConnectionError):  # closed with our bytes unread, which TCP calls a reset
            assert await raw(server, sent) == b""
        assert (await client.get("/items")).status_code == 200

    serve(Weather(), use)


def test_errors() -> None:
    """An error is a 500, 502 or 503 on a connection that lives on."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        statuses = {(await client.get(f"/items/{n}")).status_code for n in range(50)}
        assert statuses == {500, 502, 503}

    server = serve(Weather(errors=1.0), use)
    assert server.received == {"error": 50}
    assert server.connections == 1


def test_reset() -> None:
    """A reset arrives as RST, not as an orderly end."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.ReadError):
            await client.get("/items/1")
        with pytest.raises(ConnectionResetError):
            await raw(server, b"GET / HTTP/1.1\r\n\r\n")

    assert serve(Weather(resets=1.0), use).received == {"reset": 2}


def test_truncated() -> None:
    """A truncated answer promises its whole body, sends half of it and closes."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        head, _, body = (await raw(server, b"GET / HTTP/1.1\r\n\r\n")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        promised = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        assert len(body) == promised // 2
        with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
            await client.get("/items/1")

    assert serve(Weather(truncated=1.0), use).received == {"truncated": 2}


def test_slow() -> None:
    """A slow answer takes the latency asked for, here longer than the client waits."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/items/1", timeout=httpx.Timeout(5, read=0.05))

    assert serve(Weather(slow=1.0, slow_latency=30.0), use).received == {"slow": 1}


def test_throttled_window() -> None:
    """In its window the server answers 429 with Retry-After, before and after as usual."""
    now = 0.0

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        nonlocal now
        assert (await client.get("/items/1")).status_code == 200
        now = 1.0
        response = await client.get("/items/1")
        assert (response.status_code, response.headers["retry-after"]) == (429, "7")
        now = 1.5
        assert (await client.get("/items/1")).status_code == 200

    weather = Weather(throttled=Window(1.0, 0.5), retry_after=7)
    assert serve(weather, use, clock=lambda: now).received == {"ok": 2, "throttled": 1}


def test_outage_window() -> None:
    """In an outage every request is answered with 503 at once, whatever else the weather holds."""
    now = 10.0

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        nonlocal now
        now = 12.0
        response = await client.get("/items/1")
        assert response.status_code == 503
        assert "retry-after" not in response.headers

    weather = Weather(outage=Window(2.0, 1.0), throttled=Window(0.0, 9.0), slow=1.0, slow_latency=30.0)
    assert serve(weather, use, clock=lambda: now).received == {"outage": 1}


def test_begin_restarts_the_clock() -> None:
    """Windows are counted from `begin`."""
    now = 100.0

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        nonlocal now
        now = 150.0
        assert (await client.get("/items/1")).status_code == 200
        server.begin()
        assert (await client.get("/items/1")).status_code == 503

    serve(Weather(outage=Window(0.0, 1.0)), use, clock=lambda: now)


def test_same_seed_same_faults() -> None:
    """Faults depend on seed, path and visit alone, so the order in which requests come changes nothing."""
    weather = Weather(seed=3, latency=0.01, errors=0.2, resets=0.2, truncated=0.2, slow=0.2)
    asked = [(f"/items/{n}", visit) for n in range(200) for visit in range(3)]
    first = {at: weather.answer(*at, 0.0) for at in asked}
    again = {at: weather.answer(*at, 5.0) for at in reversed(asked)}
    assert first == again
    assert {answer.kind for answer in first.values()} == {"ok", "slow", "error", "reset", "truncated"}


def test_another_seed_other_faults() -> None:
    """Another seed gives another day."""
    paths = [f"/items/{n}" for n in range(200)]
    days = [[Weather(seed=seed, errors=0.5).answer(path, 0, 0.0).kind for path in paths] for seed in (1, 2)]
    assert days[0] != days[1]


def test_retries_draw_anew() -> None:
    """A path that failed once need not fail when it is asked for again."""
    weather = Weather(errors=0.5)
    assert {weather.answer("/items/1", visit, 0.0).kind for visit in range(20)} == {"ok", "error"}


def test_visits_are_counted_over_the_wire() -> None:
    """The server draws for each request to a path in turn, on whatever connection it comes."""
    weather = Weather(errors=0.5)
    expected = [weather.answer("/items/1", visit, 0.0).status for visit in range(10)]

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        headers = {"Connection": "close"}
        assert [(await client.get("/items/1", headers=headers)).status_code for _ in range(10)] == expected

    serve(weather, use)


@pytest.mark.parametrize("shares", [{"errors": -0.1}, {"resets": 1.1}, {"errors": 0.6, "slow": 0.6}])
def test_impossible_shares(shares: dict[str, float]) -> None:
    """Shares outside 0 to 1, or above 1 together, are refused."""
    with pytest.raises(ValueError, match="shares of 1"):
        Weather(**shares)  # type: ignore[arg-type]


def test_shut_down_with_open_requests() -> None:
    """Leaving the block ends answers that are still under way."""
    asked = asyncio.Event()

    def clock() -> float:
        asked.set()  # the server looks at its clock for every request
        return 0.0

    async def run() -> None:
        async with FlakyServer(Weather(slow=1.0, slow_latency=60.0), clock=clock) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
            asked.clear()
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await asked.wait()
        assert await reader.read() == b""
        writer.close()

    asyncio.run(asyncio.wait_for(run(), 10))


def test_repr() -> None:
    """The server's repr tells where it listens and what it has seen."""

    async def use(server: FlakyServer, client: httpx.AsyncClient) -> None:
        await client.get("/")
        assert repr(server) == f"<FlakyServer on {server.url}, 1 requests received>"

    server = serve(Weather(), use)
    assert repr(server) == "<FlakyServer not started, 1 requests received>"
    with pytest.raises(RuntimeError, match="async with"):
        _ = server.url
