"""Throttle(AsyncLimiter(...)): a limiter shared with the rest of a service, behind a fair line of our own."""

import asyncio
import math
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import virtual_loop
from aiolimiter import AsyncLimiter
from calls import ORIGIN, URL, asking, client, outcome
from drivers import known

import seawall
from seawall import CircuitBreaker, CircuitOpen, OptionError, Retry, Stack, StackError, Throttle, Timeout, WaitTooLong
from seawall._rate import RECENT
from seawall._throttle import LimiterState
from seawall.httpx import AsyncClient, Client, Transport
from seawall.testing import ScriptedServer, VirtualRuntime


class Server(httpx.AsyncBaseTransport):
    """Answers at once, and remembers when it was asked for what, in seconds of the loop."""

    def __init__(self, *first: httpx.Response) -> None:
        self.first = list(first)
        self.log: list[tuple[float, str]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.log.append((round(asyncio.get_running_loop().time(), 3), request.url.path.rpartition("/")[2]))
        return self.first.pop(0) if self.first else httpx.Response(200)

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.log]

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.log]


async def start(c: Any, name: str, **options: Any) -> asyncio.Task[Any]:
    """A call on its way: in line, or sent."""
    task = asyncio.ensure_future(outcome(c.get(f"{ORIGIN}/{name}", **asking(**options))))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


def test_calls_start_when_the_limiter_lets_them():
    """Two at once, then one every half second: the limiter's own schedule."""
    server = Server()

    async def main() -> None:
        async with client(server, Throttle(AsyncLimiter(2, 1))) as c:
            tasks = [await start(c, "x") for _ in range(5)]
            assert [(await task).status_code for task in tasks] == [200] * 5

    virtual_loop.run(main())
    assert server.times == pytest.approx([0, 0, 0.5, 1.0, 1.5], abs=0.01)


def test_the_limiter_is_shared_with_the_rest_of_the_service():
    """What other code of the service acquires, our calls wait for; what they acquire counts for others."""
    server, limiter = Server(), AsyncLimiter(2, 10)

    async def main() -> bool:
        async with client(server, Throttle(limiter)) as c:
            await limiter.acquire(2)
            await c.get(URL)
            return limiter.has_capacity(2)

    assert virtual_loop.run(main()) is False
    assert server.times == pytest.approx([5.0], abs=0.01)


def test_newcomers_do_not_overtake():
    """First come, first served, although the limiter itself lets anybody through who asks at the right moment."""
    server = Server()

    async def main() -> None:
        async with client(server, Throttle(AsyncLimiter(1, 1))) as c:
            tasks = []
            for index in range(10):
                tasks.append(await start(c, str(index)))
                await asyncio.sleep(0.3)
            await asyncio.gather(*tasks)

    virtual_loop.run(main())
    assert server.names == [str(index) for index in range(10)]


def test_a_large_cost_is_not_starved():
    """By itself the limiter serves small amounts first, for ever; in our line the large one has its turn."""
    server = Server()

    async def main() -> None:
        async with client(server, Throttle(AsyncLimiter(10, 1))) as c:
            tasks = [await start(c, "small") for _ in range(15)]
            tasks.append(await start(c, "large", cost=10))
            for _ in range(30):
                tasks.append(await start(c, "small"))
                await asyncio.sleep(0.05)
            await asyncio.gather(*tasks)

    virtual_loop.run(main())
    assert server.names.index("large") == 15


def test_priorities_hold_in_the_line():
    """Higher priorities go first among those who wait behind the head."""
    server = Server()

    async def main() -> None:
        async with client(server, Throttle(AsyncLimiter(1, 1))) as c:
            plan = [("first", 0), ("head", 0), ("low", -1), ("middle", 0), ("high", 1)]
            await asyncio.gather(*[await start(c, name, priority=priority) for name, priority in plan])

    virtual_loop.run(main())
    assert server.names == ["first", "head", "high", "middle", "low"]


@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_cancelled_waiter_gives_its_place_back(which: int):
    """The head that waits in the limiter, or anybody behind it: those who stay move up, and nothing is spent."""
    server = Server()

    async def main() -> Any:
        async with client(server, Throttle(AsyncLimiter(1, 1))) as c:
            tasks = [await start(c, str(index)) for index in range(5)]
            await asyncio.sleep(0.5)
            tasks[which].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return known(c.state, Throttle)["waiting"]

    assert virtual_loop.run(main()) == 0
    assert server.names == [str(index) for index in range(5) if index != which]
    assert server.times == pytest.approx([0, 1, 2, 3], abs=0.01)


