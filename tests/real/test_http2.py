"""HTTP/2: requests that share a connection, what a server allows, and what becomes of others when one ends badly."""

import asyncio
import gc
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from seawall import CircuitBreaker, CircuitOpen, Stack, Timeout, WaitTooLong
from seawall.httpx import AsyncClient, AsyncPool, Client, Pool

from . import proxies
from .conftest import Certificates, Serve
from .http2 import Asked, Http2, hold
from .modes import ASYNC, MODES, TRIO, UVLOOP, Mode
from .servers import OK, PATIENCE, Connection, Server, echo, stalled_listener
from .test_cancel_storm import CONNECTIONS, check_calm, storm

PATIENT = httpx.Timeout(20, pool=None)


@pytest.fixture
def alpn(tls: Certificates) -> Callable[..., ssl.SSLContext]:
    """A server's TLS that offers these protocols."""

    def context(*protocols: str) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.authority.issue_cert("127.0.0.1", "localhost").configure_cert(made)
        made.set_alpn_protocols(list(protocols or ("h2", "http/1.1")))
        return made

    return context


Alpn = Callable[..., ssl.SSLContext]


@pytest.fixture(params=[mode for mode in MODES if mode.is_async], ids=repr)
def mode(request: pytest.FixtureRequest) -> Mode:
    """Every runtime in which requests share connections, one after the other."""
    chosen: Mode = request.param
    return chosen


def new_pool(tls: Certificates, most: int | None = 10, **options: Any) -> AsyncPool:
    return AsyncPool(most, http2=True, verify=tls.client(), **options)


@asynccontextmanager
async def client_of(pool: AsyncPool) -> AsyncIterator[httpx.AsyncClient]:
    """A patient client; after it no permit is in use, nobody waits, and nothing is remembered of any way."""
    async with httpx.AsyncClient(transport=pool, timeout=PATIENT) as client:
        yield client
        check_empty(pool)


def check_empty(pool: AsyncPool) -> None:
    ways = pool.shards.slots
    assert (ways.in_use, ways.waiting) == (0, 0), repr(pool)
    assert not ways._ways
    assert not ways._round
    assert not pool.shards._out


def start(*work: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(each) for each in work]


async def reach(server: Server, what: Callable[[], object]) -> None:
    """Wait until something about a server holds."""
    await asyncio.to_thread(server.wait_for, what)


async def until(what: Callable[[], object]) -> None:
    """Wait until something about this process holds."""
    async with asyncio.timeout(PATIENCE):
        while not what():
            await asyncio.sleep(0)


async def contents(tasks: list[asyncio.Task[httpx.Response]]) -> list[bytes]:
    return [answer.content for answer in await asyncio.gather(*tasks)]


# -- sharing a connection


