"""Deadlines under asyncio: whose timeout it was, and whose task may be interrupted."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx
import pytest

import seawall
from seawall import ReadBody, Stack, TimedOut, Timeout
from seawall.httpx import AsyncClient, AsyncTransport

from .conftest import Serve
from .servers import Connection, answers, chunked, response


class Slow(httpx.AsyncBaseTransport):
    """Answers when it is told to, or handles its own cancellation in one way or another."""

    def __init__(self, behave: Callable[[], Awaitable[object]]) -> None:
        self.behave = behave

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self.behave()
        return httpx.Response(200)


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def swallows() -> None:
    """Answers although it was cancelled."""
    with contextlib.suppress(asyncio.CancelledError):
        await forever()


async def breaks() -> None:
    """Turns its cancellation into an error of its own."""
    try:
        await forever()
    except asyncio.CancelledError:
        raise httpx.ReadError("broken off") from None


async def tidies_up() -> None:
    """Takes a few steps of the loop to end."""
    try:
        await forever()
    finally:
        await asyncio.sleep(0)
        await asyncio.sleep(0)


INNER = {"forever": forever, "swallows": swallows, "breaks": breaks, "tidies up": tidies_up}


@pytest.mark.parametrize("inner", [*INNER, "answers in the same tick"])
async def test_same_tick_collisions_are_told_apart(inner: str) -> None:
    """Our timer and the caller's own timeout fire within one tick, 2,000 times: nothing is left, nothing mistaken.

    All timers of a batch become due while the loop is held up, so that each pair fires in one tick, in both orders.
    """
    loop = asyncio.get_running_loop()
    outcomes: Counter[str] = Counter()

    async def call(transport: AsyncTransport, deadline: float, order: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        with seawall.options(deadline=deadline + order * 1e-6):
            try:
                async with asyncio.timeout_at(deadline) as theirs:
                    await transport.handle_async_request(httpx.Request("GET", "http://x/"))
                outcome = "answer"
            except TimedOut:
                outcome = "ours"
            except TimeoutError:
                outcome = "theirs"
            except httpx.ReadError:
                outcome = "error"
        assert task.cancelling() == 0
        if outcome == "theirs":
            assert theirs.expired(), "a timeout that was not the caller's came out as the caller's"
        if outcome == "ours":
            assert order <= 0 or not theirs.expired()
        outcomes[outcome] += 1
        await asyncio.sleep(0)  # a cancellation that was still to be delivered would strike here

    for batch in range(10):
        deadline = loop.time() + 0.02
        if inner in INNER:
            behave: Callable[[], Awaitable[object]] = INNER[inner]
        else:
            gate = loop.create_future()
            loop.call_at(deadline, gate.set_result, None)

            async def behave(gate: asyncio.Future[None] = gate) -> None:
                await asyncio.shield(gate)

        transport = AsyncTransport(Stack(Timeout(60)), transport=Slow(behave))
        calls = [asyncio.create_task(call(transport, deadline, (batch + i) % 3 - 1)) for i in range(200)]
        await asyncio.sleep(0)
        while loop.time() < deadline + 0.001:  # the loop is held up: everything becomes due at once
            time.sleep(0.001)
        done, _ = await asyncio.wait(calls, timeout=10)
        assert len(done) == 200
        for task in done:
            task.result()
    assert sum(outcomes.values()) == 2000
    if inner in ("forever", "tidies up"):
        assert set(outcomes) <= {"ours", "theirs"}
        assert outcomes["theirs"], "a timeout of the caller's that fired is the caller's, whatever else fired"


async def test_callers_timeout_is_never_ours() -> None:
    """A caller's own `asyncio.timeout` that strikes first comes out as TimeoutError, with nothing left of it."""
    transport = AsyncTransport(Stack(Timeout(60)), transport=Slow(forever))
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.01):
            await transport.handle_async_request(httpx.Request("GET", "http://x/"))
    assert not isinstance(caught.value, TimedOut)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_our_timeout_inside_a_longer_one_of_the_callers() -> None:
    """Our deadline strikes first: TimedOut, and the caller's timeout has not expired."""
    transport = AsyncTransport(Stack(Timeout(0.01)), transport=Slow(forever))
    async with asyncio.timeout(20) as theirs:
        with pytest.raises(TimedOut):
            await transport.handle_async_request(httpx.Request("GET", "http://x/"))
    assert not theirs.expired()


async def test_cancelling_the_task_is_not_a_timeout() -> None:
    """A task that is cancelled in the middle of a call ends cancelled."""
    transport = AsyncTransport(Stack(Timeout(60)), transport=Slow(forever))
    task = asyncio.create_task(transport.handle_async_request(httpx.Request("GET", "http://x/")))
    await asyncio.sleep(0)
    task.cancel("reason")
    with pytest.raises(asyncio.CancelledError, match="reason"):
        await task
    assert task.cancelled()


