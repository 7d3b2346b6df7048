"""Where connections end: closing, threads, event loops, and responses that nobody closes."""

import asyncio
import gc
import threading
import warnings
from typing import Any

import httpx
import pytest

from seawall import ConcurrencyLimit, Stack, TimedOut, Timeout
from seawall.httpx import AsyncClient, AsyncPool, Client

from . import proxies
from .conftest import Certificates, Serve
from .modes import SYNC, Mode
from .servers import OK, PATIENCE, Connection, Server, answers, cut_after, response

POLICIES = Stack(Timeout(20), ConcurrencyLimit(50))


# -- closing


async def test_close_reaches_every_connection(mode: Mode, serve: Serve, tls: Certificates) -> None:
    """Closing the client closes what is idle, in every pool: its own, its mounts' and its proxies'."""
    plain, secure, mounted, proxy = serve(), serve(tls=tls.server), serve(host="127.0.0.2"), serve(proxies.tunnel())
    client = mode.Client(
        POLICIES,
        verify=tls.client(),
        mounts={"all://localhost": mode.Pool(verify=tls.client(), proxy=proxy.origin), "all://127.0.0.2": mode.Pool()},
    )
    urls = [plain.url(), secure.url(), mounted.url(), secure.url().replace("127.0.0.1", "localhost")]
    for url in urls * 2:
        assert (await mode.get(client, url)).content == b"ok"
    servers = (plain, secure, mounted, proxy)
    assert [server.open for server in servers] == [1, 2, 1, 1]
    await mode.close(client)
    for server in servers:
        await mode.until(server, lambda server=server: server.open == 0)


async def test_close_reaches_connections_in_use(mode: Mode, serve: Serve) -> None:
    """Closing the client closes connections whose response is still being read, as in httpx; their reader is told."""
    server = serve(answers(lambda c: c.send(response(b"begun", length=100))))
    client = mode.Client(POLICIES)
    answer = await mode.open(client, server.url())
    await mode.close(client)
    await mode.until(server, lambda: server.open == 0)
    with pytest.raises(httpx.HTTPError):
        await mode.read(answer)
    assert client._transport.inner.shards.slots.in_use == 0


async def test_close_of_a_transport_reaches_the_inner_one(mode: Mode, serve: Serve) -> None:
    """A transport around httpx's own closes it; one around a pool closes the pool."""
    server = serve()
    theirs = httpx.AsyncHTTPTransport if mode.is_async else httpx.HTTPTransport
    for inner in (theirs(), mode.Pool()):
        transport = mode.Transport(POLICIES, transport=inner)
        client = mode.Plain(transport=transport)
        await mode.get(client, server.url())
        assert server.open == 1
        await mode.close(transport)
        await mode.until(server, lambda: server.open == 0)
        await mode.close(client)


async def test_client_that_was_never_used_closes(mode: Mode) -> None:
    """Nothing to close is no error, for clients, pools and transports, and closing twice is none either."""
    for make in (mode.Client, mode.Pool, mode.Transport):
        thing = make()
        await mode.close(thing)
        await mode.close(thing)


# -- threads and event loops


def in_threads(count: int, work: Any) -> list[Any]:
    """Run `work(number)` in threads that start together; what they return, or the first error."""
    results: list[Any] = [None] * count
    errors: list[BaseException] = []
    together = threading.Barrier(count)

    def main(number: int) -> None:
        try:
            together.wait(PATIENCE)
            results[number] = work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=main, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 3)
    if errors:
        raise errors[0]
    return results