async def test_as_many_as_the_server_allows_share_one_connection(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """100 requests started at once, to an origin not known before, are under way together on one connection."""
    script = Http2(hold, streams=100)
    server = serve(script, tls=alpn())
    async with client_of(new_pool(tls)) as client:
        tasks = start(*(client.get(server.url(f"/{i}")) for i in range(100)))
        await reach(server, lambda: script.open == 100)
        assert len(server.connections) == 1
        script.answer_all()
        assert await contents(tasks) == [b"ok"] * 100
        assert {task.result().http_version for task in tasks} == {"HTTP/2"}
    assert len(server.connections) == 1


@pytest.mark.parametrize("most", [1, 2, 10, None])
async def test_limit_of_the_server_is_kept_to(serve: Serve, tls: Certificates, alpn: Alpn, most: int | None) -> None:
    """Never more streams than the server allows: others get further connections, or wait in our line."""
    script = Http2(hold, streams=10)
    server = serve(script, tls=alpn())
    pool = new_pool(tls, most)
    at_once = min(25, 10 * (most or 25))
    async with client_of(pool) as client:
        tasks = start(*(client.get(server.url(f"/{i}")) for i in range(25)))
        await reach(server, lambda: script.open == at_once)
        assert pool.shards.slots.waiting == 25 - at_once
        assert len(server.connections) == min(3, most or 3)
        script.answer_all()
        assert await contents(tasks) == [b"ok"] * 25
    assert script.most == 10


async def test_server_that_states_no_limit_gets_one_request_at_a_time(
    serve: Serve, tls: Certificates, alpn: Alpn
) -> None:
    """Where SETTINGS name no limit httpcore sends one request at a time, so that each has a connection of its own."""
    script = Http2(hold, streams=None)
    server = serve(script, tls=alpn())
    async with client_of(new_pool(tls, 3)) as client:
        tasks = start(*(client.get(server.url()) for _ in range(5)))
        await reach(server, lambda: script.open == 3)
        script.answer_all()
        assert await contents(tasks) == [b"ok"] * 5
    assert script.most == 1


async def test_limit_that_changes_is_followed(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """A server that allows more later on gets more on the same connection, even if only a body is being read."""
    script = Http2(lambda asked: asked.answer(b"begun", end=False), streams=2)
    server = serve(script, tls=alpn())
    pool = new_pool(tls, 1)
    async with client_of(pool) as client:
        async with client.stream("GET", server.url("/body")) as streaming:
            script.behave = hold
            (body,) = script.asked
            script.peers[0].allow(5)
            chunks = streaming.aiter_raw()
            assert await anext(chunks) == b"begun"
            body.answer(b"and on", end=False)
            assert await anext(chunks) == b"and on"
            tasks = start(*(client.get(server.url(f"/{i}")) for i in range(6)))
            await reach(server, lambda: script.open == 5)
            assert pool.shards.slots.waiting == 2
            script.behave = Asked.answer
            for asked in script.asked:
                asked.answer(b"")
            assert [chunk async for chunk in chunks] == []
        assert await contents(tasks) == [b""] * 4 + [b"ok"] * 2
    assert (script.most, len(server.connections)) == (5, 1)


async def test_server_that_wants_no_more_streams_is_left(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """A limit of none ends a connection when it is empty; further requests have another."""
    script = Http2(hold, streams=10)
    server = serve(script, tls=alpn())
    async with client_of(new_pool(tls)) as client:
        first = start(client.get(server.url("/first")), client.get(server.url("/second")))
        await reach(server, lambda: script.open == 2)
        script.peers[0].allow(0)
        script.asked[0].answer()
        await first[0]
        other = start(client.get(server.url("/other")))
        await reach(server, lambda: len(server.connections) == 2 and script.open == 2)
        script.answer_all()
        assert await contents(first + other) == [b"ok"] * 3
        await reach(server, lambda: server.open == 1)


async def test_idle_connection_is_used_again(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """One after the other, or many at once after that: an idle connection carries them, its limit still known."""
    script = Http2(streams=20)
    server = serve(script, tls=alpn())
    async with client_of(new_pool(tls)) as client:
        for _ in range(3):
            await client.get(server.url())
        script.behave = hold
        tasks = start(*(client.get(server.url()) for _ in range(20)))
        await reach(server, lambda: script.open == 20)
        script.answer_all()
        await contents(tasks)
    assert len(server.connections) == 1


async def test_connection_that_idled_too_long_is_closed_by_others_calls(
    serve: Serve, tls: Certificates, alpn: Alpn
) -> None:
    """Requests that share a connection close what has been idle too long elsewhere, as any use of the pool does."""
    script = Http2()
    server, old = serve(script, tls=alpn()), serve(Http2(), tls=alpn())
    pool = new_pool(tls, keepalive_expiry=60)
    async with client_of(pool) as client:
        await client.get(old.url())
        script.behave = lambda asked: asked.answer(end=asked.path != "/open")
        async with client.stream("GET", server.url("/open")) as streaming:
            for idle in pool.shards._idle:  # time passes
                idle.idle_since -= 61
            await client.get(server.url())
            await reach(old, lambda: old.open == 0)
            script.asked[0].answer(b"")
            await streaming.aread()


@pytest.mark.parametrize("way", ["http through CONNECT", "https through CONNECT", "SOCKS"])
async def test_through_a_proxy(serve: Serve, tls: Certificates, alpn: Alpn, way: str) -> None:
    """The answer of a proxy does not count as the server's: requests share one connection through one tunnel."""
    script = Http2(hold)
    server = serve(script, tls=alpn())
    proxy = serve(proxies.socks5() if way == "SOCKS" else proxies.tunnel(), tls=tls.server if "https" in way else None)
    url = proxy.origin.replace("http", "socks5") if way == "SOCKS" else proxy.origin
    secured = httpx.Proxy(url, ssl_context=tls.client()) if "https" in way else url
    async with client_of(new_pool(tls, proxy=secured)) as client:
        tasks = start(*(client.get(server.url()) for _ in range(20)))
        await reach(server, lambda: script.open == 20)
        script.answer_all()
        assert await contents(tasks) == [b"ok"] * 20
    assert (len(server.connections), len(proxy.connections)) == (1, 1)


async def test_protected_client_shares_connections(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """The front door with `http2=True`: as many requests at once as the server allows, not as many as connections."""
    script = Http2(hold, streams=30)
    server = serve(script, tls=alpn())
    limits = httpx.Limits(max_connections=1)
    async with AsyncClient(Stack(Timeout(20)), http2=True, verify=tls.client(), limits=limits) as client:
        tasks = start(*(client.get(server.url()) for _ in range(40)))
        await reach(server, lambda: script.open == 30)
        script.answer_all()
        assert await contents(tasks) == [b"ok"] * 40
    assert (script.most, len(server.connections)) == (30, 1)


async def test_trace_of_the_caller_hears_everything(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """A caller's own `trace` hears the connection being made, the request, and the end of the response."""
    heard: list[str] = []

    async def trace(event: str, info: dict[str, Any]) -> None:
        heard.append(event)

    server = serve(Http2(), tls=alpn())
    async with client_of(new_pool(tls)) as client:
        answer = await client.get(server.url(), extensions={"trace": trace})
    assert answer.request.extensions["trace"] is trace
    assert {"connection.connect_tcp.complete", "http2.send_request_headers.started"} <= set(heard)
    assert heard[-1] == "http2.response_closed.complete"


# -- each on its own


@pytest.mark.parametrize("kind", ["answer", "chunk", "reset"])
async def test_nobody_waits_for_anothers_answer(
    serve: Serve, tls: Certificates, alpn: Alpn, mode: Mode, kind: str
) -> None:
    """What the server sends to one of many reaches it at once, though there is nothing for the others yet."""
    script = Http2(lambda asked: asked.answer(b"begun ", end=False) if kind == "chunk" else None)
    server = serve(script, tls=alpn())

    async def ask(client: Any, path: str) -> bytes:
        try:
            answer = await mode.open(client, server.url(path))
            return b"".join([chunk async for chunk in mode.chunks(answer)])
        except httpx.RemoteProtocolError:
            return b"reset"

    async with mode.using(mode.Plain(transport=mode.Pool(1, http2=True, verify=tls.client()), timeout=None)) as client:
        running = [mode.start(ask(client, f"/{i}")) for i in range(10)]
        await mode.until(server, lambda: len(script.asked) == 10)
        for count, number in enumerate((3, 9, 0, 7), 1):
            (asked,) = script.found(f"/{number}")
            asked.reset() if kind == "reset" else asked.answer(b"done")
            assert await running[number].result() == {"answer": b"done", "chunk": b"begun done"}.get(kind, b"reset")
            assert sum(each.done for each in running) == count
        script.answer_all()
        for each in running:
            await each.result()
    assert len(server.connections) == 1


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
async def test_every_runtime_shares_connections(
    serve: Serve, tls: Certificates, alpn: Alpn, mode: Mode, protocol: str
) -> None:
    """asyncio, uvloop and trio: one connection for all if the server speaks HTTP/2, else one for each permit."""
    server = serve(Http2(streams=5) if protocol == "h2" else echo, tls=alpn(protocol))
    pool = mode.Pool(3, http2=True, verify=tls.client())
    async with mode.using(mode.Plain(transport=pool, timeout=PATIENT)) as client:
        running = [mode.start(mode.get(client, server.url())) for _ in range(40)]
        assert [(await each.result()).content for each in running] == [b"ok"] * 40
        check_empty(pool)
    await mode.until(server, lambda: server.open == 0)
    assert len(server.connections) == 3


# -- one handshake for an origin that is not known


class Gate:
    """A script that shakes hands only when the test says so."""

    def __init__(self, tls: ssl.SSLContext, script: Callable[[Connection], object]) -> None:
        self.tls = tls
        self.script = script
        self.open = False

    def __call__(self, connection: Connection) -> None:
        connection.server.wait_for(lambda: self.open or connection.server.stopping.is_set())
        connection.socket = self.tls.wrap_socket(connection.socket, server_side=True)
        self.script(connection)

    def let(self, server: Server) -> None:
        self.open = True
        server.notice()


def secure(server: Server) -> str:
    return server.url().replace("http:", "https:")


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
async def test_others_wait_for_the_first_handshake(serve: Serve, tls: Certificates, alpn: Alpn, protocol: str) -> None:
    """20 requests make one connection until it is known what it speaks; then they share it, or have one each."""
    script: Any = Http2(hold)
    together: list[Connection] = []

    def plain(connection: Connection) -> None:
        connection.request()
        together.append(connection)
        server.notice()
        server.wait_for(lambda: len(together) == 20)
        connection.send(OK)

    gate = Gate(alpn(protocol), script if protocol == "h2" else plain)
    server = serve(gate)
    pool = new_pool(tls, 20)
    async with client_of(pool) as client:
        tasks = start(*(client.get(secure(server)) for _ in range(20)))
        await until(lambda: pool.shards.slots.waiting == 19)
        await reach(server, lambda: server.connections)
        assert pool.shards.slots.in_use == 1
        gate.let(server)
        if protocol == "h2":
            await reach(server, lambda: script.open == 20)
            script.answer_all()
        assert await contents(tasks) == [b"ok"] * 20
    assert len(server.connections) == (1 if protocol == "h2" else 20)


async def test_http1_server_gets_one_connection_for_each_permit(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """Where ALPN chose HTTP/1.1, `max_connections` is how many requests are under way, and connections are kept."""
    server = serve(tls=alpn("http/1.1"))
    async with client_of(new_pool(tls, 4)) as client:
        for _ in range(2):
            tasks = start(*(client.get(server.url()) for _ in range(40)))
            assert await contents(tasks) == [b"ok"] * 40
        assert len(server.connections) == 4
    assert {task.result().http_version for task in tasks} == {"HTTP/1.1"}


async def test_http_without_tls(serve: Serve, tls: Certificates) -> None:
    """Without TLS a pool with `http2=True` speaks HTTP/1.1; with `http1=False` too, HTTP/2 at once."""
    plain, known = serve(), serve(Http2())
    async with client_of(new_pool(tls, 4)) as client:
        assert await contents(start(*(client.get(plain.url()) for _ in range(8)))) == [b"ok"] * 8
    async with client_of(new_pool(tls, 4, http1=False)) as client:
        assert await contents(start(*(client.get(known.url()) for _ in range(8)))) == [b"ok"] * 8
    assert (len(plain.connections), len(known.connections)) == (4, 1)


async def test_failed_handshake_is_everybodys_own(serve: Serve, tls: Certificates) -> None:
    """If the first connection cannot be made, each who waited for it tries, and gets an error of its own."""
    gate = [False]

    def refuse(connection: Connection) -> None:
        server.wait_for(lambda: gate[0])

    server = serve(refuse)
    pool = new_pool(tls, 20)
    async with client_of(pool) as client:
        tasks = start(*(client.get(secure(server)) for _ in range(10)))
        await until(lambda: pool.shards.slots.waiting == 9)
        gate[0] = True
        server.notice()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {httpx.ConnectError}
    assert len({id(outcome) for outcome in outcomes}) == 10
    assert len({id(outcome.request) for outcome in outcomes}) == 10
    assert len(server.connections) == 10


async def test_first_handshake_that_is_cancelled_is_made_by_the_next(
    serve: Serve, tls: Certificates, alpn: Alpn
) -> None:
    """Whoever makes the first connection may give up: the next in line makes one, and nobody else is disturbed."""
    script = Http2()
    gate = Gate(alpn(), script)
    server = serve(gate)
    pool = new_pool(tls)
    async with client_of(pool) as client:
        tasks = start(*(client.get(secure(server)) for _ in range(5)))
        for number in range(3):
            await until(lambda number=number: pool.shards.slots.waiting == 4 - number)
            await reach(server, lambda number=number: len(server.connections) == number + 1)
            tasks[number].cancel()
        await reach(server, lambda: len(server.connections) == 4)
        gate.let(server)
        assert await contents(tasks[3:]) == [b"ok"] * 2
        assert all(task.cancelled() for task in tasks[:3])
    assert len(server.connections) == 4
    assert len(script.peers) == 1


@pytest.mark.parametrize("limit", ["deadline", "pool timeout", "cancellation"])
async def test_wait_for_anothers_handshake_is_bounded(serve: Serve, tls: Certificates, alpn: Alpn, limit: str) -> None:
    """A call that waits for somebody else's handshake ends at its deadline or pool timeout, or when cancelled."""
    gate = Gate(alpn(), Http2())
    server = serve(gate)
    options: dict[str, Any] = {}
    if limit == "deadline":
        options["extensions"] = {"seawall": {"timeout": 0.05}}
    elif limit == "pool timeout":
        options["timeout"] = httpx.Timeout(20, pool=0.05)
    async with AsyncClient(Stack(Timeout(20)), http2=True, verify=tls.client(), timeout=PATIENT) as client:
        ways = client._transport.inner.shards.slots
        first = start(client.get(secure(server)))
        await until(lambda: ways.in_use == 1)
        second = start(client.get(secure(server), **options))
        await until(lambda: ways.waiting == 1)
        if limit == "cancellation":
            second[0].cancel()
        with pytest.raises(asyncio.CancelledError if limit == "cancellation" else WaitTooLong):
            await second[0]
        assert (ways.in_use, ways.waiting) == (1, 0)
        gate.let(server)
        assert await contents(first) == [b"ok"]
    assert len(server.connections) == 1


async def test_unreachable_server_costs_each_call_its_own_connect_timeout(tls: Certificates) -> None:
    """Connecting that ends in a timeout ends it for the one who connects; the others then try at the same time."""
    pool = new_pool(tls)
    with stalled_listener() as port:
        async with client_of(pool) as client:
            timeouts = httpx.Timeout(20, connect=0.05)
            tasks = start(*(client.get(f"https://127.0.0.1:{port}", timeout=timeouts) for _ in range(5)))
            await until(lambda: tasks[0].done())
            await until(lambda: pool.shards.slots.in_use == 4)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {httpx.ConnectTimeout}


# -- streams that end badly


async def test_cancelled_request_takes_no_other_down(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """One of 100 requests is cancelled: 99 succeed, nothing new goes out beside them, and it is closed when empty."""
    script = Http2(hold)
    server = serve(script, tls=alpn())
    async with client_of(new_pool(tls)) as client:
        tasks = start(*(client.get(server.url(f"/{i}")) for i in range(100)))
        await reach(server, lambda: script.open == 100)
        tasks.pop(50).cancel()
        await asyncio.sleep(0)
        script.behave = Asked.answer
        assert (await client.get(server.url("/later"))).content == b"ok"
        assert server.heard[-1].connection == 2
        script.answer_all()
        assert await contents(tasks) == [b"ok"] * 99
        await reach(server, lambda: server.open == 1)
    assert len(server.connections) == 2


async def test_call_that_waits_for_room_is_not_given_that_of_a_cancelled_one(
    serve: Serve, tls: Certificates, alpn: Alpn
) -> None:
    """A cancelled stream is open to the server: who waits for room gets none until the connection is empty."""
    script = Http2(hold, streams=3)
    server = serve(script, tls=alpn())
    pool = new_pool(tls, 1)
    async with client_of(pool) as client:
        tasks = start(*(client.get(server.url(f"/{i}")) for i in range(5)))
        await reach(server, lambda: script.open == 3)
        tasks.pop(0).cancel()
        await asyncio.sleep(0)
        assert pool.shards.slots.waiting == 2
        script.answer_all()
        assert await contents(tasks) == [b"ok"] * 4
    assert script.most == 3
    assert [heard.connection for heard in server.heard] == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("kind", ["GET", "POST"])
async def test_cancellation_at_any_step_takes_no_other_down(
    serve: Serve, tls: Certificates, alpn: Alpn, kind: str
) -> None:
    """Whatever a request is doing when it is cancelled, writing included, another on its connection succeeds."""
    script = Http2(lambda asked: asked.answer() if asked.path == "/victim" else None)
    server = serve(script, tls=alpn())
    pool = new_pool(tls, 2)
    content = b"x" * 40_000 if kind == "POST" else None
    async with client_of(pool) as client:
        step, ended = 0, False
        while not ended:
            (witness,) = start(client.get(server.url("/witness")))
            await reach(server, lambda step=step: len(script.found("/witness")) == step + 1)
            (victim,) = start(client.request(kind, server.url("/victim"), content=content))
            for _ in range(step):
                await asyncio.sleep(0)
            ended = victim.done()
            victim.cancel()
            await asyncio.gather(victim, return_exceptions=True)
            script.found("/witness")[-1].answer()
            assert (await witness).content == b"ok"
            step += 1
        assert step > 5


async def test_broken_stream_takes_no_other_down(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """RST_STREAM fails one request; those beside it succeed, and later ones have another connection."""
    script = Http2(hold)
    server = serve(script, tls=alpn())
    async with client_of(new_pool(tls)) as client:
        tasks = start(*(client.get(server.url(f"/{i}")) for i in range(5)))
        await reach(server, lambda: script.open == 5)
        script.asked[2].reset()
        script.answer_all()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes].count(httpx.RemoteProtocolError) == 1
        assert sum(isinstance(outcome, httpx.Response) for outcome in outcomes) == 4
        await client.get(server.url())
        assert server.heard[-1].connection == 2
        await reach(server, lambda: server.open == 1)


@pytest.mark.parametrize("begin", [False, True], ids=["unread", "half read"])
async def test_dropped_response_takes_no_other_down(serve: Serve, tls: Certificates, alpn: Alpn, begin: bool) -> None:
    """A response dropped without being closed: its connection is drained, the others are undisturbed."""
    script = Http2(lambda asked: asked.answer(b"begun", end=False) if asked.path == "/dropped" else None)
    server = serve(script, tls=alpn())
    pool = new_pool(tls)
    async with client_of(pool) as client:
        (other,) = start(client.get(server.url("/other")))
        await reach(server, lambda: script.open == 1)

        async def drop() -> None:
            answer = await client.send(client.build_request("GET", server.url("/dropped")), stream=True)
            if begin:
                async for _ in answer.aiter_raw():
                    break

        def drained() -> bool:
            gc.collect()
            return any(trunk.draining for trunk in pool.shards._out)

        async def drop_and_collect() -> None:
            await drop()
            await until(drained)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # tested elsewhere, and not given where a generator ends
            await drop_and_collect()
        script.answer_all()
        assert (await other).content == b"ok"
        assert (await client.get(server.url())).content == b"ok"
        assert server.heard[-1].connection == 2
        await reach(server, lambda: server.open == 1)


async def test_response_closed_early_takes_no_other_down(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """A response closed before its end drains its connection: the server goes on sending it."""
    script = Http2(lambda asked: asked.answer(b"begun", end=False) if asked.path == "/closed" else None)
    server = serve(script, tls=alpn())
    async with client_of(new_pool(tls)) as client:
        (other,) = start(client.get(server.url("/other")))
        await reach(server, lambda: script.open == 1)
        async with client.stream("GET", server.url("/closed")):
            pass
        script.answer_all()
        assert (await other).content == b"ok"
        assert (await client.get(server.url())).content == b"ok"
        assert server.heard[-1].connection == 2


STORMS = [(ASYNC, "directly", "once", 4.0), (ASYNC, "directly", "twice", 0.7), (ASYNC, "through a proxy", "once", 0.7)]
STORMS += [(mode, way, "once", 0.7) for mode in (UVLOOP, TRIO) for way in ("directly", "through a proxy")]


@pytest.mark.parametrize(("mode", "way", "times", "seconds"), STORMS, ids=str)
async def test_pool_survives_cancellation_at_any_moment(
    mode: Mode, serve: Serve, tls: Certificates, alpn: Alpn, way: str, times: str, seconds: float
) -> None:
    """20 workers under 0 to 20 ms timeouts against 10 connections; then 30 of 30 succeed and no socket is left."""
    script = Http2()
    server = serve(script, tls=alpn())
    proxy = serve(proxies.tunnel()).origin if way == "through a proxy" else None
    pool = new_pool(tls, CONNECTIONS, proxy=proxy)
    async with client_of(pool) as client:
        await storm(mode, lambda: client.get(server.url()), seconds, twice=times == "twice")
        await check_calm(mode, pool, lambda: client.get(server.url()))
    await mode.until(server, lambda: server.open == 0)


# -- connections that end


async def test_idle_connection_that_the_server_leaves_is_not_used(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """GOAWAY, or hanging up, on an idle connection: the next request has a new one."""
    script = Http2()
    server = serve(script, tls=alpn())
    async with client_of(new_pool(tls)) as client:
        for number, leave in enumerate(("go_away", "hang_up"), 1):
            await client.get(server.url())
            getattr(script.peers[-1], leave)()
            network = next(iter(client._transport.shards._idle)).network
            await until(lambda network=network: network.get_extra_info("is_readable"))
            await client.get(server.url())
            assert server.heard[-1].connection == number + 1


@pytest.mark.parametrize("leave", ["go_away", "hang_up"])
async def test_busy_connection_that_the_server_leaves_is_discarded(
    serve: Serve, tls: Certificates, alpn: Alpn, leave: str
) -> None:
    """GOAWAY, or hanging up, amid requests fails those that httpcore gives up on; later ones have a new connection."""
    script = Http2(hold)
    server = serve(script, tls=alpn())
    async with client_of(new_pool(tls)) as client:
        tasks = start(*(client.get(server.url()) for _ in range(5)))
        await reach(server, lambda: script.open == 5)
        script.behave = Asked.answer
        getattr(script.peers[0], leave)()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {httpx.RemoteProtocolError, httpx.ReadError}
        assert (await client.get(server.url())).content == b"ok"
        await reach(server, lambda: server.open == 1)
    assert len(server.connections) == 2


async def test_requests_that_a_leaving_server_has_not_seen_are_sent_again(
    serve: Serve, tls: Certificates, alpn: Alpn
) -> None:
    """GOAWAY says which requests were not looked at: httpcore sends those again, on another connection."""
    script = Http2(hold)
    server = serve(script, tls=alpn())
    async with client_of(new_pool(tls)) as client:
        tasks = start(*(client.get(server.url()) for _ in range(5)))
        await reach(server, lambda: script.open == 5)
        script.behave = Asked.answer
        script.peers[0].go_away(last=script.asked[0].stream)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(outcome, httpx.Response) for outcome in outcomes) == 4
    assert script.most == 5


async def test_close_reaches_connections_that_are_shared(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """Closing the pool closes what carries open requests: they fail, nothing is left, and nobody gets on any more."""
    script = Http2(hold)
    server = serve(script, tls=alpn())
    pool = new_pool(tls)
    async with httpx.AsyncClient(transport=pool, timeout=PATIENT) as client:
        tasks = start(*(client.get(server.url()) for _ in range(5)))
        await reach(server, lambda: script.open == 5)
        await pool.aclose()
        await reach(server, lambda: server.open == 0)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, httpx.TransportError) for outcome in outcomes)
        check_empty(pool)
        script.behave = Asked.answer
        assert (await client.get(server.url())).content == b"ok"
    await reach(server, lambda: server.open == 0)
    assert len(server.connections) == 2


def test_loops_do_not_share_connections(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """One pool in one event loop after another: connections belong to the loop that made them; permits are shared."""
    script = Http2()
    server = serve(script, tls=alpn())
    pool = new_pool(tls, 1)

    async def main() -> None:
        async with client_of(pool) as client:
            for _ in range(2):
                assert await contents(start(*(client.get(server.url()) for _ in range(5)))) == [b"ok"] * 5

    for _ in range(2):
        asyncio.run(main())
    assert [heard.connection for heard in server.heard] == [1] * 10 + [2] * 10


# -- the line


async def test_line_is_served_in_order_and_by_priority(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """Calls that wait for room get it in the order they came, those of a higher priority first."""
    script = Http2(hold, streams=2)
    server = serve(script, tls=alpn())
    limits = httpx.Limits(max_connections=1)
    async with AsyncClient(Stack(Timeout(20)), http2=True, verify=tls.client(), limits=limits) as client:
        ways = client._transport.inner.shards.slots
        tasks = start(client.get(server.url("/0")), client.get(server.url("/0")))
        await reach(server, lambda: script.open == 2)
        for place, (path, priority) in enumerate([("/1", 0), ("/2", 0), ("/urgent", 1), ("/last", -1)], 1):
            tasks += start(client.get(server.url(path), extensions={"seawall": {"priority": priority}}))
            await until(lambda place=place: ways.waiting == place)
        for number in range(4):
            script.asked[number].answer()
            await reach(server, lambda number=number: len(script.asked) == number + 3)
        script.answer_all()
        await contents(tasks)
    assert [asked.path for asked in script.asked] == ["/0", "/0", "/urgent", "/1", "/2", "/last"]


async def test_origins_take_turns(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """A connection whose origin always has more calls still comes to an end when another origin waits for a permit."""
    busy_script, other_script = Http2(hold, streams=2), Http2()
    busy, other = serve(busy_script, tls=alpn()), serve(other_script, tls=alpn())
    pool = new_pool(tls, 1)
    async with client_of(pool) as client:
        crowd = start(*(client.get(busy.url()) for _ in range(50)))
        await reach(busy, lambda: busy_script.open == 2)
        late = start(client.get(other.url()))
        await until(lambda: pool.shards.slots.waiting == 49)
        busy_script.behave = lambda asked: asked.answer() if other.heard or len(busy_script.asked) < 10 else None
        for asked in list(busy_script.asked):
            asked.answer()
        assert await contents(late) == [b"ok"]
        busy_script.answer_all()
        assert await contents(crowd) == [b"ok"] * 50


async def test_open_circuit_is_told_to_who_waits_for_a_handshake(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """A call in line behind a handshake fails with CircuitOpen when its circuit opens, and leaves the line."""
    gate = Gate(alpn(), Http2())
    server = serve(gate)
    policies = Stack(Timeout(20), CircuitBreaker())
    async with AsyncClient(policies, http2=True, verify=tls.client(), timeout=PATIENT) as client:
        ways = client._transport.inner.shards.slots
        first = start(client.get(secure(server)))
        await until(lambda: ways.in_use == 1)
        second = start(client.get(secure(server)))
        await until(lambda: ways.waiting == 1)
        (circuit,) = client.state.circuits()
        circuit.open()
        with pytest.raises(CircuitOpen):
            await second[0]
        assert ways.waiting == 0
        gate.let(server)
        await asyncio.gather(*first, return_exceptions=True)


# -- sync


def test_sync_requests_have_a_connection_each(serve: Serve, tls: Certificates, alpn: Alpn) -> None:
    """A sync pool speaks HTTP/2 with one request at a time on a connection, so that a deadline cuts only its own."""
    script = Http2(lambda asked: asked.answer(b"begun", end=False))
    server = serve(script, tls=alpn())
    with httpx.Client(transport=Pool(4, http2=True, verify=tls.client()), timeout=PATIENT) as client:
        first = client.send(client.build_request("GET", server.url()), stream=True)
        second = client.send(client.build_request("GET", server.url()), stream=True)
        assert first.http_version == "HTTP/2"
        for asked in script.asked:
            asked.answer(b"")
        assert (first.read(), second.read()) == (b"begun", b"begun")
        script.behave = Asked.answer
        client.get(server.url())
    assert [heard.connection for heard in server.heard] == [1, 2, 2]
    with Client(http2=True, verify=tls.client()) as client:
        assert client.get(server.url()).http_version == "HTTP/2"


def test_echo_speaks_no_http2(serve: Serve) -> None:
    """The pool without `http2=True` offers HTTP/1.1 only, and is the pool it was."""
    server = serve(echo)
    pool = Pool()
    with httpx.Client(transport=pool) as client:
        assert client.get(server.url()).http_version == "HTTP/1.1"
    assert type(AsyncPool().shards) is type(pool.shards)
