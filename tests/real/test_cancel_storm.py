"""The cancel storm: callers that give up at every possible moment must cost the pool nothing.

httpx's own pool does not survive this: after 4 s of it no request gets a connection any more.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import httpx
import pytest
import tenacity
import trio

from seawall import CircuitBreaker, ConcurrencyLimit, ReadBody, Retry, Stack, Throttle, Timeout
from seawall.httpx import AsyncClient, AsyncPool

from . import proxies
from .conftest import Certificates, Serve
from .modes import ASYNC, TRIO, UVLOOP, Mode
from .servers import OK, Connection, response

WORKERS, CONNECTIONS = 20, 10


def answer_later() -> Callable[[Connection], None]:
    """Answer each request after 0 to 10 ms."""
    chance = random.Random(2)

    def script(connection: Connection) -> None:
        while connection.request():
            connection.server.pause(chance.random() / 100)
            connection.send(OK)

    return script


async def storm(mode: Mode, send: Callable[[], Awaitable[object]], seconds: float, *, twice: bool = False) -> None:
    """Workers that allow each request 0 to 20 ms. `twice`: a second cancellation strikes while the first is handled."""
    if mode is TRIO:
        await storm_in_trio(send, seconds)
        return
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    chance = random.Random(1)

    async def worker() -> None:
        task = asyncio.current_task()
        assert task is not None
        while loop.time() < until:
            limit = chance.random() / 50
            second = loop.call_later(limit + chance.random() / 5000, task.cancel) if twice else None
            try:
                async with asyncio.timeout(limit):
                    await send()
            except TimeoutError:
                pass
            except asyncio.CancelledError:
                assert twice, "a cancellation that nobody asked for"
            if second is not None:
                second.cancel()
                while task.cancelling():
                    task.uncancel()
        if twice:
            with contextlib.suppress(asyncio.CancelledError):  # one that came too late to be delivered
                await asyncio.sleep(0)

    await asyncio.gather(*(worker() for _ in range(WORKERS)))


async def storm_in_trio(send: Callable[[], Awaitable[object]], seconds: float) -> None:
    """The same there, where a cancelled task is cancelled at every checkpoint from then on."""
    chance = random.Random(1)

    async def worker() -> None:
        while trio.current_time() < until:
            with trio.move_on_after(chance.random() / 50):
                await send()

    until = trio.current_time() + seconds
    async with trio.open_nursery() as nursery:
        for _ in range(WORKERS):
            nursery.start_soon(worker)


async def check_calm(mode: Mode, pool: AsyncPool, send: Callable[[], Awaitable[httpx.Response]]) -> None:
    """No permit is in use, nobody is in line, no task runs, and 30 of 30 requests succeed."""
    slots = pool.shards.slots
    if mode is not TRIO:  # where the scenario's own runner looks
        assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (slots.in_use, slots.waiting) == (0, 0), repr(pool)

    async def one() -> bytes:
        return (await send()).content

    calls = [mode.start(one()) for _ in range(30)]
    assert [await call.result() for call in calls] == [b"ok"] * 30
    assert (slots.in_use, slots.waiting) == (0, 0), repr(pool)


STORMS = [(ASYNC, "http", "once", 4.0), (ASYNC, "tls", "once", 1.5), (ASYNC, "tls through CONNECT", "once", 1.5)]
STORMS += [(ASYNC, "http through a proxy", "once", 0.7), (ASYNC, "tls through SOCKS", "once", 0.7)]
STORMS += [(ASYNC, "http", "twice", 0.7), (ASYNC, "tls", "twice", 0.7)]
STORMS += [(UVLOOP, "http", "twice", 1.0), (UVLOOP, "tls", "once", 0.7), (UVLOOP, "tls through CONNECT", "once", 0.7)]
STORMS += [(TRIO, "http", "once", 1.0), (TRIO, "tls", "once", 0.7), (TRIO, "tls through CONNECT", "once", 0.7)]
STORMS += [(TRIO, "tls through SOCKS", "once", 0.7)]


@pytest.mark.parametrize(("mode", "way", "times", "seconds"), STORMS, ids=str)
async def test_pool_survives_cancellation_at_any_moment(
    mode: Mode, serve: Serve, tls: Certificates, way: str, times: str, seconds: float
) -> None:
    """20 workers under 0 to 20 ms timeouts against 10 connections; then 30 of 30 succeed and no socket is left."""
    twice = times == "twice"
    server = serve(answer_later(), tls=tls.server if "tls" in way else None)
    proxy = None
    if "through" in way:
        script = proxies.tunnel if "CONNECT" in way else proxies.socks5 if "SOCKS" in way else proxies.forward
        proxy = serve(script()).origin
        proxy = proxy.replace("http", "socks5") if "SOCKS" in way else proxy
    pool = AsyncPool(CONNECTIONS, verify=tls.client(), proxy=proxy)
    async with httpx.AsyncClient(transport=pool) as client:
        await storm(mode, lambda: client.get(server.url()), seconds, twice=twice)
        await check_calm(mode, pool, lambda: client.get(server.url()))


@pytest.mark.parametrize("mode", [ASYNC, UVLOOP, TRIO], ids=repr)
async def test_protected_client_survives_cancellation_at_any_moment(mode: Mode, serve: Serve) -> None:
    """The same through a whole stack: no slot, no permit, no place in any line is lost, and 30 of 30 succeed."""
    server = serve(answer_later())
    policies = Stack(
        Timeout(10),
        Retry(wait=tenacity.wait_none()),
        CircuitBreaker(),
        ConcurrencyLimit(5),
        Throttle(1_000_000),
        ReadBody(1000),
        Timeout(0.015),
    )
    async with AsyncClient(policies, limits=httpx.Limits(max_connections=CONNECTIONS)) as client:
        await storm(mode, lambda: client.get(server.url()), 1.0, twice=mode is not TRIO)
        assert "'in_use': 0" in str(client.state.snapshot())
        assert "'in_use': 1" not in str(client.state.snapshot())
        for circuit in client.state.circuits():
            circuit.close()
        calm = {"seawall": {"skip": ["timeout", "circuitbreaker"]}}
        await check_calm(mode, client._transport.inner, lambda: client.get(server.url(), extensions=calm))


@pytest.mark.parametrize("moment", ["before a request", "after a body"])
async def test_cancellation_while_others_are_closed_closes_them_all(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A call that is cancelled just when it closes expired connections of others still closes every one of them."""
    servers = [serve() for _ in range(4)]
    here = asyncio.current_task()
    assert here is not None
    close = httpx.AsyncHTTPTransport.aclose

    async def cancelled_close(transport: httpx.AsyncHTTPTransport) -> None:
        if not here.cancelling():
            here.cancel()
        await close(transport)

    async with httpx.AsyncClient(transport=AsyncPool(10, keepalive_expiry=0.2)) as client:
        for server in servers:
            await client.get(server.url())
        async with client.stream("GET", servers[0].url()) as streaming:
            pool = client._transport
            assert isinstance(pool, AsyncPool)
            for idle in pool.shards._idle:  # time passes
                idle.idle_since -= 1
            monkeypatch.setattr(httpx.AsyncHTTPTransport, "aclose", cancelled_close)
            last = streaming.aread() if moment == "after a body" else client.get(servers[0].url())
            with pytest.raises(asyncio.CancelledError):
                await last
            here.uncancel()
            monkeypatch.undo()
        for server in servers[1:]:
            await asyncio.to_thread(server.wait_for, lambda server=server: server.open == 0)
        assert (await client.get(servers[0].url())).content == b"ok"
        assert pool.shards.slots.in_use == 0
        assert not pool.shards._out


async def test_handshake_after_a_closed_connection_leaks_nothing(serve: Serve, tls: Certificates) -> None:
    """A call cancelled in a TLS handshake closes its socket, also right after the server closed its connection."""

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(response(b"bye", Connection="close"))

    server = serve(script, tls=tls.server)
    async with httpx.AsyncClient(transport=AsyncPool(1, verify=tls.client())) as client:
        assert (await client.get(server.url())).content == b"bye"
        await asyncio.to_thread(server.wait_for, lambda: server.open == 0)
        server.tls = None
        server.script = Connection.hold
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.get(server.url())
        await asyncio.to_thread(server.wait_for, lambda: server.open == 0)
    assert len(server.connections) == 2
