"""Bodies: whatever a transport's stream does, what a response holds comes back once."""

import asyncio
import gc
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from calls import URL
from drivers import known, run

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, Stack, State, Timeout
from seawall._transport import current
from seawall.httpx import AsyncClient, AsyncTransport, Transport
from seawall.runtime._awaiting import let_go
from seawall.testing import Cancelled, ScriptedServer, VirtualRuntime, reply

STACK = Stack(Timeout(30), CircuitBreaker(), ConcurrencyLimit(1))


class Stream(httpx.AsyncByteStream, httpx.SyncByteStream):
    """Two chunks; closing it may fail."""

    def __init__(self, close: Exception | None = None) -> None:
        self.error = close
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    def __iter__(self) -> Iterator[bytes]:
        yield b"a"
        yield b"b"

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error


class Plain:
    """An awaitable that is no coroutine."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, Any]:
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value
        yield


class Awaitables(httpx.AsyncByteStream):
    """A stream whose iterator gives plain awaitables, as one written in C might."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)

    def __aiter__(self) -> "Awaitables":
        return self

    def __anext__(self) -> Plain:
        return Plain(self._chunks.pop(0) if self._chunks else StopAsyncIteration())


class Answers:
    """A transport that answers with one stream, through plain awaitables."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self.stream)

    def handle_async_request(self, request: httpx.Request) -> Plain:
        return Plain(self.handle_request(request))


def in_use(state: State) -> int:
    (slots,) = (entry["in_use"] for entry in state.snapshot() if "in_use" in entry)
    return int(slots)


def failures(state: State) -> int:
    (circuit,) = (entry["failures"] for entry in state.snapshot() if "failures" in entry)
    return int(circuit)


async def open_response(state: State, stream: Any) -> httpx.Response:
    transport = AsyncTransport(STACK, transport=Answers(stream), state=state)
    response: httpx.Response = await transport.handle_async_request(httpx.Request("GET", URL))
    assert in_use(state) == 1
    return response


@pytest.mark.parametrize("how", ["read", "closed"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_stream_that_cannot_be_closed_gives_everything_back(mode: str, how: str) -> None:
    """The error of closing comes out, what was held comes back, and the circuit hears that the body broke."""
    state, stream = State(), Stream(close=httpx.ReadError("cannot close"))

    async def awaiting() -> None:
        response = await open_response(state, stream)
        with pytest.raises(httpx.ReadError, match="cannot close"):
            await (response.aread() if how == "read" else response.aclose())

    if mode == "async":
        asyncio.run(awaiting())
    else:
        response = Transport(STACK, transport=Answers(stream), state=state).handle_request(httpx.Request("GET", URL))
        with pytest.raises(httpx.ReadError, match="cannot close"):
            response.read() if how == "read" else response.close()
    assert (in_use(state), failures(state), stream.closed) == (0, 1, 1)


class Busy(Stream):
    """Its second chunk never comes, and closing it waits for that."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"a"
        await current().sleep(7200)

    async def aclose(self) -> None:
        await current().sleep(7200)


