"""Connections without sockets, for `AsyncPool` and for clients without one: they suspend wherever real ones may."""

import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx

from seawall._transport import current
from seawall.testing import ScriptedServer

HANDSHAKE = 0.125


class Socket:
    """A network stream, as far as a pool looks at one."""

    def __init__(self, cable: "Cable") -> None:
        self.cable = cable
        cable.sockets.add(self)

    def get_extra_info(self, name: str) -> bool:
        assert name == "is_readable"
        return False

    async def aclose(self) -> None:
        try:
            await current().sleep(0)
        finally:
            self.cable.sockets.discard(self)


class Connection(httpx.AsyncBaseTransport):
    """A transport of one connection. Of use only while each request on it, and its body, came to its end."""

    def __init__(self, cable: "Cable") -> None:
        self.cable = cable
        self.socket: Socket | None = None
        self.busy = False
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert not self.closed, "a request on a connection that was closed"
        assert not self.busy, "a request on a connection whose last request was cut short"
        self.busy = True
        if self.socket is None:
            self.socket = await self._connect(request)
        response: httpx.Response = await self.cable.server.handle_async_request(request)
        response.stream = Wire(self, response.stream)
        response.extensions["network_stream"] = self.socket
        return response

    async def _connect(self, request: httpx.Request) -> Socket:
        """As httpcore: while the handshake lasts only the listener of `trace` knows the socket."""
        socket = Socket(self.cable)
        await request.extensions["trace"]("connection.connect_tcp.complete", {"return_value": socket})
        await current().sleep(HANDSHAKE)
        return socket

    async def aclose(self) -> None:
        try:
            await current().sleep(0)
        finally:
            self.closed = True
            if self.socket is not None:
                self.cable.sockets.discard(self.socket)


class Wire(httpx.AsyncByteStream):
    """A body whose closing takes a turn, as that of a TLS or HTTP/2 stream."""

    def __init__(self, connection: Connection, stream: Any) -> None:
        self.connection = connection
        self.stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.stream:
            yield chunk
        self.connection.busy = False

    async def aclose(self) -> None:
        try:
            if not isinstance(sys.exception(), GeneratorExit):  # a collector waits for nothing
                await current().sleep(0)
        finally:
            await self.stream.aclose()


class Cable:
    """All the connections to a server."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.sockets: set[Socket] = set()
        self.connections: list[Connection] = []

    def connect(self) -> Connection:
        """What a pool builds."""
        made = Connection(self)
        self.connections.append(made)
        return made

    def open(self) -> list[Connection]:
        """Those that nobody has closed."""
        return [connection for connection in self.connections if not connection.closed]


class Direct(httpx.AsyncBaseTransport):
    """A transport without a pool of ours: as many requests at once as there are."""

    def __init__(self, cable: Cable) -> None:
        self.cable = cable

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = await self.cable.server.handle_async_request(request)
        response.stream = Wire(Connection(self.cable), response.stream)
        return response
