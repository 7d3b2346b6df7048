"""Throttle: how many calls start per second, in which order they do, and what a wait too long costs."""

import threading
import time
from typing import Any

import httpx
import pytest
from calls import ORIGIN, URL, asking, burst, client, outcome, starts
from drivers import exchange, known
from hypothesis import given
from hypothesis import strategies as st

import seawall
from seawall import ConcurrencyLimit, OptionError, Retry, Stack, Throttle, Timeout, WaitTooLong
from seawall.httpx import Client
from seawall.testing import Cancelled, ScriptedServer, VirtualRuntime, reply


def names(server: ScriptedServer) -> list[str]:
    """The last path segments, in the order in which they were sent."""
    return [request.url.rpartition("/")[2] for request in server.requests]


def test_a_burst_is_let_through_up_to_the_rate_and_then_waits():
    """Of ten calls at once, three start in each second."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def main() -> Any:
        async with client(server, Throttle(3)) as c:
            return await burst(runtime, c, 10)

    results = runtime.run(main())
    assert starts(server) == [0] * 3 + [1] * 3 + [2] * 3 + [3]
    assert [seawall.report(r).throttled for r in results] == starts(server)


def test_a_leaky_bucket_paces_evenly():
    """`burst=1` spreads the rate evenly; `burst=3` lets three go first."""
    for size, expected in ((1, [0, 0.5, 1, 1.5]), (3, [0, 0, 0, 0.5])):
        runtime, server = VirtualRuntime(), ScriptedServer()

        async def main(server: Any = server, runtime: Any = runtime, size: int = size) -> None:
            async with client(server, Throttle(2, burst=size)) as c:
                await burst(runtime, c, 4)

        runtime.run(main())
        assert starts(server) == expected


def test_waiting_calls_start_in_the_order_in_which_they_came():
    """First come, first served, newcomers included."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def one(c: Any, index: int) -> None:
        await runtime.sleep(index * 0.3)
        await c.get(f"{ORIGIN}/{index}")

    async def main() -> None:
        async with client(server, Throttle(1)) as c:
            for task in [runtime.spawn(one(c, index)) for index in range(12)]:
                await task

    runtime.run(main())
    assert names(server) == [str(index) for index in range(12)]
    assert starts(server) == list(range(12))


@pytest.mark.parametrize(("later", "expected"), [(0.5, ["urgent", "old"]), (6.0, ["old", "urgent"])])
def test_a_higher_priority_overtakes_for_five_seconds(later: float, expected: list[str]):
    """A newcomer one step above goes before what waited for less than 5 s, the head of the line included."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def main() -> None:
        async with client(server, Throttle(1, per=10)) as c:
            await c.get(f"{ORIGIN}/first")
            old = runtime.spawn(c.get(f"{ORIGIN}/old"))
            await runtime.sleep(later)
            await c.get(f"{ORIGIN}/urgent", **asking(priority=1))
            await old

    runtime.run(main())
    assert names(server) == ["first", *expected]
    assert starts(server) == [0, 10, 20]


def test_a_large_cost_is_not_overtaken_for_ever():
    """Small calls that would fit wait behind a large one that came before them."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def small(c: Any, index: int) -> None:
        await runtime.sleep(0.1 * index)
        await c.get(f"{ORIGIN}/small")

    async def main() -> None:
        async with client(server, Throttle(10, per=1)) as c:
            tasks = [runtime.spawn(small(c, index)) for index in range(60)]
            await runtime.sleep(0.55)
            tasks.append(runtime.spawn(c.get(f"{ORIGIN}/large", **asking(cost=10))))
            for task in tasks:
                await task

    runtime.run(main())
    large = names(server).index("large")
    assert large == 6  # the six before it, and none of those after it
    assert starts(server)[large] == 1.5  # when those six have left the window


@pytest.mark.parametrize("policy", [Throttle(5), Throttle(5, burst=2), Throttle(5, strict=True)], ids=repr)
def test_a_cost_that_can_never_fit_is_an_error_at_once(policy: Throttle):
    """It is refused with the most that fits, instead of waiting for ever; the most itself fits."""
    most = policy.burst or policy.rate

    async def main() -> Any:
        async with client(ScriptedServer(), policy) as c:
            assert (await c.get(URL, **asking(cost=most))).status_code == 200
            return await outcome(c.get(URL, **asking(cost=most + 0.1)))

    error = VirtualRuntime().run(main())
    assert isinstance(error, OptionError)
    assert f"at most {most:g}" in str(error)


