"""The way to the server, and its door: what a request passes, and who is told of it."""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import httpx
from cancellation.wires import Connection, Direct

from .trace import Sent

if TYPE_CHECKING:
    from .storm import Storm

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout)


class Replayed:
    """A request body that can be iterated any number of times."""

    def __init__(self, once: Callable[[], AsyncIterator[bytes]]) -> None:
        self.once = once

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.once()


class Watched(httpx.AsyncByteStream):
    """The body of an answer, which tells when it is closed or dropped."""

    def __init__(self, stream: Any, over: Callable[[], None]) -> None:
        self.stream = stream
        self.over = over

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.stream:
            yield chunk

    async def aclose(self) -> None:
        try:
            await self.stream.aclose()
        finally:
            self.over()

    def __del__(self) -> None:
        self.stream.stream._end()  # for the server it is closed: its connection goes with it
        self.over()


class Line(Connection):
    """A connection of the pool."""

    def __init__(self, storm: "Storm") -> None:
        super().__init__(storm.cable)
        self.storm = storm
        storm.cable.connections.append(self)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.storm.send(request, super().handle_async_request)


class Lines(Direct):
    """As many connections as there are requests."""

    def __init__(self, storm: "Storm") -> None:
        super().__init__(storm.cable)
        self.storm = storm

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.storm.send(request, super().handle_async_request)


class Door:
    """Where requests come in. Reads their bodies as a real transport does, chunk by chunk."""

    def __init__(self, storm: "Storm") -> None:
        self.storm = storm

    async def handle_async_request(self, request: httpx.Request) -> Any:
        sent: Sent = request.extensions["sent"]
        answer, sleep = sent.answer, self.storm.driver.sleep
        if answer.error is not None and issubclass(answer.error, NOT_SENT):
            await sleep(answer.after)
            raise answer.error("scripted")
        content = b"".join([chunk async for chunk in request.stream])
        sent.content = content
        if answer.error is not None:
            await sleep(answer.after)
            raise answer.error("scripted")
        whole = httpx.Request(
            request.method, request.url, headers=request.headers, content=content, extensions={"answer": answer}
        )
        return await self.storm.server.handle_async_request(whole)
