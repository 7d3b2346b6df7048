"""Which connection a call gets, which are kept, and whose turn it is in the line."""

from typing import Any

import httpx
import pytest

import seawall
from seawall import Stack, TimedOut, Timeout, WaitTooLong

from .conftest import Serve
from .modes import Mode
from .servers import OK, Connection, Heard, Server, response

POLICIES = Stack(Timeout(20))
CLOSE_WAIT = "08"


def close_wait(server: Server) -> int:
    """How many sockets to a server are left half-closed: it has hung up, and nobody here has noticed."""
    count = 0
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            _, _, remote, state, *_ = line.split()
            count += state == CLOSE_WAIT and int(remote.partition(":")[2], 16) == server.port
    return count


async def use(mode: Mode, client: Any, server: Server, count: int) -> list[int]:
    """Have `count` connections to a server, and give them back in order. Gives their numbers."""
    begun = len(server.connections)
    for answer in [await mode.open(client, server.url()) for _ in range(count)]:
        await mode.read(answer)
    return list(range(begun + 1, begun + count + 1))


def last(server: Server) -> int:
    """The number of the connection that carried a server's latest request."""
    return server.heard[-1].connection


def grow_older(pool: Any, seconds: float) -> None:
    """Let time pass for idle connections."""
    for shard in pool.shards._idle:
        shard.idle_since -= seconds


async def test_most_recently_used_connection_is_taken(mode: Mode, serve: Serve) -> None:
    """Of several idle connections to an origin the one used last is taken, so that surplus ones grow old."""
    server = serve()
    async with mode.using(mode.Plain(transport=mode.Pool())) as client:
        *_, newest = await use(mode, client, server, 3)
        for _ in range(3):
            await mode.get(client, server.url())
            assert last(server) == newest
    assert len(server.connections) == 3


async def test_connection_of_another_origin_is_never_taken(mode: Mode, serve: Serve) -> None:
    """Connections belong to scheme, host and port: another port of the same host gets one of its own."""
    one, other = serve(), serve()
    async with mode.using(mode.Plain(transport=mode.Pool())) as client:
        for server in (one, other, one, other):
            assert (await mode.get(client, server.url())).content == b"ok"
    assert len(one.connections) == len(other.connections) == 1


async def test_least_recently_used_idle_connection_makes_room(mode: Mode, serve: Serve) -> None:
    """When every connection is taken up, the longest idle one of another origin is closed for a new one."""
    oldest, newer, wanted = serve(), serve(), serve()
    pool = mode.Pool(2)
    async with mode.using(mode.Plain(transport=pool)) as client:
        await mode.get(client, newer.url())
        await mode.get(client, oldest.url())
        await mode.get(client, newer.url())
        await mode.get(client, wanted.url())
        await mode.until(oldest, lambda: oldest.open == 0)
        assert newer.open == 1
        assert len(pool.shards._idle) == 2


async def test_at_most_max_keepalive_stay_open(mode: Mode, serve: Serve) -> None:
    """Of connections given back, the `max_keepalive` used last stay open and the others are closed at once."""
    server = serve()
    async with mode.using(mode.Plain(transport=mode.Pool(max_keepalive=2))) as client:
        *_, newest = await use(mode, client, server, 5)
        await mode.until(server, lambda: server.open == 2)
        assert [connection.number for connection in server.connections if not connection.over] == [4, 5]
        await mode.get(client, server.url())
        assert last(server) == newest


async def test_no_keepalive_at_all(mode: Mode, serve: Serve) -> None:
    """`max_keepalive=0` closes each connection after its response."""
    server = serve()
    async with mode.using(mode.Plain(transport=mode.Pool(max_keepalive=0))) as client:
        for _ in range(3):
            await mode.get(client, server.url())
        await mode.until(server, lambda: server.open == 0)
    assert len(server.connections) == 3