def test_a_wait_known_to_pass_max_wait_is_refused_at_once():
    """The refusal comes without waiting, tells how long it would have been, and spends nothing."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def main() -> Any:
        async with client(server, Throttle(1, per=10, max_wait=15)) as c:
            await c.get(URL)
            waiting = runtime.spawn(c.get(URL))
            await runtime.sleep(2)
            errors = await burst(runtime, c, 3)  # they would start at 20 s, 18 s from now
            at = runtime.now()
            await waiting
            await c.get(URL)
            return errors, at

    errors, at = runtime.run(main())
    assert at == 2
    for error in errors:
        assert isinstance(error, WaitTooLong)
        assert isinstance(error, httpx.PoolTimeout)
        assert (error.retry_after, error.key, error.request.url) == (18, ORIGIN, URL)
    assert starts(server) == [0, 10, 20]


def test_a_wait_known_to_pass_the_deadline_is_refused_at_once():
    """A call that cannot start before its deadline does not wait for it."""
    runtime = VirtualRuntime()

    async def main() -> Any:
        async with client(ScriptedServer(), Timeout(5), Throttle(1, per=10)) as c:
            await c.get(URL)
            return await outcome(c.get(URL))

    assert isinstance(runtime.run(main()), WaitTooLong)
    assert runtime.now() == 0


def test_a_wait_of_just_max_wait_is_waited_for():
    """A wait that does not pass `max_wait` ends with the call's start."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def main() -> Any:
        async with client(server, Throttle(1, max_wait=1)) as c:
            return await burst(runtime, c, 2)

    assert [r.status_code for r in runtime.run(main())] == [200, 200]
    assert starts(server) == [0, 1]


def test_the_known_wait_counts_who_is_ahead_and_only_those():
    """A call of high priority is admitted where one of low priority would wait too long."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def main() -> Any:
        async with client(server, Throttle(1, per=1, max_wait=2.5)) as c:
            waiting = [runtime.spawn(c.get(URL)) for _ in range(3)]
            await runtime.sleep(0)
            low = await outcome(c.get(URL))
            high = await outcome(c.get(URL, **asking(priority=1)))
            late = [await outcome(task) for task in waiting]
            return low, high, late

    low, high, late = runtime.run(main())
    assert isinstance(low, WaitTooLong)
    assert high.status_code == 200
    assert starts(server) == [0, 1, 2]
    assert isinstance(late[2], WaitTooLong)  # it was overtaken, and gave up when its own time was over


def test_a_call_that_was_overtaken_waits_no_longer_than_it_may():
    """What a newcomer of higher priority displaces past its deadline is refused at that deadline, not later."""
    runtime = VirtualRuntime()

    async def main() -> Any:
        async with client(ScriptedServer(), Throttle(1, per=10)) as c:
            await c.get(URL)
            old = runtime.spawn(outcome(c.get(URL, **asking(timeout=12.0))))
            await runtime.sleep(1)
            urgent = runtime.spawn(outcome(c.get(URL, **asking(priority=1))))
            error = await old
            return error, runtime.now(), (await urgent).status_code

    error, at, urgent = runtime.run(main())
    assert isinstance(error, WaitTooLong)
    assert (at, urgent) == (12, 200)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_cancelled_waiter_gives_its_place_back(which: int):
    """Wherever in the line it stood, those behind it move up."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def main() -> None:
        async with client(server, Throttle(1)) as c:
            await c.get(f"{ORIGIN}/first")
            tasks = [runtime.spawn(c.get(f"{ORIGIN}/{index}")) for index in range(3)]
            await runtime.sleep(0.5)
            tasks[which].cancel()
            with pytest.raises(Cancelled):
                await tasks[which]
            for index, task in enumerate(tasks):
                if index != which:
                    await task
            assert known(c.state, Throttle)["waiting"] == 0

    runtime.run(main())
    assert names(server) == ["first", *(str(index) for index in range(3) if index != which)]
    assert starts(server) == [0, 1, 2]


