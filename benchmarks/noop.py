"""Transports that answer at once, so that what is left to measure is what a contender adds.

The body is a stream class of its own. httpx reads a plain `ByteStream` before anyone asks for it, which
would hide what it costs to hold a permit until the body has been read.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx

URL = "https://api.example.com/items"
BODY = b'{"items": [' + b", ".join(b'{"id": %d}' % number for number in range(16)) + b"]}"
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def turn() -> None:
    """One turn of asyncio's event loop."""
    await asyncio.sleep(0)


class AsyncBody(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield BODY


class Body(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield BODY


class AsyncNoop(httpx.AsyncBaseTransport):
    """Answers at once, or, with `turn`, after one turn of the event loop, as a socket would make it.

    `requests` counts what arrived, to prove that no contender retried or hedged.
    """

    def __init__(self, turn: Callable[[], Awaitable[None]] | None = None) -> None:
        self.requests = 0
        self._turn = turn

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self._turn is not None:
            await self._turn()
        return httpx.Response(200, headers=HEADERS, stream=AsyncBody())


class Noop(httpx.BaseTransport):
    """The same for threads."""

    def __init__(self) -> None:
        self.requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return httpx.Response(200, headers=HEADERS, stream=Body())
