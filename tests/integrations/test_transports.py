"""Transports that are built on other HTTP stacks, inside Seawall: aiohttp, and curl in both its forms."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import tenacity
from drivers import known
from real.conftest import Serve
from real.modes import ASYNC, SYNC, Mode, settle
from real.servers import Connection, Server, answers, chunked, cut_after, echo, hang_up, hold, response

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, ReadBody, Retry, Stack, TimedOut, Timeout

STACK = Stack(
    Timeout(30), Retry(wait=tenacity.wait_none()), CircuitBreaker(), ConcurrencyLimit(1, max_wait=5), ReadBody(1000)
)
"""One slot: a call that does not give its own back is noticed by the next."""

KINDS: dict[str, tuple[str, str, Mode]] = {
    "aiohttp": ("httpx_aiohttp", "AiohttpTransport", ASYNC),
    "curl": ("httpx_curl_cffi", "AsyncCurlTransport", ASYNC),
    "curl, sync": ("httpx_curl_cffi", "CurlTransport", SYNC),
}


class Kind:
    """One transport of somebody else's, and the mode that it is made for."""

    def __init__(self, name: str) -> None:
        module, attribute, self.mode = KINDS[name]
        self.name = name
        self.make: Callable[[], Any] = getattr(pytest.importorskip(module), attribute)

    def client(self, policies: Stack = STACK) -> Any:
        return self.mode.using(self.mode.Client(policies, transport=self.make(), timeout=10))

    async def post(self, client: Any, server: Server, content: bytes = b"pay") -> httpx.Response:
        return await settle(client.post(server.url(), content=content))  # type: ignore[no-any-return]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each transport, one after the other."""
    return Kind(request.param)


@pytest.fixture
def mode(kind: Kind) -> Mode:
    """The mode of the transport, by which tests are run."""
    return kind.mode


async def test_a_failed_answer_is_repeated(kind: Kind, mode: Mode, serve: Serve) -> None:
    """A 503 is repeated with the same body, and the report tells of both attempts."""
    server = serve(answers(response(b"busy", status="503 Busy"), response(b"done", X_Kind="second")))
    with seawall.options(idempotent=True):
        async with kind.client() as client:
            answer = await kind.post(client, server, b"order")
    assert (answer.content, answer.headers["x-kind"]) == (b"done", "second")
    assert [attempt.status for attempt in seawall.report(answer).attempts] == [503, 200]
    assert [heard.body for heard in server.heard] == [b"order", b"order"]


async def test_retry_after_is_kept_to(kind: Kind, mode: Mode, serve: Serve) -> None:
    """The headers of a foreign transport's answer are read like any others."""
    server = serve(answers(response(b"", status="429 Too Many Requests", Retry_After="0.03")))
    async with kind.client() as client:
        answer = await kind.post(client, server)
    refused, served = seawall.report(answer).attempts
    assert refused.retry_after == 0.03
    assert served.waited >= 0.03


async def test_a_connection_that_is_refused_is_a_failure(kind: Kind, mode: Mode, serve: Serve) -> None:
    """An origin that nobody listens at is tried four times, and counts against its circuit."""
    server = serve()
    server.stop()
    async with kind.client() as client:
        with pytest.raises(httpx.TransportError) as caught:
            await mode.get(client, server.url())
        (circuit,) = client.state.circuits()
    assert len(seawall.report(caught.value).attempts) == 4
    assert circuit.breaker.fail_counter == 4


async def test_a_lost_connection_is_repeated_if_that_is_safe(kind: Kind, mode: Mode, serve: Serve) -> None:
    """When the server hangs up without an answer, a GET is sent again and a POST is not."""
    # curl sends again by itself what went out on a kept connection that was dead: this one is not kept
    server = serve(answers(hang_up, response(b"second", Connection="close"), hang_up))
    async with kind.client() as client:
        assert (await mode.get(client, server.url())).content == b"second"
        with pytest.raises(httpx.RequestError) as caught:
            await kind.post(client, server)
    assert seawall.report(caught.value).gave_up == "method"
    assert [heard.method for heard in server.heard] == ["GET", "GET", "POST"]


