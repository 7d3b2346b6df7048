"""ReadBody: short bodies are read inside the attempt, so that one that breaks is retried like any failure."""

import gzip
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import tenacity
from drivers import URL, exchange, known

import seawall
import seawall.httpx
from seawall import CircuitBreaker, ConcurrencyLimit, ReadBody, Retry, Stack
from seawall.testing import ScriptedServer, VirtualRuntime, reply

AT_ONCE = Retry(wait=tenacity.wait_none())
BROKEN = httpx.ReadError("connection reset")


def broken(*, length: int | None, **headers: str) -> Any:
    """A body that breaks after five bytes."""
    if length is not None:
        headers["content-length"] = str(length)
    return reply(body=b"parti", breaks=BROKEN, headers=headers)


def test_a_body_that_breaks_is_retried(driver: str) -> None:
    """A short body that breaks is a failed attempt, and the next one's whole body is the answer."""
    server = ScriptedServer(broken(length=10), reply(body=b"whole body"))
    done = exchange(driver, server, AT_ONCE, ReadBody(100))
    assert done.response is not None
    assert done.response.content == b"whole body"
    assert len(server.requests) == 2
    assert server.open == 0


def test_without_it_a_body_that_breaks_is_the_callers(driver: str) -> None:
    """Once the headers were handed over nothing is retried: what ReadBody is for."""
    server = ScriptedServer(broken(length=10))
    assert exchange(driver, server, AT_ONCE).error is BROKEN
    assert len(server.requests) == 1


def test_a_body_of_the_bound_is_read(driver: str) -> None:
    """The bound is inclusive."""
    assert exchange(driver, ScriptedServer(broken(length=10)), AT_ONCE, ReadBody(10)).status == 200


def test_a_longer_body_streams_on(driver: str) -> None:
    """A Content-Length above the bound leaves the body alone, and its break to the caller."""
    done = exchange(driver, ScriptedServer(broken(length=11)), AT_ONCE, ReadBody(10))
    assert done.error is BROKEN


def test_a_body_of_unknown_length_streams_on(driver: str) -> None:
    """Without a Content-Length nothing is read, unless asked for."""
    done = exchange(driver, ScriptedServer(broken(length=None)), AT_ONCE, ReadBody(10))
    assert done.error is BROKEN


def test_a_body_of_unknown_length_is_read_if_asked_for(driver: str) -> None:
    """chunked=True reads bodies without a Content-Length too."""
    done = exchange(driver, ScriptedServer(broken(length=None)), AT_ONCE, ReadBody(10, chunked=True))
    assert done.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/event-stream"},
        {"content-type": "Text/Event-Stream;charset=utf-8"},
        {"content-type": "text/event-stream", "content-length": "10"},
    ],
    ids=["plain", "capitals", "with a length"],
)
def test_event_streams_are_never_read(driver: str, headers: dict[str, str]) -> None:
    """An event stream is the caller's from its first byte."""
    done = exchange(driver, ScriptedServer(broken(length=None, **headers)), AT_ONCE, ReadBody(10, chunked=True))
    assert done.error is BROKEN


def test_upgrades_are_never_read(driver: str) -> None:
    """Neither is a connection that was upgraded."""
    upgrade = reply(101, body=b"frame", headers={"upgrade": "websocket", "content-length": "5"}, breaks=BROKEN)
    assert exchange(driver, ScriptedServer(upgrade), AT_ONCE, ReadBody(10)).error is BROKEN


@pytest.mark.parametrize("length", ["ten", "-1", "", "1e1", "9" * 30, "9" * 5000, "\N{ARABIC-INDIC DIGIT THREE}"])
def test_a_length_that_is_none_reads_nothing(driver: str, length: str) -> None:
    """A Content-Length that is no small number counts as unknown or as too long, and is no error."""
    answer = reply(body=b"parti", breaks=BROKEN, headers={b"content-length": length.encode()})
    assert exchange(driver, ScriptedServer(answer), AT_ONCE, ReadBody(10)).error is BROKEN