async def test_expired_connection_is_not_used(mode: Mode, serve: Serve) -> None:
    """A connection idle for longer than `keepalive_expiry` is closed, and a new one made."""
    server = serve()
    pool = mode.Pool(keepalive_expiry=60)
    async with mode.using(mode.Plain(transport=pool)) as client:
        await mode.get(client, server.url())
        grow_older(pool, 59)
        await mode.get(client, server.url())
        assert last(server) == 1
        grow_older(pool, 61)
        await mode.get(client, server.url())
        assert last(server) == 2
        await mode.until(server, lambda: server.open == 1)


async def test_expired_connections_of_any_origin_are_closed_by_the_next_call(mode: Mode, serve: Serve) -> None:
    """Whoever next uses the pool closes what has been idle for too long, whichever origin it was for."""
    forgotten, used = serve(), serve()
    pool = mode.Pool(keepalive_expiry=60)
    async with mode.using(mode.Plain(transport=pool)) as client:
        await use(mode, client, forgotten, 5)
        grow_older(pool, 61)
        await mode.get(client, used.url())
        await mode.until(forgotten, lambda: forgotten.open == 0)
        assert len(pool.shards._idle) == 1


@pytest.mark.parametrize("expiry", [0, None])
async def test_keepalive_expiry_at_its_bounds(mode: Mode, serve: Serve, expiry: float | None) -> None:
    """`keepalive_expiry=0` keeps nothing that has been idle at all; None keeps it however long."""
    server = serve()
    pool = mode.Pool(keepalive_expiry=expiry)
    async with mode.using(mode.Plain(transport=pool)) as client:
        await mode.get(client, server.url())
        grow_older(pool, 1e9)
        await mode.get(client, server.url())
    assert len(server.connections) == (1 if expiry is None else 2)


async def test_nothing_stays_in_close_wait(mode: Mode, serve: Serve) -> None:
    """After the server closed ten idle connections, the pool's next use leaves none of them half-closed."""
    server = serve()
    pool = mode.Pool(keepalive_expiry=None)
    async with mode.using(mode.Plain(transport=pool)) as client:
        await use(mode, client, server, 10)
        server.stop()
        server.restart()
        grow_older(pool, 1)
        assert close_wait(server) == 10
        await mode.get(client, server.url())
        assert close_wait(server) == 0
        assert len(pool.shards._idle) == 1


async def test_origins_take_turns_in_the_line(mode: Mode, serve: Serve) -> None:
    """1,000 calls that wait for one origin do not hold up one for another: its turn comes among the first."""
    crowd = 1000 if mode.is_async else 50
    gate: list[bool] = []

    def busy_script(connection: Connection) -> None:
        while connection.request():
            busy.wait_for(lambda: gate)
            if len(busy.heard) > 5:  # whoever stands behind the whole crowd waits for ever
                busy.wait_for(lambda: other.heard)
            connection.send(OK)

    def other_script(connection: Connection) -> None:
        connection.request()
        busy.notice()
        connection.send(OK)

    busy, other = serve(busy_script), serve(other_script)
    pool = mode.Pool(2)
    plain = mode.Plain(transport=pool, timeout=httpx.Timeout(20, pool=None))
    async with mode.using(plain) as client:
        waiting = [mode.start(mode.get(client, busy.url())) for _ in range(crowd)]
        await mode.reach(lambda: pool.shards.slots.waiting == crowd - 2)
        late = mode.start(mode.get(client, other.url()))
        await mode.reach(lambda: pool.shards.slots.waiting == crowd - 1)
        gate.append(True)
        busy.notice()
        assert (await late.result()).content == b"ok"
        for each in waiting:
            await each.result()
    assert len(busy.heard) == crowd


async def test_line_is_served_in_order_and_by_priority(mode: Mode, serve: Serve) -> None:
    """Calls for one origin get connections in the order they came, those of a higher priority first."""
    gate: list[bool] = []

    def script(connection: Connection) -> None:
        while connection.request():
            server.wait_for(lambda: gate)
            connection.send(OK)

    server = serve(script)
    async with mode.using(mode.Client(POLICIES, transport=mode.Pool(1))) as client:
        slots = client._transport.inner.shards.slots
        running = []
        for position, (path, priority) in enumerate([("/0", 0), ("/1", 0), ("/2", 0), ("/urgent", 1), ("/last", -1)]):
            options = {"seawall": {"priority": priority}}
            running.append(mode.start(mode.get(client, server.url(path), extensions=options)))
            await mode.reach(lambda expected=position: slots.waiting == expected and slots.in_use == 1)
        gate.append(True)
        server.notice()
        for each in running:
            await each.result()
    assert [heard.target for heard in server.heard] == ["/0", "/urgent", "/1", "/2", "/last"]