async def test_a_deadline_bounds_the_wait_for_headers(kind: Kind, mode: Mode, serve: Serve) -> None:
    """A server that does not answer costs no more than the deadline, and the slot comes back."""
    server = serve(answers(hold))
    async with kind.client() as client:
        with seawall.options(timeout=0.05), pytest.raises(TimedOut) as caught:
            await mode.get(client, server.url())
        assert isinstance(caught.value, httpx.TimeoutException)
        assert (await mode.get(client, server.url())).content == b"ok"


async def test_a_deadline_bounds_the_reading_of_a_body(kind: Kind, mode: Mode, serve: Serve) -> None:
    """A body that stalls is broken off at the deadline, and the slot comes back."""

    def stall(connection: Connection) -> bool:
        connection.send(chunked(b"one", end=False))
        return hold(connection)

    server = serve(answers(stall))
    async with kind.client() as client:
        with seawall.options(timeout=0.1), pytest.raises(TimedOut):
            await mode.get(client, server.url())
        assert (await mode.get(client, server.url())).content == b"ok"


async def test_a_body_that_breaks_is_repeated_by_read_body(kind: Kind, mode: Mode, serve: Serve) -> None:
    """A body cut short inside ReadBody is a failed attempt, if the transport raises an error of httpx's for it."""
    server = serve(answers(cut_after(response(b"half", length=9)), response(b"whole")))
    async with kind.client() as client:
        if kind.name == "aiohttp":
            assert (await mode.get(client, server.url())).content == b"whole"
        else:  # curl's own error gets out as it is: nobody but the caller knows it
            with pytest.raises(Exception, match="bytes missing") as caught:
                await mode.get(client, server.url())
            assert not isinstance(caught.value, httpx.HTTPError)
            assert (await mode.get(client, server.url())).content == b"whole"


async def test_a_response_that_is_closed_early_gives_its_slot_back(kind: Kind, mode: Mode, serve: Serve) -> None:
    """A body that nobody reads to its end frees the slot when it is closed."""
    server = serve(answers(cut_after(chunked(b"one", end=False))))
    async with kind.client() as client:
        answer = await mode.open(client, server.url())
        await mode.close(answer)
        assert (await mode.get(client, server.url())).content == b"ok"


@pytest.mark.parametrize("name", ["aiohttp", "curl"])
async def test_a_cancelled_call_gives_its_slot_back(name: str, serve: Serve) -> None:
    """A task cancelled while it waits for headers, or in the middle of a body, leaves transport and slot in order."""

    def stall(connection: Connection) -> bool:
        connection.send(chunked(b"one", end=False))
        return hold(connection)

    server = serve(answers(hold, stall))
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with Kind(name).client() as client:

        async def read() -> None:
            async with client.stream("GET", server.url()) as answer:
                async for _ in answer.aiter_raw():
                    begun.set()

        for cancellable in (lambda: loop.run_in_executor(None, server.wait_for, lambda: server.heard), begun.wait):
            task = asyncio.create_task(read())
            await cancellable()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await client.get(server.url())).content == b"ok"


@pytest.mark.parametrize("name", ["aiohttp", "curl"])
async def test_a_storm_of_deadlines_loses_nothing(name: str, serve: Serve) -> None:
    """After 50 calls of which most ran out of time, the slots are all there and the next ten calls succeed."""
    server = serve(echo)
    async with Kind(name).client(Stack(Timeout(30), ConcurrencyLimit(5))) as client:

        async def hurried(number: int) -> None:
            with seawall.options(timeout=0.0005 * (number % 10 + 1)):
                await client.get(server.url())

        await asyncio.gather(*map(hurried, range(50)), return_exceptions=True)
        later = await asyncio.gather(*(client.get(server.url()) for _ in range(10)))
        assert [answer.content for answer in later] == [b"ok"] * 10
        assert known(client.state, ConcurrencyLimit)["in_use"] == 0
