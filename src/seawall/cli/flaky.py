"""A flaky HTTP/1.1 server on loopback: everything a client meets on a bad day, on demand and repeatable.

    async with FlakyServer(Weather(seed=7, errors=0.1)) as server:
        response = await client.get(f"{server.url}/items/1")
    server.received["error"]     # how many requests were answered with a 5xx

What goes wrong is decided by `Weather.answer`, a pure function of the seed, the path, how often that path was
asked for before, and the seconds since the server's clock was started. So two clients sending the same paths
at the same times meet the same faults, however they interleave, and a retry draws anew.

Windows come before rates: in the `outage` every request is answered with 503 at once, in the `throttled`
window with 429 and a Retry-After. Elsewhere one draw picks at most one fault.

The protocol is as small as an honest HTTP/1.1 server allows: keep-alive, HEAD, bodies with a Content-Length
(read and dropped). A chunked request body is refused with 411.
"""

import asyncio
import math
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

Kind = Literal["ok", "slow", "error", "reset", "truncated", "throttled", "outage"]

_REASONS = {
    200: "OK",
    400: "Bad Request",
    411: "Length Required",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
_PAYLOAD = b'{"items": [' + b", ".join(b'{"id": %d}' % n for n in range(100)) + b"]}"


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time: `start` and `length` in seconds since the server's clock was started."""

    start: float
    length: float

    def __contains__(self, at: float) -> bool:
        return self.start <= at < self.start + self.length


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one request gets: a status after a delay, or, by `kind`, a connection that breaks."""

    kind: Kind
    status: int = 200
    delay: float = 0.0
    retry_after: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """How much goes wrong, and when.

    `errors`, `resets`, `truncated` and `slow` are shares of all requests, together at most 1. `latency` is
    the median delay and `slow_latency` that of the slow ones, in seconds. `retry_after` is in whole seconds,
    as the header is.
    """

    seed: int = 0
    latency: float = 0.0
    errors: float = 0.0
    resets: float = 0.0
    truncated: float = 0.0
    slow: float = 0.0
    slow_latency: float = 1.0
    throttled: Window | None = None
    retry_after: int = 1
    outage: Window | None = None

    def __post_init__(self) -> None:
        shares = (self.errors, self.resets, self.truncated, self.slow)
        if any(not 0 <= share <= 1 for share in shares) or math.fsum(shares) > 1:
            raise ValueError(f"errors, resets, truncated and slow are shares of 1 and sum to at most 1, got {shares}")

    def answer(self, path: str, visit: int, at: float) -> Answer:
        """The answer to the `visit`-th request (from 0) for `path`, `at` seconds after the start."""
        if self.outage is not None and at in self.outage:
            return Answer(kind="outage", status=503)
        if self.throttled is not None and at in self.throttled:
            return Answer(kind="throttled", status=429, retry_after=self.retry_after)
        # A string seeds Random through SHA-512: the same in every process, unlike hash().
        coin = random.Random(f"{self.seed} {path} {visit}")
        delay = self.latency * coin.lognormvariate(0.0, 0.35)
        return self._fault(coin, delay)

    def _fault(self, coin: random.Random, delay: float) -> Answer:
        draw = coin.random()
        if draw < (edge := self.errors):
            return Answer(kind="error", status=coin.choice((500, 502, 503)), delay=delay)
        if draw < (edge := edge + self.resets):
            return Answer(kind="reset", delay=delay)
        if draw < (edge := edge + self.truncated):
            return Answer(kind="truncated", delay=delay)
        if draw < edge + self.slow:
            return Answer(kind="slow", delay=self.slow_latency)
        return Answer(kind="ok", delay=delay)


class FlakyServer:
    """Serves `weather` on an ephemeral port of 127.0.0.1 while its `async with` block runs.

    `clock` (seconds, monotonic) can be replaced, so that a test moves the windows instead of waiting for
    them.
    """

    def __init__(self, weather: Weather, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.weather = weather
        self.received: Counter[Kind] = Counter()
        self.connections = 0
        self._clock = clock
        self._started = 0.0
        self._visits: Counter[str] = Counter()
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        where = f"on {self.url}" if self._server is not None else "not started"
        return f"<FlakyServer {where}, {self.received.total()} requests received>"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`, without a path."""
        if self._server is None:
            raise RuntimeError("the server has an address only inside 'async with server:'")
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    def begin(self) -> None:
        """Start the clock anew: windows are counted from here."""
        self._started = self._clock()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        server, self._server = self._server, None
        assert server is not None
        server.close()
        for connection in self._open:
            connection.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open.add(connection)
        connection.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # the client went away, or does not speak HTTP: nobody to answer
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; true if the connection lives on."""
        request = _parse(await reader.readuntil(b"\r\n\r\n"))
        if isinstance(request, int):
            await _respond(writer, request, b"", keep=False)
            return False
        await reader.readexactly(request.body)
        visit = self._visits[request.path]
        self._visits[request.path] += 1
        answer = self.weather.answer(request.path, visit, self._clock() - self._started)
        self.received[answer.kind] += 1
        if answer.delay:
            await asyncio.sleep(answer.delay)
        return await _play(writer, request, answer)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    keep: bool
    body: int


def _parse(head: bytes) -> _Request | int:
    """The request of a header block, or the status that refuses it."""
    first, *lines = head.decode("latin-1").split("\r\n")
    match first.split(" "):
        case [method, path, ("HTTP/1.1" | "HTTP/1.0") as version]:
            pairs = (line.partition(":") for line in lines if line)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        case _:
            return 400
    if "transfer-encoding" in headers:
        return 411
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        return 400
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return _Request(method, path, keep, int(length))


async def _play(writer: asyncio.StreamWriter, request: _Request, answer: Answer) -> bool:
    if answer.kind == "reset":
        _reset(writer)
        return False
    body = _PAYLOAD if answer.status == 200 else b""
    if answer.kind == "truncated":
        await _respond(writer, answer.status, body, keep=request.keep, sent=len(body) // 2)
        return False
    sent = 0 if request.method == "HEAD" else len(body)
    await _respond(writer, answer.status, body, keep=request.keep, sent=sent, retry_after=answer.retry_after)
    return request.keep


async def _respond(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes,
    *,
    keep: bool,
    sent: int | None = None,
    retry_after: int | None = None,
) -> None:
    """Write a response that promises all of `body` and delivers the first `sent` bytes of it."""
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Length: {len(body)}"]
    if body:
        lines.append("Content-Type: application/json")
    if retry_after is not None:
        lines.append(f"Retry-After: {retry_after}")
    if not keep:
        lines.append("Connection: close")
    writer.write("\r\n".join((*lines, "", "")).encode("ascii") + body[:sent])
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a crashed process or an impatient load balancer does."""
    # Lingering for zero seconds makes close() drop the connection instead of finishing it.
    # Windows has two shorts in struct linger, everyone else two ints.
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