@pytest.mark.parametrize("policies", [(Throttle(AsyncLimiter(1, 10), max_wait=4),), None], ids=["max_wait", "deadline"])
def test_a_wait_is_bounded(policies: Any):
    """At the deadline, or after `max_wait`, both the head and those behind it are refused with WaitTooLong."""
    server = Server()
    policies = policies or (Timeout(4), Throttle(AsyncLimiter(1, 10)))

    async def main() -> Any:
        async with client(server, *policies) as c:
            await c.get(URL)
            errors = await asyncio.gather(*[await start(c, "x") for _ in range(3)])
            return errors, asyncio.get_running_loop().time()

    errors, at = virtual_loop.run(main())
    assert at == pytest.approx(4, abs=0.01)
    assert all(isinstance(error, WaitTooLong) and isinstance(error, httpx.PoolTimeout) for error in errors)
    assert seawall.report(errors[-1]).throttled == pytest.approx(4, abs=0.01)
    assert len(server.log) == 1


def test_a_refusal_says_what_was_waited_for():
    """The head waited for the limiter, those behind it for their turn; each error names the limiter's key."""

    async def main() -> Any:
        async with client(Server(), Throttle(AsyncLimiter(1, 10), max_wait=4)) as c:
            await c.get(URL)
            return await asyncio.gather(await start(c, "x"), await start(c, "x", timeout=2.0))

    assert [(str(error), error.key) for error in virtual_loop.run(main())] == [
        ("Throttle: the AsyncLimiter did not admit the call in time", "client"),
        ("Throttle: no slot within 2 s of waiting in line", "client"),
    ]


def test_a_cost_that_can_never_fit_is_an_error_at_once():
    """It is refused with the limiter's own maximum."""

    async def main() -> Any:
        async with client(Server(), Throttle(AsyncLimiter(3, 1))) as c:
            assert (await c.get(URL, **asking(cost=3))).status_code == 200
            return await outcome(c.get(URL, **asking(cost=3.5)))

    error = virtual_loop.run(main())
    assert isinstance(error, OptionError)
    assert "at most 3" in str(error)


def test_a_pause_that_the_server_asks_for_holds_these_calls_too():
    """Retry-After holds back the head, those behind it and those to come, and refuses whom it would keep too long."""
    server = Server(httpx.Response(429, headers={"Retry-After": "5"}))

    async def main() -> Any:
        async with client(server, Throttle(AsyncLimiter(2, 1))) as c:
            tasks = [await start(c, str(index)) for index in range(4)]
            hasty = await start(c, "hasty", timeout=2.0)
            assert hasty.done()
            await asyncio.gather(*tasks)
            return hasty.result()

    hasty = virtual_loop.run(main())
    assert isinstance(hasty, WaitTooLong)
    assert server.names == ["0", "1", "2", "3"]
    assert server.times[0] == 0
    assert all(at >= 5 for at in server.times[1:])
    assert len(set(server.times[1:])) == 3  # spaced, not in a herd


def test_what_is_queued_fails_when_the_circuit_opens():
    """The calls in our line fail at once, the head when the limiter lets it go; none of them is sent."""
    server = Server()

    async def main() -> Any:
        async with client(server, CircuitBreaker(), Throttle(AsyncLimiter(1, 10))) as c:
            tasks = [await start(c, "x") for _ in range(4)]
            c.state.circuit(ORIGIN).isolate()
            await asyncio.gather(*tasks[2:])
            at = asyncio.get_running_loop().time()
            return at, await asyncio.gather(*tasks)

    at, (first, *rest) = virtual_loop.run(main())
    assert at < 0.001
    assert first.status_code == 200
    assert all(isinstance(error, CircuitOpen) for error in rest)
    assert len(server.log) == 1


def test_one_limiter_is_one_line_for_all_origins():
    """Whatever the origin, calls wait in the same line: the limiter is one."""
    server = Server()

    async def main() -> Any:
        async with client(server, Throttle(AsyncLimiter(1, 1))) as c:
            tasks = [asyncio.ensure_future(c.get(f"https://{host}.example.com/{host}")) for host in "abc"]
            await asyncio.gather(*tasks)
            return [entry["key"] for entry in c.state.snapshot()]

    assert virtual_loop.run(main()) == ["client"]
    assert server.log == [(0, "a"), (pytest.approx(1, abs=0.01), "b"), (pytest.approx(2, abs=0.01), "c")]