@pytest.mark.parametrize("headers", [{}, {"content-length": "4"}], ids=["no length", "a length that lies"])
def test_a_body_that_proves_longer_streams_on(driver: str, headers: dict[str, str]) -> None:
    """It is read to the first chunk beyond the bound, which comes first, and the rest as it is asked for."""
    given: list[bytes] = []

    class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for chunk in (b"aaaa", b"bbbb", b"cccc", b"dddd"):
                given.append(chunk)
                yield chunk

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in self:
                yield chunk

    class Server(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, headers=headers, stream=Body())

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return self.handle_request(request)

    read: list[bytes] = []

    async def main() -> None:
        async with (
            seawall.httpx.AsyncClient(Stack(ReadBody(6, chunked=True)), transport=Server()) as client,
            client.stream("GET", URL) as response,
        ):
            assert given == [b"aaaa", b"bbbb"]
            read.extend([chunk async for chunk in response.aiter_raw()])

    if driver == "threads":
        with (
            seawall.httpx.Client(Stack(ReadBody(6, chunked=True)), transport=Server()) as client,
            client.stream("GET", URL) as response,
        ):
            assert given == [b"aaaa", b"bbbb"]
            read.extend(response.iter_raw())
    else:
        VirtualRuntime().run(main())
    assert b"".join(read) == b"aaaabbbbccccdddd"


def test_a_body_that_was_read_frees_its_slot_at_once() -> None:
    """After ReadBody nothing of the response is on the network, so nothing is held while the caller thinks."""
    runtime, server, state = VirtualRuntime(), ScriptedServer(reply(body=b"whole")), seawall.State()

    async def main() -> None:
        stack = Stack(AT_ONCE, ConcurrencyLimit(1), ReadBody(100))
        async with (
            seawall.httpx.AsyncClient(stack, transport=server, state=state) as client,
            client.stream("GET", URL) as response,
        ):
            assert known(state, ConcurrencyLimit)["in_use"] == 0
            assert server.open == 0
            assert await response.aread() == b"whole"

    runtime.run(main())


def test_a_break_is_a_failure_of_the_circuit(driver: str) -> None:
    """The breaker outside sees the broken attempt as failed and the next as a success."""
    state = seawall.State()
    server = ScriptedServer(broken(length=10))
    exchange(driver, server, AT_ONCE, CircuitBreaker(), ReadBody(100), state=state)
    circuit = known(state, CircuitBreaker)
    assert (circuit["calls"], circuit["failures"]) == (2, 1)


def test_compressed_bodies_are_read_as_they_came(driver: str) -> None:
    """The bound is of what comes over the network; the caller still gets the body decoded."""
    packed = gzip.compress(b"x" * 10_000)
    server = ScriptedServer(reply(body=packed, headers={"content-encoding": "gzip"}))
    done = exchange(driver, server, AT_ONCE, ReadBody(200))
    assert done.response is not None
    assert done.response.content == b"x" * 10_000


def test_a_body_in_memory_already_is_left_alone(driver: str) -> None:
    """A response that a mock or a cache has read needs no reading."""
    answer = httpx.MockTransport(lambda request: httpx.Response(200, content=b"ready"))
    done = exchange(driver, answer, AT_ONCE, ReadBody(100))
    assert done.response is not None
    assert done.response.content == b"ready"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((-1,), ValueError), ((1.5,), TypeError), ((None,), TypeError), ((True,), TypeError)],
    ids=str,
)
def test_bounds_that_cannot_be_are_refused(arguments: Any, error: type[Exception]) -> None:
    """`max_bytes` is a whole number of at least 0."""
    with pytest.raises(error, match="ReadBody: max_bytes must be a whole number of at least 0"):
        ReadBody(*arguments)


def test_chunked_is_true_or_false() -> None:
    """Something that merely has a truth value is refused."""
    with pytest.raises(TypeError, match="ReadBody: chunked must be True or False"):
        ReadBody(10, chunked="yes")
