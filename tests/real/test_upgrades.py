"""Connections that live long: upgrades and event streams, and what they hold meanwhile."""

from typing import Any, Literal

import pytest

from seawall import ConcurrencyLimit, QueueFull, ReadBody, Retry, Stack, Timeout, WaitTooLong

from .conftest import Serve
from .modes import Mode, settle
from .servers import OK, Connection

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"
HEADERS = {"Connection": "Upgrade", "Upgrade": "shout"}
EVENTS = (
    b"HTTP/1.1 503 Busy\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nb\r\ndata: one\n\n\r\n"
)

# httpx itself leaves generators half-way when a stream is closed early; trio warns of each
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")


def site(connection: Connection) -> None:
    """An upgrade, a failed event stream without an end, and anything else."""
    while request := connection.request():
        if request.target == "/":
            connection.send(OK)
            continue
        connection.send(UPGRADED if request.target == "/upgrade" else EVENTS)
        while said := connection.socket.recv(100):
            connection.send(said.upper())
        return


async def talk(mode: Mode, answer: Any) -> None:
    """Use what was opened."""
    if answer.status_code == 101:
        stream = answer.extensions["network_stream"]
        await settle(stream.write(b"word", timeout=5))
        assert await settle(stream.read(100, timeout=5)) == b"WORD"
    else:
        pieces = answer.aiter_raw() if mode.is_async else answer.iter_raw()
        assert (await anext(pieces) if mode.is_async else next(pieces)) == b"data: one\n\n"
        await settle(pieces.aclose() if mode.is_async else pieces.close())


@pytest.mark.parametrize("release_on", ["body", "headers"])
@pytest.mark.parametrize("path", ["/upgrade", "/events"])
async def test_slot(mode: Mode, serve: Serve, path: str, release_on: Literal["body", "headers"]) -> None:
    """A slot is kept until the stream is closed, or until its headers; it is opened once, not read ahead, of use."""
    server = serve(site)
    limit = ConcurrencyLimit(1, queue=0, release_on=release_on)
    stack = Stack(Timeout(20), Retry(), limit, ReadBody(10_000, chunked=True), Timeout(10))
    async with mode.using(mode.Client(stack)) as client:
        answer = await mode.open(client, server.url(path), headers=HEADERS)
        if release_on == "body":
            with pytest.raises(QueueFull):
                await mode.get(client, server.url())
        else:
            assert (await mode.get(client, server.url())).status_code == 200
        await talk(mode, answer)
        await mode.close(answer)
        assert (await mode.get(client, server.url())).status_code == 200
        assert client.state.snapshot()[-1]["in_use"] == 0
    assert [heard.target for heard in server.heard].count(path) == 1


@pytest.mark.parametrize("path", ["/upgrade", "/events"])
async def test_connection(mode: Mode, serve: Serve, path: str) -> None:
    """The connection and its permit are the stream's until that is closed, whatever policies give back earlier."""
    server = serve(site)
    limit = ConcurrencyLimit(5, release_on="headers")
    async with mode.using(mode.Client(Stack(Timeout(20), Retry(), limit), transport=mode.Pool(1))) as client:
        answer = await mode.open(client, server.url(path), headers=HEADERS)
        with pytest.raises(WaitTooLong):
            await mode.get(client, server.url(), timeout=0.02)
        await talk(mode, answer)
        await mode.close(answer)
        assert (await mode.get(client, server.url())).status_code == 200
    assert [(heard.target, heard.connection) for heard in server.heard] == [(path, 1), ("/", 2)]