def test_retries_acquire_for_each_attempt():
    """Each attempt is a start of its own."""
    server, limiter = Server(httpx.Response(503), httpx.Response(503)), AsyncLimiter(1, 1)

    async def main() -> int:
        async with client(server, Retry(3, wait=lambda _: 0), Throttle(limiter)) as c:
            return (await c.get(URL)).status_code

    assert virtual_loop.run(main()) == 200
    assert server.times == pytest.approx([0, 1, 2], abs=0.01)


def test_the_real_clock_serves_as_well():
    """On an ordinary event loop, with a period of milliseconds, every call gets through in order."""
    server = Server()

    async def main() -> None:
        async with client(server, Throttle(AsyncLimiter(5, 0.01))) as c:
            await asyncio.gather(*[await start(c, str(index)) for index in range(20)])

    asyncio.run(main())
    assert server.names == [str(index) for index in range(20)]


@pytest.mark.parametrize("make", [Client, Transport])
def test_a_sync_client_refuses_an_async_limiter_at_construction(make: Any):
    """A StackError that names the limiter and says what to use instead, before any request."""
    with pytest.raises(StackError, match=r"AsyncLimiter belongs to asyncio.*Throttle\(rate, per\)"):
        make(Stack(Throttle(AsyncLimiter(10, 1))))


def test_another_runtime_refuses_an_async_limiter_by_name():
    """Where there is no asyncio loop for the limiter, the call fails with a clear error, not with a hang."""

    async def main() -> Any:
        async with client(ScriptedServer(), Throttle(AsyncLimiter(10, 1))) as c:
            return await outcome(c.get(URL))

    error = VirtualRuntime().run(main())
    assert isinstance(error, RuntimeError)
    assert "asyncio only, not under the virtual runtime" in str(error)


@pytest.mark.parametrize("options", [{"burst": 2}, {"strict": True}])
def test_settings_of_our_own_engines_do_not_go_with_a_limiter(options: dict[str, Any]):
    """A limiter brings its own rate and burst."""
    with pytest.raises(ValueError, match=next(iter(options))):
        Throttle(AsyncLimiter(1, 1), **options)


def test_a_limiter_with_calls_in_line_is_never_forgotten():
    """Evicting its line would make two lines for one limiter."""
    server = Server()

    async def main() -> Any:
        stack = Stack(Throttle(AsyncLimiter(1, 1)))
        async with AsyncClient(stack, transport=server, state=seawall.State(max_keys=1, idle=0.001)) as c:
            tasks = [await start(c, str(index)) for index in range(3)]
            line = c.state._all_cells()[0].state
            idle = line.idle(asyncio.get_running_loop().time())
            await asyncio.gather(*tasks)
            return idle, line.idle(asyncio.get_running_loop().time())

    assert virtual_loop.run(main()) == (False, True)


def refused_by(state: LimiterState, now: float, until: float) -> tuple[str, float | None] | None:
    """What a call that must start by `until` is told: None if it may wait."""
    told: list[Any] = []

    def rejected(kind: type, message: str, *, key: Any, retry_after: float | None) -> Exception:
        told.append((message, retry_after))
        return kind(message)

    call = SimpleNamespace(runtime=SimpleNamespace(now=lambda: now), rejected=rejected)
    try:
        state._ready_by(until, call)  # type: ignore[arg-type]
    except WaitTooLong:
        return told[0]  # type: ignore[no-any-return]
    return None


def test_a_pause_of_an_async_limiter_refuses_whom_it_keeps_too_long():
    """Who may start at the very end of it waits; who may not is told how long it would be."""
    state = LimiterState(AsyncLimiter(3))
    state.pace.pause(0.0, 10)
    assert refused_by(state, now=4.0, until=10.0) is None
    assert refused_by(state, now=4.0, until=9.0) == (
        "Throttle: the wait would be 6 s, past the deadline or max_wait", 6.0
    )  # fmt: skip


def test_the_restart_of_an_async_limiter_ends():
    """Once a call comes that has nobody behind it and need not wait, those after it are not spaced any more."""
    state, call = LimiterState(AsyncLimiter(3)), SimpleNamespace(runtime=SimpleNamespace(now=lambda: 12.0))
    state.pace.pause(0.0, 10)
    state.pace.take(10.0)
    for _ in range(RECENT + 1):
        assert state._ready_by(math.inf, call) == 12.0  # type: ignore[arg-type]
        assert not state.pace.active
        state.pace.take(12.0)
