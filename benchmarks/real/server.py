"""A real server of a scenario: asyncio, HTTP/1.1 on loopback, with slots, a line and failures as the data say.

Written apart from the simulated one, to be compared with it. What is drawn is drawn from the same streams.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from seawall.testing.simulation import Schedule, Server, Tally
from seawall.testing.simulation.streams import stream

SUPPORTED = {"slots", "service", "queue", "queue_seconds", "failing", "failure"}


class RealServer:
    """Serves until it is closed. Counts in `tally`, whose bins must be there."""

    def __init__(self, server: Server, seed: int, tally: Tally, now: Callable[[], float]) -> None:
        plain = Server()
        for name in type(server).__dataclass_fields__:
            if name not in SUPPORTED and getattr(server, name) != getattr(plain, name):
                raise ValueError(f"a real server has no {name}; there are {', '.join(sorted(SUPPORTED))}")
        if isinstance(server.failure, str):
            raise ValueError(f"a real server fails with a status, not {server.failure!r}")
        self.failure = server.failure
        self.bound = server.bound
        self.tally = tally
        self.now = now
        self.failing = Schedule.of(server.failing)
        self.slots = Schedule.of(float("inf") if server.slots is None else server.slots)
        self.draw = server.service.draws(stream(seed, "server", 0, "service"))
        self.fails = stream(seed, "server", "failures").random
        self.busy = 0
        self.line: deque[Connection] = deque()
        self.open: set[asyncio.Transport] = set()

    async def start(self) -> str:
        """Begin, and return the URL. Slots that come back later take from the line."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", 0, backlog=1000)
        for at, _ in self.slots.changes:
            loop.call_later(at - self.now(), self.refill)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def close(self) -> None:
        """End, with all connections."""
        self._server.close()
        self.line.clear()
        for transport in list(self.open):
            transport.abort()
        await self._server.wait_closed()

    def submit(self, connection: "Connection") -> None:
        """A request is here."""
        self.tally.attempts[int(self.now())] += 1
        failing = self.failing.at(self.now())
        if failing and self.fails() < failing:
            connection.answer(self.failure)
            return
        connection.service = self.draw()
        if self.busy < self.slots.at(self.now()):
            self.serve(connection)
        elif len(self.line) < self.bound:
            self.line.append(connection)
        else:
            connection.answer(503)

    def serve(self, connection: "Connection") -> None:
        """A request has a slot."""
        self.busy += 1
        asyncio.get_running_loop().call_later(connection.service, self.served, connection)

    def served(self, connection: "Connection") -> None:
        """A request is done, whether anybody waits for it or not."""
        self.busy -= 1
        column = self.tally.wasted if connection.gone else self.tally.useful
        column[int(self.now())] += connection.service
        connection.answer(200)
        self.refill()

    def refill(self) -> None:
        """Slots take from the line."""
        while self.line and self.busy < self.slots.at(self.now()):
            self.serve(self.line.popleft())


class Connection(asyncio.Protocol):
    """One connection: requests without a body, one after the other."""

    def __init__(self, server: RealServer) -> None:
        self.server = server
        self.gone = False
        self.service = 0.0
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.open.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True
        self.server.open.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(b"\r\n\r\n"):
            self.received = b""
            self.server.submit(self)

    def answer(self, status: int) -> None:
        """Send a status, if the client is still there."""
        if not self.gone:
            self.transport.write(b"HTTP/1.1 %d \r\ncontent-length: 0\r\n\r\n" % status)
