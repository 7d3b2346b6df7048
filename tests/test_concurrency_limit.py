"""ConcurrencyLimit: how many requests are in flight, who waits for a slot, and when it comes back."""

import sys
import threading
from typing import Any, Self

import httpx
import pytest
from calls import ORIGIN, URL, asking, burst, client, outcome, starts
from drivers import exchange, known
from hypothesis import given
from hypothesis import strategies as st

import seawall
from seawall import ConcurrencyLimit, QueueFull, Retry, Stack, Throttle, Timeout, WaitTooLong
from seawall.httpx import AsyncClient, Client
from seawall.testing import Cancelled, ScriptedServer, VirtualRuntime, reply


def in_use(state: seawall.State) -> int:
    """How many slots are taken."""
    return known(state, ConcurrencyLimit)["in_use"]


@given(limit=st.integers(1, 5), count=st.integers(1, 20))
def test_never_more_than_the_limit_in_flight(limit: int, count: int):
    """At no time has the server more open bodies of one origin than `limit`, and all calls are served in rounds."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=1, body=[b"x", b"y"], every=1))
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            await runtime.sleep(0.5)
            most = max(most, server.open)

    async def main() -> None:
        runtime.spawn(watch())
        async with client(server, ConcurrencyLimit(limit)) as c:
            results = await burst(runtime, c, count)
            assert {r.status_code for r in results} == {200}
            assert in_use(c.state) == 0

    runtime.run(main())
    assert most <= limit
    assert starts(server) == [3.0 * (index // limit) for index in range(count)]


def test_a_slot_is_held_until_the_body_is_read():
    """Headers do not give the slot back; the end of the body does."""

    async def main() -> Any:
        async with client(ScriptedServer(reply(body=[b"a", b"b"])), ConcurrencyLimit(1)) as c:
            async with c.stream("GET", URL) as response:
                seen = [in_use(c.state)]
                chunks = response.aiter_raw()
                await anext(chunks)
                seen.append(in_use(c.state))
                async for _ in chunks:
                    pass
                seen.append(in_use(c.state))
            return [*seen, in_use(c.state)]

    assert VirtualRuntime().run(main()) == [1, 1, 0, 0]


def test_a_slot_comes_back_when_the_body_is_closed_early():
    """Closing an unread response gives its slot back, once."""

    async def main() -> Any:
        async with client(ScriptedServer(then=reply(body=[b"a", b"b"])), ConcurrencyLimit(2)) as c:
            first = await c.send(c.build_request("GET", URL), stream=True)
            second = await c.send(c.build_request("GET", URL), stream=True)
            await first.aclose()
            await first.aclose()
            seen = in_use(c.state)
            await second.aclose()
            return seen, in_use(c.state)

    assert VirtualRuntime().run(main()) == (1, 0)


def test_a_slot_comes_back_when_the_body_breaks():
    """An error in the middle of a body gives the slot back, once, although the response is closed afterwards."""
    server = ScriptedServer(then=reply(body=b"half", breaks=httpx.ReadError("reset")))

    async def main() -> Any:
        async with client(server, ConcurrencyLimit(2)) as c:
            held = await c.send(c.build_request("GET", URL), stream=True)
            assert isinstance(await outcome(c.get(URL)), httpx.ReadError)
            seen = in_use(c.state)
            await held.aclose()
            return seen, in_use(c.state)

    assert VirtualRuntime().run(main()) == (1, 0)


@pytest.mark.parametrize("answer", [reply(after=9), reply(body=[b"a"] * 9, every=1)], ids=["headers", "body"])
def test_a_slot_comes_back_when_the_call_is_cancelled(answer: Any):
    """Cancelled before the headers are here, or in the middle of the body, a call gives its slot back."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=answer)

    async def main() -> Any:
        async with client(server, ConcurrencyLimit(1)) as c:
            task = runtime.spawn(c.get(URL))
            await runtime.sleep(3.5)
            task.cancel()
            with pytest.raises(Cancelled):
                await task
            return in_use(c.state)

    assert runtime.run(main()) == 0


@pytest.mark.parametrize("step", [httpx.ConnectError, TypeError, 500])
def test_a_slot_comes_back_when_the_call_fails(driver: str, step: Any):
    """Whatever comes instead of a good response, the slot is free afterwards."""
    assert in_use(exchange(driver, ScriptedServer(step), ConcurrencyLimit(1)).state) == 0