def test_sync_client_is_shared_by_threads(serve: Serve, tls: Certificates) -> None:
    """16 threads with one client: each gets its own answers, over no more connections than the pool has."""

    def script(connection: Connection) -> None:
        while request := connection.request():
            connection.send(response(request.target.encode()))

    server, secure = serve(script), serve(script, tls=tls.server)
    with Client(POLICIES, verify=tls.client(), limits=httpx.Limits(max_connections=4)) as client:

        def work(number: int) -> None:
            for i in range(20):
                path = f"/{number}/{i}"
                assert client.get((server, secure)[i % 2].url(path)).content == path.encode()

        in_threads(16, work)
        shards = client._transport.inner.shards
        assert shards.slots.in_use == 0
        assert len(shards._idle) <= 4
    assert len(server.heard) + len(secure.heard) == 320


def test_deadline_in_one_thread_does_not_touch_the_others(serve: Serve) -> None:
    """Of 16 threads half run into a deadline, over and over; the other half never see an error."""

    def script(connection: Connection) -> None:
        while request := connection.request():
            if request.target == "/slow":
                connection.hold()
                return
            connection.send(OK)

    server = serve(script)
    with Client(Stack(Timeout(20))) as client:

        def work(number: int) -> None:
            for _ in range(5):
                if number % 2:
                    with pytest.raises(TimedOut):
                        client.get(server.url("/slow"), extensions={"seawall": {"timeout": 0.03}})
                else:
                    for _ in range(5):
                        assert client.get(server.url("/fast")).content == b"ok"

        in_threads(16, work)
        assert client._transport.inner.shards.slots.in_use == 0


def test_async_client_in_two_loops_of_two_threads(serve: Serve) -> None:
    """One pool in two event loops of two threads: permits are shared, connections are not, each loop closes its own."""
    server = serve()
    pool = AsyncPool(4)
    numbers: list[set[int]] = [set(), set()]

    async def main(number: int) -> None:
        client = httpx.AsyncClient(transport=pool)
        for _ in range(10):
            batch = [client.get(server.url(f"/{number}")) for _ in range(6)]
            assert [answer.content for answer in await asyncio.gather(*batch)] == [b"ok"] * 6
        await pool.aclose()

    in_threads(2, lambda number: asyncio.run(main(number)))
    for heard in server.heard:
        numbers[int(heard.target[1:])].add(heard.connection)
    assert len(server.heard) == 120
    assert not numbers[0] & numbers[1], "a connection was used in two loops"
    assert pool.shards.slots.in_use == 0
    server.wait_for(lambda: server.open == 0)


def test_waiters_of_two_loops_stand_in_one_line(serve: Serve) -> None:
    """A permit given back in one loop goes to a call that waits for it in another."""
    server = serve()
    pool = AsyncPool(1)
    waiting, done = threading.Event(), []

    async def holder() -> None:
        client = httpx.AsyncClient(transport=pool)
        async with client, client.stream("GET", server.url("/holder")) as answer:
            waiting.set()
            while not pool.shards.slots.waiting:
                await asyncio.sleep(0.001)
            await answer.aread()

    async def waiter() -> None:
        await asyncio.to_thread(waiting.wait, PATIENCE)
        async with httpx.AsyncClient(transport=pool) as client:
            done.append((await client.get(server.url("/waiter"))).content)

    in_threads(2, lambda number: asyncio.run((holder, waiter)[number]()))
    assert done == [b"ok"]
    assert pool.shards.slots.in_use == 0


def test_pool_outlives_its_loops(serve: Serve) -> None:
    """A pool used by one `asyncio.run` after another has new connections in each, and its permits are all there."""
    server = serve()
    pool = AsyncPool(1)

    async def main() -> bytes:
        async with httpx.AsyncClient(transport=pool) as client:
            await client.get(server.url())
            return (await client.get(server.url())).content

    assert [asyncio.run(main()) for _ in range(3)] == [b"ok"] * 3
    assert [heard.connection for heard in server.heard] == [1, 1, 2, 2, 3, 3]


# -- responses that nobody closes


async def drop(mode: Mode, client: Any, server: Server, *, begin: bool) -> None:
    """Have a response, perhaps read some of it, and forget it."""
    answer = await mode.open(client, server.url())
    if begin:
        async for _ in mode.chunks(answer):
            break