async def test_task_group_sees_our_timeout_as_an_error_of_its_child() -> None:
    """In a task group our TimedOut is that task's error, and the group cancels its other tasks."""
    transport = AsyncTransport(Stack(Timeout(0.01)), transport=Slow(forever))

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(transport.handle_async_request(httpx.Request("GET", "http://x/")))
            tasks.create_task(forever())

    with pytest.raises(ExceptionGroup) as caught:
        await group()
    assert caught.group_contains(TimedOut)


def dripping(connection: Connection) -> bool:
    """The headers and one chunk at once, then nothing."""
    connection.send(chunked(b"first", end=False))
    connection.hold()
    return True


async def test_body_deadline_interrupts_the_reader_not_the_sender(serve: Serve) -> None:
    """A body that is read by another task than sent the request: the deadline strikes the one that reads."""
    server = serve(answers(dripping))
    async with AsyncClient(Stack(Timeout(0.2))) as client:
        handed_over: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()

        async def sender() -> str:
            handed_over.set_result(await client.send(client.build_request("GET", server.url()), stream=True))
            await has_read.wait()
            return "undisturbed"

        async def reader() -> None:
            await (await handed_over).aread()

        has_read = asyncio.Event()
        sending, reading = asyncio.create_task(sender()), asyncio.create_task(reader())
        with pytest.raises(TimedOut):
            await reading
        assert reading.cancelling() == 0
        assert not sending.done()
        has_read.set()
        assert await sending == "undisturbed"
        assert sending.cancelling() == 0


async def test_body_deadline_does_not_interrupt_the_readers_own_work(serve: Serve) -> None:
    """While the reader does something else between two chunks the deadline passes quietly; the next read tells."""
    server = serve(answers(dripping))
    async with AsyncClient(Stack(Timeout(0.1))) as client:
        response = await client.send(client.build_request("GET", server.url()), stream=True)
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"first"
        loop = asyncio.get_running_loop()
        passed = loop.create_future()
        loop.call_later(0.2, passed.set_result, "own work")
        assert await passed == "own work"
        with pytest.raises(TimedOut):
            await anext(chunks)
        await response.aclose()
        assert client._transport.inner.shards.slots.in_use == 0


async def test_body_deadline_holds_for_a_slow_reader_of_a_fast_server(serve: Serve) -> None:
    """A reader who dawdles past the deadline is told at its next read, although the next chunk is there already."""
    server = serve(answers(lambda c: c.send(response(b"x" * 500_000))))
    async with AsyncClient(Stack(Timeout(0.1))) as client:
        answer = await client.send(client.build_request("GET", server.url()), stream=True)
        chunks = answer.aiter_raw()
        await anext(chunks)
        loop = asyncio.get_running_loop()
        passed = loop.create_future()
        loop.call_later(0.2, passed.set_result, None)
        await passed
        with pytest.raises(TimedOut):
            await anext(chunks)
        await answer.aclose()


async def test_callers_timeout_around_a_body_is_the_callers(serve: Serve) -> None:
    """A caller's own timeout around reading a body comes out as TimeoutError, and the permit is back."""
    server = serve(answers(dripping))
    async with AsyncClient(Stack(Timeout(60))) as client:
        response = await client.send(client.build_request("GET", server.url()), stream=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await response.aread()
        assert client._transport.inner.shards.slots.in_use == 0
        assert (await client.get(server.url())).content == b"ok"


async def test_iterating_the_wrong_way_gives_httpx_own_error(serve: Serve) -> None:
    """`for` over an async response, and `async for` over a sync one, raise what httpx itself raises."""
    server = serve()
    policies = Stack(Timeout(20))
    async with AsyncClient(policies) as client, httpx.AsyncClient() as plain:
        said = []
        for each in (client, plain):
            response = await each.send(each.build_request("GET", server.url()), stream=True)
            with pytest.raises(RuntimeError) as caught:
                next(response.iter_bytes())
            with pytest.raises(RuntimeError) as read:
                response.read()
            said.append((str(caught.value), str(read.value)))
            await response.aclose()
        assert said[0] == said[1]


async def test_iterating_a_sync_response_asynchronously_gives_httpx_own_error(serve: Serve) -> None:
    """`async for` over a sync response raises what httpx itself raises."""
    server = serve()
    said = []
    for each in (seawall.httpx.Client(Stack(Timeout(20))), httpx.Client()):
        with each as client:
            response = await asyncio.to_thread(client.send, client.build_request("GET", server.url()), stream=True)
            with pytest.raises(RuntimeError) as caught:
                await anext(response.aiter_bytes())
            said.append(str(caught.value))
            response.close()
    assert said[0] == said[1]


async def test_read_body_within_the_attempt_leaves_no_cancellation(serve: Serve) -> None:
    """A deadline that strikes while ReadBody reads is TimedOut, and the task goes on as if nothing had been."""
    server = serve(answers(dripping))
    async with AsyncClient(Stack(Timeout(0.1), ReadBody(1000, chunked=True))) as client:
        with pytest.raises(TimedOut):
            await client.get(server.url())
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert (await client.get(server.url())).content == b"ok"
