"""A shard sends straight on its connection, past the library's pool."""

from typing import Any

import httpx
import pytest

from seawall._single import single

from .conftest import Serve
from .modes import SYNC, Mode


def transport_of(pool: Any) -> Any:
    """The transport of a pool's only connection, which is idle."""
    (shard,) = pool.shards._idle
    return shard.transport


async def test_past_the_librarys_pool(mode: Mode, serve: Serve) -> None:
    """Requests share a connection that the library's pool made, and has not been asked for."""
    server = serve()
    pool = mode.Pool(1)
    async with mode.using(mode.Plain(transport=pool)) as client:
        for _ in range(3):
            assert (await mode.get(client, server.url())).content == b"ok"
        inside = transport_of(pool)._pool
        assert inside.connection.is_idle()
        assert inside.pool.connections == []
        assert "IDLE, Request Count: 3" in repr(inside)
    assert inside.connection.is_closed()
    assert len(server.connections) == 1


async def test_other_schemes(mode: Mode, serve: Serve) -> None:
    """`ws://` goes by the library's pool, which is closed with the rest and refuses others in its own words."""
    server = serve()
    pool = mode.Pool(1)
    async with mode.using(mode.Plain(transport=pool)) as client:
        assert (await mode.get(client, server.url().replace("http:", "ws:"))).content == b"ok"
        assert len(transport_of(pool)._pool.pool.connections) == 1
        with pytest.raises(httpx.UnsupportedProtocol, match="unsupported protocol 'gopher://'"):
            await mode.get(client, "gopher://example.com/")
    server.wait_for(lambda: server.open == 0)


async def test_sender_that_has_no_such_pool(mode: Mode, serve: Serve) -> None:
    """A transport whose pool makes no connections, or that has none, is left as it is, and a pool works with it."""

    class Other:
        """What a library to come may send through."""

        def __init__(self, pool: Any) -> None:
            for name in ("handle_request", "close") if mode is SYNC else ("handle_async_request", "aclose"):
                setattr(self, name, getattr(pool, name))

    def build() -> Any:
        transport = mode.PlainTransport()
        transport._pool = Other(transport._pool)
        return transport

    bare = httpx.MockTransport(lambda request: httpx.Response(200))
    assert single(lambda: bare, mode.Pool.driver) is bare
    assert not hasattr(bare, "_pool")
    server = serve()
    pool = mode.Pool(1)
    pool.shards.build = lambda: single(build, mode.Pool.driver)
    async with mode.using(mode.Plain(transport=pool)) as client:
        for _ in range(2):
            assert (await mode.get(client, server.url())).content == b"ok"
        assert isinstance(transport_of(pool)._pool, Other)
    assert len(server.connections) == 1


async def test_connection_that_ended(mode: Mode, serve: Serve) -> None:
    """A connection that its server closes with a response is replaced, and no error is seen."""
    server = serve()
    pool = mode.Pool(1)
    async with mode.using(mode.Plain(transport=pool, headers={"connection": "close"})) as client:
        for _ in range(3):
            assert (await mode.get(client, server.url())).content == b"ok"
    assert len(server.connections) == 3