@pytest.mark.parametrize("begin", [False, True], ids=["unread", "half read"])
async def test_dropped_response_gives_its_slot_back(mode: Mode, serve: Serve, begin: bool) -> None:
    """A response dropped without being closed: a ResourceWarning, its slots back, its connection discarded."""
    server = serve(answers(lambda c: c.send(response(b"begun", length=1000))))
    async with mode.using(mode.Client(Stack(ConcurrencyLimit(1)), transport=mode.Pool(1))) as client:
        slots = client._transport.inner.shards.slots

        def collected() -> bool:
            gc.collect()
            return slots.in_use == 0

        async def drop_and_collect() -> None:
            await drop(mode, client, server, begin=begin)
            await mode.reach(collected)  # asyncio gives an abandoned generator some steps to end

        with warnings.catch_warnings(record=True) as warned:  # trio warns of the generators too
            warnings.simplefilter("always", ResourceWarning)
            await drop_and_collect()
        # httpx2 closes a response whose iterator is dropped, and so leaves nothing to warn of
        closed = begin and httpx.__name__ == "httpx2"
        assert closed or [w for w in warned if "dropped without being read or closed" in str(w.message)]
        assert (await mode.get(client, server.url())).content == b"ok"
        assert server.heard[-1].connection == 2
        await mode.until(server, lambda: server.open == 1)


async def test_dropped_response_wakes_the_next_in_line(mode: Mode, serve: Serve) -> None:
    """Whoever waits for the slot of a response that is dropped gets it."""
    server = serve(answers(lambda c: c.send(response(b"begun", length=1000))))
    async with mode.using(mode.Client(Stack(Timeout(20)), transport=mode.Pool(1))) as client:
        slots = client._transport.inner.shards.slots
        kept = [await mode.open(client, server.url())]
        waiting = mode.start(mode.get(client, server.url()))
        await mode.reach(lambda: slots.waiting == 1)

        def drop_it() -> None:
            kept.clear()
            gc.collect()

        with pytest.warns(ResourceWarning, match="dropped without being read or closed"):
            drop_it()
        assert (await waiting.result()).content == b"ok"
        assert slots.in_use == 0


async def test_response_read_to_its_end_need_not_be_closed(mode: Mode, serve: Serve) -> None:
    """Iterating a body to its end gives everything back; so does a body that breaks."""
    server = serve(answers(OK, cut_after(response(b"half", length=8))))
    async with mode.using(mode.Client(Stack(ConcurrencyLimit(1)), transport=mode.Pool(1))) as client:
        answer = await mode.open(client, server.url())
        async for _ in mode.chunks(answer):
            pass
        broken = await mode.open(client, server.url())
        with pytest.raises(httpx.RemoteProtocolError):
            await mode.read(broken)
        assert client._transport.inner.shards.slots.in_use == 0
        assert (await mode.get(client, server.url())).content == b"ok"


def test_async_client_dropped_inside_its_loop_is_closed_by_aclose(serve: Serve) -> None:
    """Leaving `async with` on an exception closes every connection too."""
    server = serve()

    async def main() -> None:
        async with AsyncClient(POLICIES) as client:
            await client.get(server.url())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
    server.wait_for(lambda: server.open == 0)


def test_interrupt_of_a_thread_closes_its_connection(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A KeyboardInterrupt in the middle of a request gives its permit back and closes its connection."""
    server = serve()
    with SYNC.Client(Stack(Timeout(20)), transport=SYNC.Pool(1)) as client:
        client.get(server.url())

        def interrupt(event: str, info: dict[str, Any]) -> None:
            if event == "http11.receive_response_headers.started":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            client.get(server.url(), extensions={"trace": interrupt})
        assert client._transport.inner.shards.slots.in_use == 0
        assert client.get(server.url()).content == b"ok"
        server.wait_for(lambda: server.open == 1)
    assert len(server.connections) == 2