class Served(httpx.AsyncBaseTransport):
    """Answers with a stream."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self.stream = stream

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self.stream)


@pytest.mark.parametrize("ends", ["deadline", "closed", "cancelled"])
def test_closing_what_is_busy_is_bounded(ends: str) -> None:
    """A stream whose closing waits for its end is interrupted after 2 s, and holds nothing any more."""
    runtime, stream = VirtualRuntime(), Busy()
    ended: list[float] = []

    async def main() -> None:
        async with seawall.httpx.AsyncClient(STACK, transport=Served(stream)) as client:

            async def read() -> None:
                options = {"timeout": 5.0} if ends == "deadline" else {}
                try:
                    async with client.stream("GET", URL, extensions={"seawall": options}) as response:
                        async for _ in response.aiter_raw():
                            if ends == "closed":
                                break
                finally:
                    ended.append(runtime.now())

            task = runtime.spawn(read())
            await runtime.sleep(5)
            if ends == "cancelled":
                task.cancel()
            await runtime.sleep(3600)
            with suppress(seawall.TimedOut, Cancelled):
                task.result()
            assert known(client.state, ConcurrencyLimit)["in_use"] == 0

    runtime.run(main())
    assert ended == [{"deadline": 7, "closed": 2, "cancelled": 7}[ends]]


def test_plain_awaitables_are_as_good_as_coroutines() -> None:
    """A transport and a stream may return anything that can be awaited."""
    state = State()

    async def main() -> bytes:
        return await (await open_response(state, Awaitables(b"a", b"b"))).aread()

    assert asyncio.run(main()) == b"ab"
    assert in_use(state) == 0


def test_closing_twice_gives_back_once() -> None:
    """The second close of a stream does nothing, however the first one ended."""
    state, stream = State(), Stream()

    async def main() -> None:
        body: Any = (await open_response(state, stream)).stream
        await body.aclose()
        await body.aclose()
        await body._finish("closed", None)

    asyncio.run(main())
    assert (in_use(state), stream.closed) == (0, 1)


def test_a_reader_that_is_thrown_away_half_way_awaits_nothing() -> None:
    """A reading coroutine that is closed gets out at once; the body stays open until it is closed or collected."""
    state = State()
    gate: Any = None

    class Held(Stream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"a"
            await gate

    async def main() -> None:
        nonlocal gate
        gate = asyncio.get_running_loop().create_future()
        body: Any = (await open_response(state, Held())).stream
        chunks = aiter(body)
        assert await anext(chunks) == b"a"
        step = chunks.__anext__()
        step.send(None)
        step.close()
        assert in_use(state) == 1
        await body.aclose()

    asyncio.run(main())
    assert in_use(state) == 0


def test_a_response_that_ended_while_a_policy_held_it_holds_nothing(driver: str) -> None:
    """What is hung on a body that has been read by a policy further in is given back at once."""
    state = State()
    stack = Stack(ConcurrencyLimit(1), seawall.ReadBody(100, chunked=True), Reads())
    server = ScriptedServer(reply(body=[b"a", b"b"]))

    async def awaiting() -> None:
        transport = AsyncTransport(stack, transport=server, state=state)
        await transport.handle_async_request(httpx.Request("GET", URL))

    if driver == "threads":
        Transport(stack, transport=server, state=state).handle_request(httpx.Request("GET", URL))
    else:
        run(driver, awaiting)
    gc.collect()
    assert in_use(state) == 0


class Reads(seawall.Policy[None]):
    """Reads the body to its end, and hands on the response all the same."""

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        response = await next(call)
        await call.body(response).read(100)
        return response


def test_what_is_thrown_away_is_closed_as_far_as_that_needs_no_waiting() -> None:
    """A stream that wants to wait while it is closed comes to its end, be it closed by a coroutine or an awaitable."""
    steps: list[str] = []

    async def slow() -> None:
        try:
            steps.append("begins")
            await asyncio.sleep(0)
            steps.append("waited")
        finally:
            steps.append("ends")

    let_go(SimpleNamespace(aclose=slow))
    let_go(SimpleNamespace(aclose=lambda: Plain(steps.append("plain"))))
    assert steps == ["begins", "ends", "plain"]


def test_a_generator_that_is_thrown_away_while_its_thread_holds_locks_waits_for_none() -> None:
    """A collector may end a user's generator anywhere: what its response holds is put down for whoever is next."""
    state, server = State(), ScriptedServer(then=reply(body=[b"a", b"b"]))
    with seawall.httpx.Client(STACK, transport=server, state=state) as c:

        def chunks() -> Iterator[bytes]:
            with c.stream("GET", URL) as response:
                yield from response.iter_raw()

        reading = chunks()
        assert next(reading) == b"a"
        with ExitStack() as locks:
            for cell in state._all_cells():
                if hasattr(cell.state, "_lock"):
                    locks.enter_context(cell.state._lock)
            reading.close()
        assert c.get(URL).content == b"ab"
    assert in_use(state) == 0


def test_a_body_whose_time_is_up_between_two_pieces_is_ended_there() -> None:
    """A generator that was left half-way is ended at once, and not by a collector at some time or other."""
    ended = []

    class Pieces(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                yield b"a"
                yield b"b"
            finally:
                ended.append(runtime.now())

    class Server(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Pieces())

    async def main() -> None:
        async with AsyncClient(Stack(Timeout(5)), transport=Server()) as c, c.stream("GET", URL) as response:
            pieces = response.aiter_raw()
            assert await anext(pieces) == b"a"
            await runtime.sleep(6)
            with pytest.raises(seawall.TimedOut):
                await anext(pieces)
            assert ended == [6]

    runtime = VirtualRuntime()
    runtime.run(main())
