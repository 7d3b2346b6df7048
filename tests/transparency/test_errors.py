"""Errors: their types, what they say and what they belong to. Each request is sent once: see `ONCE`."""

import socket
from collections.abc import Iterator

import pytest
from real.conftest import Serve
from real.servers import OK, Server, stalled_listener

from .user import ONCE, User


@pytest.fixture
def silent(serve: Serve) -> Server:
    """A server that does not read."""
    return serve(lambda connection: connection.server.stopping.wait())


@pytest.fixture
def blunt(serve: Serve) -> Server:
    """A server that answers before it is asked."""
    return serve(lambda connection: connection.send(OK) or connection.hold())


@pytest.fixture
def unused() -> Iterator[str]:
    """Where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


@pytest.fixture(scope="module")
def stalled() -> Iterator[str]:
    """Where connecting does not end."""
    with stalled_listener() as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/", "http://", "https:///path", "http://127.0.0.1:port/", "http://[::1", "//127.0.0.1"],
)
async def test_impossible_url(user: User, url: str) -> None:
    """A URL that cannot be asked is an error at once."""
    async with user.client(base_url="") as client:
        await user.refused(lambda: client.get(url))
        await user.refused(lambda: client.get("/relative"))
        user.note(await user(client.get(user.url("/plain"))))


@pytest.mark.parametrize("path", ["/garbage", "/nothing", "/reset"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_bad_server(user: User, method: str, path: str) -> None:
    """A server that says nothing, or something that is not HTTP."""
    async with user.client() as client:
        await user.refused(lambda: client.request(method, path, extensions=ONCE))
        user.note(await user(client.get("/plain")))


async def test_refused_connection(user: User, unused: str) -> None:
    """Nobody listens there."""
    async with user.client() as client:
        await user.refused(lambda: client.get(unused, extensions=ONCE))


async def test_unknown_host(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody knows."""

    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with user.client() as client:
        await user.refused(lambda: client.get("http://nobody.example/", extensions=ONCE))


async def test_not_tls(user: User, blunt: Server) -> None:
    """A server that does not speak TLS."""
    async with user.client() as client:
        await user.refused(lambda: client.get(blunt.url().replace("http:", "https:"), extensions=ONCE))


async def test_read_timeout(user: User) -> None:
    """No answer in time."""
    async with user.client(timeout=user.lib.Timeout(5, read=0.05)) as client:
        await user.refused(lambda: client.get("/hold", extensions=ONCE))
        user.note(await user(client.get("/plain")))


async def test_connect_timeout(user: User, stalled: str) -> None:
    """No connection in time."""
    async with user.client(timeout=user.lib.Timeout(5, connect=0.05)) as client:
        await user.refused(lambda: client.get(stalled, extensions=ONCE))


async def test_write_timeout(user: User, silent: Server) -> None:
    """A server that does not take a body."""
    async with user.client(timeout=user.lib.Timeout(5, write=0.05)) as client:
        await user.refused(lambda: client.post(silent.url(), content=bytes(30_000_000), extensions=ONCE))


async def test_reraised_as_caught(user: User) -> None:
    """`except httpx.HTTPError` and its kind catch what they should, with the request at hand."""
    async with user.client() as client:
        for kind in (user.lib.HTTPError, user.lib.TransportError, user.lib.ProtocolError, user.lib.RequestError):
            with pytest.raises(kind) as caught:
                await user(client.get("/nothing", extensions=ONCE))
            user.note(caught.value)
