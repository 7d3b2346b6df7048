"""A server that answers by a script: an inner transport for sync, asyncio and virtual-time tests alike."""

import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from .._transport import current


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. Times in seconds, of the runtime that the request runs on."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[bytes] = (b"",)
    """The chunks of the body."""
    after: float = 0.0
    """Before the response headers."""
    every: float = 0.0
    """Before each chunk."""
    breaks: BaseException | type[BaseException] | None = None
    """Raised after the last chunk instead of ending the body."""


def reply(status: int = 200, body: bytes | Sequence[bytes] = b"", **options: Any) -> Reply:
    """A `Reply`, shorter: `reply(503, headers={"Retry-After": "2"})`, `reply(body=[b"a", b"b"], every=0.5)`."""
    return Reply(status=status, body=(body,) if isinstance(body, bytes) else tuple(body), **options)


Step = Reply | int | BaseException | type[BaseException] | Callable[[Any], "Step"]


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as the server got it."""

    at: float
    """When, on the clock of the runtime that it ran on."""
    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes
    """Its body."""


class ScriptedServer:
    """Answers requests by a script, and remembers them.

        server = ScriptedServer(reply(503), httpx.ConnectError("refused"), then=reply(200, after=0.1))
        client = AsyncClient(transport=server)

    A step is a `Reply`, a status, an exception (raised instead of an answer), or a function of the request that
    returns one of these. When the script is over, `then` answers (200 unless given). `server.requests` lists what came
    in, `server.open` how many bodies are being sent now.
    """

    def __init__(self, *script: Step, then: Step = 200) -> None:
        self._script = list(script)
        self._then = then
        self.requests: list[Received] = []
        self.open = 0
        self.closed = False

    async def handle_async_request(self, request: Any) -> Any:
        runtime = current()
        content = await request.aread()
        answer = self._next(request, content, runtime.now())
        if answer.after:
            await runtime.sleep(answer.after)
        return self._response(request, answer, _async_stream(request)(self, answer))

    def handle_request(self, request: Any) -> Any:
        answer = self._next(request, request.read(), time.monotonic())
        time.sleep(answer.after)
        return self._response(request, answer, _sync_stream(request)(self, answer))

    async def aclose(self) -> None:
        """Remember that the client closed its transport."""
        self.closed = True

    def close(self) -> None:
        """Remember that the client closed its transport."""
        self.closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _next(self, request: Any, content: bytes, now: float) -> Reply:
        self.requests.append(Received(now, request.method, str(request.url), dict(request.headers), content))
        step = self._script.pop(0) if self._script else self._then
        while not isinstance(step, Reply | int | BaseException | type):
            step = step(request)
        if isinstance(step, int):
            return Reply(status=step)
        if isinstance(step, Reply):
            return step
        raise step if isinstance(step, BaseException) else _raised(step)

    def _response(self, request: Any, answer: Reply, stream: Any) -> Any:
        self.open += 1
        headers = {"content-length": str(sum(map(len, answer.body)))} if answer.breaks is None else {}
        return _library(request).Response(answer.status, headers={**headers, **answer.headers}, stream=stream)

    def __repr__(self) -> str:
        return f"<ScriptedServer {len(self.requests)} requests, {len(self._script)} steps left>"


def _library(request: Any) -> Any:
    """The HTTP library that a request belongs to."""
    return sys.modules[type(request).__module__.partition(".")[0]]


def _raised(error: type[BaseException]) -> BaseException:
    return error("scripted")


class _Stream:
    """The body of one answer."""

    def __init__(self, server: ScriptedServer, answer: Reply) -> None:
        self._server = server
        self._answer = answer
        self._closed = False

    def _end(self) -> None:
        if not self._closed:
            self._closed = True
            self._server.open -= 1

    def _break(self) -> None:
        breaks = self._answer.breaks
        if breaks is not None:
            raise breaks if isinstance(breaks, BaseException) else _raised(breaks)


class _Async(_Stream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        runtime = current()
        for chunk in self._answer.body:
            if self._answer.every:
                await runtime.sleep(self._answer.every)
            yield chunk
        self._break()

    async def aclose(self) -> None:
        self._end()


class _Sync(_Stream):
    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._answer.body:
            time.sleep(self._answer.every)
            yield chunk
        self._break()

    def close(self) -> None:
        self._end()


def _async_stream(request: Any) -> Any:
    return type("ScriptedBody", (_Async, _library(request).AsyncByteStream), {})


def _sync_stream(request: Any) -> Any:
    return type("ScriptedBody", (_Sync, _library(request).SyncByteStream), {})
