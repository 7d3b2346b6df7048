"""One connection in place of a pool of one.

httpx's transports send through a pool of httpcore's. In a shard that pool has one connection, and never more than one
request: its line, its assignments and the stream that gives a connection back are work for nothing, a sixth of the
instructions of a request under asyncio (docs/decisions.md). Here a request goes straight to the connection, which the
pool still makes, with its proxy and its options. Whether an idle one is of use, and for how long, the shard says.

`_pool` is a private attribute of httpx's. A transport that has none, or one that does not make connections, is left as
it is, and works as well.
"""

from collections.abc import Callable
from typing import Any

ORDINARY = (b"http", b"https")
"""Schemes that need nothing else of a pool; it knows what to say of others."""


def single(build: Callable[[], Any], driver: str) -> Any:
    """A transport of the HTTP library that sends on one HTTP/1.1 connection, where it can be had to do so."""
    transport = build()
    pool = getattr(transport, "_pool", None)
    if hasattr(pool, "create_connection"):
        transport._pool = SyncSingle(pool) if driver == "sync" else AsyncSingle(pool)
    return transport


class Single:
    """What both kinds share. One request at a time, all to one origin: until its response is closed no other comes."""

    __slots__ = ("connection", "pool")

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.connection: Any = None

    def sender(self, request: Any) -> Any:
        """The connection, a new one if it cannot be used again (it is closed then), or the pool for other schemes."""
        connection = self.connection
        if connection is None or not connection.is_available():
            if request.url.scheme not in ORDINARY:
                return self.pool
            connection = self.connection = self.pool.create_connection(request.url.origin)
        return connection

    @property
    def open(self) -> bool:
        """Whether there is something to close."""
        return self.connection is not None and not self.connection.is_closed()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.connection!r}>"


class AsyncSingle(Single):
    """For an `AsyncHTTPTransport`."""

    __slots__ = ()

    async def handle_async_request(self, request: Any) -> Any:
        try:
            return await self.sender(request).handle_async_request(request)
        except BaseException as error:  # without its cause, as the pool raises it
            raise error from None

    async def aclose(self) -> None:
        if self.open:
            await self.connection.aclose()
        await self.pool.aclose()


class SyncSingle(Single):
    """For an `HTTPTransport`."""

    __slots__ = ()

    def handle_request(self, request: Any) -> Any:
        try:
            return self.sender(request).handle_request(request)
        except BaseException as error:
            raise error from None

    def close(self) -> None:
        if self.open:
            self.connection.close()
        self.pool.close()
