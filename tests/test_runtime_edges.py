"""Edges of the runtimes: deadlines inside deadlines, work that ends as it is interrupted, exits, clocks of mocks."""

import contextlib
import time
import types
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from drivers import URL, exchange

import seawall
from seawall import CircuitBreaker, Stack, Timeout
from seawall._errors import Expired
from seawall.httpx import Client
from seawall.runtime._awaiting import resume
from seawall.runtime.threads import THREADS, run
from seawall.testing import Cancelled, VirtualRuntime


def test_of_two_deadlines_the_outer_one_may_be_the_earlier() -> None:
    """A deadline that passes while an inner one still runs ends the outer wait, not the inner one."""
    runtime, seen = VirtualRuntime(), []

    async def inner() -> None:
        try:
            await runtime.within(runtime.sleep(10), 5)
        except Expired:
            seen.append("inner")

    async def main() -> float:
        with pytest.raises(Expired):
            await runtime.within(inner(), 2)
        return runtime.now()

    assert runtime.run(main()) == 2
    assert not seen


def test_what_ends_well_as_it_is_cancelled_has_ended_well() -> None:
    """Work inside a deadline that catches a cancellation and returns gives its result."""
    runtime = VirtualRuntime()

    async def stubborn() -> str:
        try:
            await runtime.sleep(10)
        except Cancelled:
            return "all the same"
        return "in time"

    async def main() -> str:
        task = runtime.spawn(runtime.within(stubborn(), 5))
        await runtime.sleep(1)
        task.cancel()
        return await task

    assert runtime.run(main()) == "all the same"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_a_task_ends_the_run(kind: type[BaseException]) -> None:
    """What is meant to end the process is nobody's result: it comes out of `run` at once."""
    runtime = VirtualRuntime()

    async def leave() -> None:
        raise kind

    async def main() -> None:
        runtime.spawn(leave())
        await runtime.sleep(10)

    with pytest.raises(kind):
        runtime.run(main())


def test_under_threads_there_is_nothing_to_interrupt() -> None:
    """`within` awaits: a sync call runs to its end, and only its own waits and its socket know deadlines."""

    async def work() -> str:
        await THREADS.sleep(0)
        return "done"

    assert run(lambda deadline: THREADS.within(work(), deadline), THREADS.now() - 1) == "done"


class Slow(httpx.BaseTransport, httpx.SyncByteStream):
    """A transport that is no network, and sleeps before its answer or before each chunk of it."""

    def __init__(self, headers: float, chunk: float) -> None:
        self.headers = headers
        self.chunk = chunk
        self.closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        time.sleep(self.headers)
        return httpx.Response(200, stream=self)

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(3):
            time.sleep(self.chunk)
            yield b"x"

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("headers", "chunk"), [(0.1, 0.0), (0.0, 0.1)], ids=["headers", "body"])
def test_what_cannot_be_cut_is_too_late_all_the_same(headers: float, chunk: float) -> None:
    """An answer or a chunk of a mock that comes after the deadline is a TimedOut, and the response is closed."""
    transport = Slow(headers, chunk)
    with Client(Stack(Timeout(0.05)), transport=transport) as client:
        with pytest.raises(seawall.TimedOut):
            client.get(URL)
        assert transport.closed


class Stalled(Slow):
    """Its chunk never comes; after a while it gives up in a way of its own."""

    def __iter__(self) -> Iterator[bytes]:
        time.sleep(self.chunk)
        raise OSError("gave up")
        yield b""


@pytest.mark.parametrize(("gives_up", "kind"), [(0.1, seawall.TimedOut), (0.0, OSError)], ids=["late", "in time"])
def test_what_gives_up_after_the_deadline_has_timed_out(gives_up: float, kind: type[Exception]) -> None:
    """A body that a foreign transport breaks off is a TimedOut if the deadline has passed, else what was raised."""
    transport = Stalled(0.0, gives_up)
    with Client(Stack(Timeout(0.05 if gives_up else 30)), transport=transport) as client:
        with pytest.raises(kind) as caught:
            client.get(URL)
        assert gives_up == 0 or isinstance(caught.value.__cause__, OSError)
        assert transport.closed


def test_a_key_that_cannot_be_hashed_is_named(driver: str) -> None:
    """A key function that returns a list is told so, with the policy that it belongs to."""
    policy: Any = CircuitBreaker(key=lambda request: ["mine"])
    done = exchange(driver, httpx.MockTransport(lambda request: httpx.Response(200)), policy)
    assert isinstance(done.error, TypeError)
    assert str(done.error) == "CircuitBreaker: key must return something hashable, not ['mine']"


def test_what_is_raised_after_a_cancellation_was_dealt_with_does_not_tell_of_it() -> None:
    """An error that awaited code raises once it has swallowed what interrupted it has no context of ours."""

    @types.coroutine
    def pause() -> Iterator[None]:
        yield

    async def swallow() -> None:
        with contextlib.suppress(Cancelled):
            await pause()
        raise ZeroDivisionError

    steps = swallow()
    resumed = resume(steps, steps.send(None))
    resumed.send(None)
    with pytest.raises(ZeroDivisionError) as caught:
        resumed.throw(Cancelled())
    assert caught.value.__context__ is None
