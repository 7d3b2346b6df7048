"""Request bodies: what can be sent again is sent again whole, what cannot is never sent again."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import tenacity
from drivers import URL, exchange

import seawall
import seawall.httpx
from seawall import IdempotencyKey, Retry, Stack

AT_ONCE = Retry(wait=tenacity.wait_none())
CHUNKS = (b"first,", b"second,", b"third")
WHOLE = b"".join(CHUNKS)
ASYNC = ("asyncio", "virtual")


class Server(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Reads the body off the stream as a connection does, fails once, then answers."""

    def __init__(self, failure: Any = 503) -> None:
        self.failure = failure
        self.bodies: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        return self._answer(b"".join(request.stream))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        return self._answer(b"".join([chunk async for chunk in request.stream]))

    def _answer(self, body: bytes) -> httpx.Response:
        self.bodies.append(body)
        if len(self.bodies) > 1:
            return httpx.Response(200)
        if isinstance(self.failure, int):
            return httpx.Response(self.failure, content=b"failed")
        raise self.failure


def chunks() -> Iterator[bytes]:
    """A body that can be iterated once."""
    yield from CHUNKS


async def async_chunks() -> AsyncIterator[bytes]:
    """The same, asynchronously."""
    for chunk in CHUNKS:
        yield chunk


class Again:
    """A body that starts anew each time it is iterated."""

    def __iter__(self) -> Iterator[bytes]:
        return chunks()


class AsyncAgain:
    """The same, asynchronously."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return async_chunks()


class Once:
    """An iterable that hides the one iterator it has."""

    def __init__(self) -> None:
        self.iterator = chunks()

    def __iter__(self) -> Iterator[bytes]:
        return self.iterator


class AsyncOnce:
    """The same, asynchronously."""

    def __init__(self) -> None:
        self.iterator = async_chunks()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.iterator


class Pipe(io.RawIOBase):
    """A file that cannot be rewound."""

    def __init__(self) -> None:
        self.left = [*CHUNKS]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.left.pop(0) if self.left else b""


def assert_replayed(driver: str, **body: Any) -> None:
    """A PUT with this body fails once, and arrives whole the second time."""
    server = Server()
    done = exchange(driver, server, AT_ONCE, method="PUT", **body)
    assert done.status == 200
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]
    assert WHOLE in server.bodies[0]


def assert_sent_once(driver: str, **body: Any) -> None:
    """A PUT with this body fails, and its response is the caller's."""
    server = Server()
    done = exchange(driver, server, AT_ONCE, method="PUT", **body)
    assert done.response is not None
    assert (done.status, done.response.content, done.report.gave_up) == (503, b"failed", "body")
    assert server.bodies == [WHOLE]


@pytest.mark.parametrize(
    "body",
    [{"content": WHOLE}, {"content": WHOLE.decode()}, {"json": WHOLE.decode()}, {"data": {"form": "first,second"}}],
    ids=["bytes", "text", "json", "form"],
)
def test_bytes_replay(driver: str, body: dict[str, Any]) -> None:
    """A body in memory is sent again as it is."""
    server = Server()
    assert exchange(driver, server, AT_ONCE, method="PUT", **body).status == 200
    assert len(set(server.bodies)) == 1
    assert len(server.bodies) == 2
    assert server.bodies[0]


@pytest.mark.parametrize("make", [lambda: [*CHUNKS], lambda: CHUNKS, Again], ids=["list", "tuple", "iterable"])
def test_what_can_be_iterated_again_replays(make: Callable[[], Iterable[bytes]]) -> None:
    """A list of bytes, or any iterable that starts anew, is sent again whole."""
    assert_replayed("threads", content=make())


@pytest.mark.parametrize("driver", ASYNC)
def test_what_can_be_iterated_again_asynchronously_replays(driver: str) -> None:
    """So is an async iterable that starts anew."""
    assert_replayed(driver, content=AsyncAgain())


@pytest.mark.parametrize(
    "make",
    [chunks, lambda: iter([*CHUNKS]), lambda: map(bytes, CHUNKS), Once],
    ids=["generator", "iterator", "map", "hidden"],
)
def test_one_shot_iterators_are_never_replayed(make: Callable[[], Iterable[bytes]]) -> None:
    """A body that can be iterated once is sent once: never again empty, never shortened."""
    assert_sent_once("threads", content=make())


@pytest.mark.parametrize("driver", ASYNC)
@pytest.mark.parametrize("make", [async_chunks, AsyncOnce], ids=["generator", "hidden"])
def test_one_shot_async_iterators_are_never_replayed(driver: str, make: Callable[[], Any]) -> None:
    """Neither is an async generator, nor an iterable that hides one."""
    assert_sent_once(driver, content=make())