@pytest.mark.parametrize("door", ["pool", "client"])
async def test_httpx_pool_timeout_is_wait_too_long(mode: Mode, serve: Serve, door: str) -> None:
    """A call that waits for a connection longer than httpx's pool timeout gets WaitTooLong, a PoolTimeout."""
    server = serve()
    timeouts = httpx.Timeout(20, pool=0.05)
    if door == "pool":
        made = mode.Plain(transport=mode.Pool(1), timeout=timeouts)
    else:
        made = mode.Client(POLICIES, limits=httpx.Limits(max_connections=1), timeout=timeouts)
    async with mode.using(made) as client:
        holding = await mode.open(client, server.url())
        with pytest.raises(WaitTooLong) as caught:
            await mode.get(client, server.url())
        assert isinstance(caught.value, httpx.PoolTimeout)
        assert not isinstance(caught.value, TimedOut)
        assert caught.value.request.url == server.url()
        await mode.read(holding)
        assert (await mode.get(client, server.url())).content == b"ok"
        if door == "client":
            assert seawall.report(caught.value).attempts == ()
            assert seawall.report(caught.value).queued >= 0.04
    assert len(server.heard) == 2


async def test_deadline_bounds_the_wait_for_a_connection(mode: Mode, serve: Serve) -> None:
    """Waiting for a connection ends at the call's deadline, as WaitTooLong: nothing was sent."""
    server = serve()
    limits = httpx.Limits(max_connections=1)
    async with mode.using(mode.Client(Stack(Timeout(0.1)), limits=limits, timeout=None)) as client:
        holding = await mode.open(client, server.url(), extensions={"seawall": {"timeout": 20.0}})
        with pytest.raises(WaitTooLong):
            await mode.get(client, server.url())
        await mode.read(holding)
    assert len(server.heard) == 1


@pytest.mark.parametrize("most", [1, 3, None])
async def test_max_connections_is_the_size_of_the_pool(mode: Mode, serve: Serve, most: int | None) -> None:
    """`limits.max_connections` is how many requests are in flight; None is no bound."""
    count = 8
    together: list[Heard] = []

    def script(connection: Connection) -> None:
        while request := connection.request():
            together.append(request)
            server.notice()
            server.wait_for(lambda: len(together) >= (most or count))
            connection.send(response(b"ok"))

    server = serve(script)
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=None)
    async with mode.using(mode.Client(POLICIES, limits=limits)) as client:
        running = [mode.start(mode.get(client, server.url())) for _ in range(count)]
        for each in running:
            assert (await each.result()).content == b"ok"
        assert len(server.connections) == (most or count)


async def test_limits_of_httpx_keep_their_meaning(mode: Mode, serve: Serve) -> None:
    """`max_keepalive_connections` and `keepalive_expiry` of `limits=` reach the pool, as do httpx's own defaults."""
    server = serve()
    limits = httpx.Limits(max_connections=7, max_keepalive_connections=1, keepalive_expiry=60)
    async with mode.using(mode.Client(POLICIES, limits=limits)) as client:
        await use(mode, client, server, 3)
        await mode.until(server, lambda: server.open == 1)
        grow_older(client._transport.inner, 61)
        await mode.get(client, server.url())
        assert last(server) == 4
    for given, expected in (({}, (100, 20)), ({"limits": httpx.Limits()}, (float("inf"), float("inf")))):
        made = mode.Client(POLICIES, **given)
        shards = made._transport.inner.shards
        assert (shards.max_connections, shards.max_keepalive) == expected
        assert shards.keepalive_expiry == 5.0
        await mode.close(made)