def test_a_response_that_was_already_read_gives_its_slot_back_at_once():
    """Mocks and caches answer with responses that never close a stream: no slot is lost to them."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"in memory"))

    async def main() -> Any:
        async with client(transport, ConcurrencyLimit(1)) as c:
            response = await c.send(c.build_request("GET", URL), stream=True)
            seen = in_use(c.state)
            again = await c.get(URL)
            assert (await response.aread(), again.content) == (b"in memory", b"in memory")
            return seen

    assert VirtualRuntime().run(main()) == 0


def test_release_on_headers_gives_the_slot_back_when_they_arrive():
    """A stream that lives for hours does not keep its slot."""

    async def main() -> Any:
        server = ScriptedServer(then=reply(body=[b"a"] * 3, every=3600))
        async with client(server, ConcurrencyLimit(1, release_on="headers")) as c, c.stream("GET", URL):
            seen = in_use(c.state)
            async with c.stream("GET", URL) as second:
                return seen, second.status_code

    assert VirtualRuntime().run(main()) == (0, 200)


def test_a_full_queue_is_an_error_at_once():
    """With `queue=2` the fourth call of a limit of one is refused in the instant it arrives."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=1))

    async def main() -> Any:
        async with client(server, ConcurrencyLimit(1, queue=2)) as c:
            tasks = [runtime.spawn(c.get(URL)) for _ in range(3)]
            await runtime.sleep(0)
            error = await outcome(c.get(URL))
            return error, runtime.now(), [(await task).status_code for task in tasks]

    error, at, served = runtime.run(main())
    assert isinstance(error, QueueFull)
    assert isinstance(error, httpx.TransportError)
    assert (error.key, error.request.url) == (ORIGIN, URL)
    assert (at, served) == (0, [200] * 3)


def test_max_wait_bounds_the_time_in_line():
    """A call that has waited `max_wait` is refused with WaitTooLong, a PoolTimeout to httpx, and sends nothing."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=10))

    async def main() -> Any:
        async with client(server, ConcurrencyLimit(1, max_wait=2)) as c:
            first = runtime.spawn(c.get(URL))
            await runtime.sleep(1)
            error = await outcome(c.get(URL))
            return error, runtime.now(), (await first).status_code

    error, at, first = runtime.run(main())
    assert isinstance(error, WaitTooLong)
    assert isinstance(error, httpx.PoolTimeout)
    assert seawall.report(error).queued == 2
    assert (at, first, len(server.requests)) == (3, 200, 1)


def test_the_deadline_bounds_the_time_in_line():
    """A call whose deadline passes while it waits is refused with WaitTooLong at the deadline."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=10))

    async def main() -> Any:
        async with client(server, Timeout(20), ConcurrencyLimit(1)) as c:
            first = runtime.spawn(c.get(URL))
            await runtime.sleep(0)
            error = await outcome(c.get(URL, **asking(timeout=4.0)))
            return error, runtime.now(), (await first).status_code

    error, at, first = runtime.run(main())
    assert isinstance(error, WaitTooLong)
    assert (at, first, len(server.requests)) == (4, 200, 1)


def order_of(server: ScriptedServer) -> list[str]:
    """The last path segments, in the order in which they were sent."""
    return [request.url.rpartition("/")[2] for request in server.requests]


def test_waiting_calls_are_served_by_priority_and_then_in_order():
    """Higher priorities first; within one, first come, first served."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=1))

    async def main() -> None:
        async with client(server, ConcurrencyLimit(1)) as c:
            plan = [("first", 0), ("a0", 0), ("b1", 1), ("c0", 0), ("d-1", -1), ("e1", 1)]
            tasks = [runtime.spawn(c.get(f"{ORIGIN}/{name}", **asking(priority=p))) for name, p in plan]
            for task in tasks:
                await task

    runtime.run(main())
    assert order_of(server) == ["first", "b1", "e1", "a0", "c0", "d-1"]


def test_waiting_raises_a_call_s_rank():
    """After 5 s in line a call goes before newcomers of one step more."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=6))

    async def main() -> None:
        async with client(server, ConcurrencyLimit(1)) as c:
            tasks = [runtime.spawn(c.get(f"{ORIGIN}/{name}")) for name in ("first", "old")]
            await runtime.sleep(5.5)
            tasks.append(runtime.spawn(c.get(f"{ORIGIN}/urgent", **asking(priority=1))))
            for task in tasks:
                await task

    runtime.run(main())
    assert order_of(server) == ["first", "old", "urgent"]