@pytest.mark.parametrize("failure", [httpx.ReadError("reset"), httpx.ConnectError("refused")], ids=["read", "connect"])
def test_the_error_of_a_one_shot_body_is_the_callers(failure: httpx.TransportError) -> None:
    """The original error is raised, even where the request was provably not sent: the iterator may have begun."""
    done = exchange("threads", Server(failure), AT_ONCE, method="PUT", content=chunks())
    assert done.error is failure
    assert done.report.gave_up == "body"


def test_a_file_rewinds(tmp_path: Path) -> None:
    """A real file is sent again from its start."""
    path = tmp_path / "upload"
    path.write_bytes(WHOLE)
    with path.open("rb") as file:
        assert_replayed("threads", content=file)


def test_a_file_rewinds_to_where_it_stood(tmp_path: Path) -> None:
    """A file that the caller had read from is sent again from there, not from its start."""
    path, server = tmp_path / "upload", Server()
    path.write_bytes(b"header" + WHOLE)
    with path.open("rb") as file:
        file.read(6)
        assert exchange("threads", server, AT_ONCE, method="PUT", content=file).status == 200
    assert server.bodies == [WHOLE, WHOLE]


def test_a_file_in_memory_rewinds() -> None:
    """So is a BytesIO."""
    assert_replayed("threads", content=io.BytesIO(WHOLE))


def test_a_pipe_is_never_replayed() -> None:
    """A file that cannot seek is a one-shot body."""
    assert_sent_once("threads", content=Pipe())


def test_a_real_pipe_is_never_replayed() -> None:
    """Neither is a pipe of the operating system's."""
    reading, writing = os.pipe()
    os.write(writing, WHOLE)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert_sent_once("threads", content=file)


def test_files_of_a_form_rewind(driver: str, tmp_path: Path) -> None:
    """A multipart form with real files is sent again, every byte of it."""
    path = tmp_path / "upload"
    path.write_bytes(WHOLE)
    with path.open("rb") as file:
        assert_replayed(driver, files={"file": ("upload", file), "note": b"in memory"}, data={"field": "value"})


def test_a_form_without_files_replays(driver: str) -> None:
    """So is one whose parts are all in memory."""
    assert_replayed(driver, files={"file": ("upload", WHOLE)})


def test_a_form_with_a_pipe_is_never_replayed(driver: str) -> None:
    """One part that cannot be rewound makes the whole form a one-shot body."""
    server = Server()
    done = exchange(driver, server, AT_ONCE, method="PUT", files={"file": ("upload", Pipe()), "other": io.BytesIO()})
    assert (done.status, done.report.gave_up, len(server.bodies)) == (503, "body", 1)


class AsyncFile(AsyncAgain):
    """A file of an async library: what it can do must be awaited."""

    async def read(self, size: int = -1) -> bytes:
        raise AssertionError

    async def seekable(self) -> bool:
        return True

    async def seek(self, position: int) -> int:
        raise AssertionError


@pytest.mark.parametrize("driver", ASYNC)
def test_an_async_file_is_never_replayed(driver: str) -> None:
    """A file whose seek must be awaited cannot be rewound from here, and is left alone."""
    assert_sent_once(driver, content=AsyncFile())


def test_a_stream_class_of_the_callers_is_never_replayed(driver: str) -> None:
    """Nobody can know what a byte stream of the caller's own would say the second time."""

    class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return chunks()

        def __aiter__(self) -> AsyncIterator[bytes]:
            return async_chunks()

    server = Server()

    def request() -> httpx.Request:
        return httpx.Request("PUT", URL, stream=Stream())

    async def main() -> httpx.Response:
        async with seawall.httpx.AsyncClient(Stack(AT_ONCE), transport=server) as client:
            return await client.send(request())

    if driver == "threads":
        with seawall.httpx.Client(Stack(AT_ONCE), transport=server) as client:
            response = client.send(request())
    else:
        response = asyncio.run(main())
    assert seawall.report(response).gave_up == "body"
    assert server.bodies == [WHOLE]


def test_a_body_that_needs_no_replay_is_never_touched() -> None:
    """A one-shot body whose first attempt works is simply sent."""
    server = Server()
    server.bodies.append(b"")  # so that this one is answered
    assert exchange("threads", server, AT_ONCE, method="PUT", content=chunks()).status == 200
    assert server.bodies[1:] == [WHOLE]


def test_a_file_rewinds_under_an_idempotency_key(tmp_path: Path) -> None:
    """A POST with a key and a file is sent again whole: the copy that carries the key shares the body."""
    path, server = tmp_path / "upload", Server()
    path.write_bytes(WHOLE)
    with path.open("rb") as file:
        done = exchange("threads", server, IdempotencyKey(), AT_ONCE, method="POST", content=file)
    assert done.status == 200
    assert server.bodies == [WHOLE, WHOLE]


def test_a_refused_post_with_a_one_shot_body_is_not_repeated() -> None:
    """A 429 permits any method, but only if the body can be replayed."""
    server = Server(429)
    done = exchange("threads", server, AT_ONCE, method="POST", content=chunks())
    assert (done.status, done.report.gave_up, server.bodies) == (429, "body", [WHOLE])