@given(moments=st.lists(st.integers(0, 40), min_size=1, max_size=10))
def test_waiters_cancelled_at_any_moment_leave_no_gap(moments: list[int]):
    """Whoever stays is served one after the other without a pause; nothing is spent on those who left in time."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def main() -> int:
        async with client(server, Throttle(1)) as c:
            tasks = [runtime.spawn(c.get(URL)) for _ in range(10)]
            for task, moment in zip(tasks, moments, strict=False):
                runtime.call_at(moment / 4, task.cancel)
            for task in tasks:
                try:
                    await task
                except Cancelled:
                    continue
            return len(server.requests)

    served = runtime.run(main())
    assert starts(server) == list(range(served))


def test_each_attempt_starts_and_is_counted():
    """A retry spends a start of its own."""
    runtime, server = VirtualRuntime(), ScriptedServer(503, 503, 200)

    async def main() -> int:
        async with client(server, Retry(3, wait=lambda _: 0), Throttle(1)) as c:
            return (await c.get(URL)).status_code

    assert runtime.run(main()) == 200
    assert starts(server) == [0, 1, 2]


def test_a_strict_start_counts_until_a_period_after_its_headers():
    """The server may have counted the request when its answer left: only a period after that is the slot free."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=3, body=[b"x"], every=5))

    async def main() -> None:
        async with client(server, Throttle(1, strict=True)) as c:
            await burst(runtime, c, 3)

    runtime.run(main())
    assert starts(server) == [0, 4, 8]


@pytest.mark.parametrize("step", [httpx.ReadError, reply(after=60)])
def test_a_strict_start_that_failed_counts_as_well(step: Any):
    """An attempt without an answer lands when it ends: the server may have counted it."""
    runtime, server = VirtualRuntime(), ScriptedServer(step)

    async def main() -> Any:
        async with client(server, Timeout(20), Retry(1), Throttle(1, strict=True), Timeout(2)) as c:
            first = await outcome(c.get(URL))
            failed = runtime.now()
            await c.get(URL)
            return first, failed

    first, failed = runtime.run(main())
    assert isinstance(first, httpx.TransportError)
    assert starts(server) == [0, failed + 1]


def test_rates_are_kept_per_origin_unless_asked_otherwise():
    """Two origins do not wait for each other; with key="client" they share one rate."""
    for key, expected in (("origin", [0, 0]), ("client", [0, 1])):
        runtime, server = VirtualRuntime(), ScriptedServer()

        async def main(server: Any = server, key: Any = key) -> None:
            async with client(server, Throttle(1, key=key)) as c:
                await c.get(URL)
                await c.get("https://other.example.com")

        runtime.run(main())
        assert starts(server) == expected


def test_a_key_of_the_request_has_a_rate_of_its_own():
    """A function of the request partitions as it likes."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def main() -> None:
        async with client(server, Throttle(1, key=lambda request: request.url.path)) as c:
            for path in ("/a", "/b", "/a"):
                await c.get(ORIGIN + path)

    runtime.run(main())
    assert starts(server) == [0, 0, 1]


def test_every_driver_refuses_a_long_wait_at_once(driver: str):
    """Threads, asyncio and virtual time alike know the wait beforehand."""
    state, policies = seawall.State(), (Throttle(1, per=3600, max_wait=1),)
    assert exchange(driver, ScriptedServer(), *policies, state=state).status == 200
    assert isinstance(exchange(driver, ScriptedServer(), *policies, state=state).error, WaitTooLong)


def test_threads_wait_for_their_turn():
    """Blocked threads are let go one by one, never less than a period apart."""
    sent: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(time.monotonic())
        return httpx.Response(200)

    with Client(Stack(Throttle(1, per=0.01)), transport=httpx.MockTransport(answer)) as c:
        threads, began = [threading.Thread(target=c.get, args=(URL,)) for _ in range(6)], time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(sent) == 6
    assert all(at >= began + index * 0.01 - 1e-6 for index, at in enumerate(sorted(sent)))


def test_a_throttle_inside_a_limit_lets_its_slot_go_when_refused():
    """WaitTooLong gives the slot back that the call held while it asked."""

    async def main() -> Any:
        async with client(ScriptedServer(), ConcurrencyLimit(1), Throttle(1, per=60, max_wait=1)) as c:
            await c.get(URL)
            await outcome(c.get(URL))
            return known(c.state, ConcurrencyLimit)["in_use"]

    assert VirtualRuntime().run(main()) == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"rate": 0}, "rate"), ({"rate": -1}, "rate"), ({"rate": float("nan")}, "rate"), ({"rate": 1, "per": 0}, "per"),
        ({"rate": 1, "burst": 0}, "burst"), ({"rate": 1, "max_wait": 0}, "max_wait"),
        ({"rate": None, "burst": 2}, "burst"),
        ({"rate": None, "strict": True}, "strict"), ({"rate": 1, "burst": 1, "strict": True}, "strict"),
        ({"rate": 1, "key": "url"}, "key"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(options: dict[str, Any], named: str):
    """Each impossible setting is a ValueError at construction that names it."""
    with pytest.raises(ValueError, match=named):
        Throttle(**options)