def test_tenants_take_turns():
    """One tenant's hundred waiting calls delay another tenant's one by a single turn."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=1))

    async def main() -> None:
        async with client(server, ConcurrencyLimit(1)) as c:
            plan = ["big"] * 100 + ["small"]
            tasks = [runtime.spawn(c.get(f"{ORIGIN}/{name}", **asking(tenant=name))) for name in plan]
            for task in tasks:
                await task

    runtime.run(main())
    assert order_of(server)[:3] == ["big", "big", "small"]


def test_a_slot_is_not_held_through_a_backoff():
    """While a failed call waits for its retry, another one has the slot."""
    runtime, server = VirtualRuntime(), ScriptedServer(503, then=200)

    async def main() -> None:
        async with client(server, Retry(2, wait=lambda _: 10.0), ConcurrencyLimit(1)) as c:
            tasks = [runtime.spawn(c.get(f"{ORIGIN}/{name}")) for name in ("retried", "other")]
            for task in tasks:
                await task

    runtime.run(main())
    assert order_of(server) == ["retried", "other", "retried"]
    assert starts(server) == [0, 0, 10]


def test_a_call_that_waits_for_the_throttle_holds_its_slot():
    """The throttle stands inside the limit: what it paces is what goes on the wire."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=200)

    async def main() -> int:
        async with client(server, ConcurrencyLimit(2), Throttle(1, per=10)) as c:
            tasks = [runtime.spawn(c.get(URL)) for _ in range(5)]
            await runtime.sleep(5)
            seen = in_use(c.state)
            for task in tasks:
                await task
            return seen

    assert runtime.run(main()) == 2
    assert starts(server) == [0, 10, 20, 30, 40]


class Work:
    """Python-level calls, counted by the profiler: a measure of work that no machine's load changes."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Self:
        sys.setprofile(self._count)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: Any, event: str, arg: Any) -> None:
        self.calls += 1


@pytest.mark.parametrize("how", ["cancelled", "released"])
def test_twenty_thousand_waiters_leave_in_one_go(how: str):
    """The work to cancel, or to serve, a whole line at once grows with its length, not with its square."""

    def work(count: int) -> int:
        runtime, slots = VirtualRuntime(), ConcurrencyLimit(1).new_state()
        measured = Work()

        async def wait() -> None:
            await slots.enter(call, float("inf"), owner="a test", key=None, flow=None)
            slots.release()

        async def main() -> None:
            slots.try_enter()
            tasks = [runtime.spawn(wait()) for _ in range(count)]
            await runtime.sleep(0)
            assert slots.waiting == count
            with measured:
                if how == "cancelled":
                    for task in tasks:
                        task.cancel()
                else:
                    slots.release()
                await runtime.sleep(0.1)
            assert slots.waiting == 0

        call = seawall.Call.__new__(seawall.Call)
        call.runtime, call.guard, call.options = runtime, None, seawall._options.DEFAULTS
        call.trail = seawall._call.Trail()
        runtime.run(main())
        return measured.calls

    assert work(20_000) < 2.5 * work(10_000)


def test_threads_share_a_limit():
    """Of many threads no more than `limit` are inside the server at once, and each gets its answer."""
    lock, inside, most = threading.Lock(), 0, 0
    full = threading.Barrier(3)

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        full.wait(30)  # three at a time, or nobody comes through
        with lock:
            inside -= 1
        return httpx.Response(200)

    results = []
    with Client(Stack(ConcurrencyLimit(3)), transport=httpx.MockTransport(answer)) as c:
        threads = [threading.Thread(target=lambda: results.append(c.get(URL).status_code)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert in_use(c.state) == 0
    assert (results, most) == ([200] * 12, 3)


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"limit": -1}, {"limit": 1, "queue": -1}, {"limit": 1, "max_wait": 0},
                {"limit": 1, "max_wait": float("nan")}, {"limit": 1, "release_on": "end"}, {"limit": 1, "key": "x"}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(options: dict[str, Any]):
    """Each impossible setting is a ValueError at construction that names it."""
    with pytest.raises(ValueError, match=list(options)[-1]):
        ConcurrencyLimit(**options)


@pytest.mark.parametrize(("key", "told"), [("client", "client"), ("origin", "http://a.example")])
def test_a_rejection_tells_whose_slots_were_taken(key: Any, told: str) -> None:
    """`Rejected.key` is the key of the limit that refused, whatever it is partitioned by."""
    runtime = VirtualRuntime()

    async def main() -> object:
        server = ScriptedServer(then=reply(after=10))
        stack = seawall.Stack(seawall.ConcurrencyLimit(1, queue=0, key=key))
        async with AsyncClient(stack, transport=server) as client:
            runtime.spawn(client.get("http://a.example/"))
            await runtime.sleep(1)
            with pytest.raises(seawall.QueueFull, match="0 calls already wait") as refused:
                await client.get("http://a.example/")
            return refused.value.key

    assert runtime.run(main()) == told
