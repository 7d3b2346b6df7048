"""Timeouts: one deadline for a call, a limit for each attempt, and whose fault it was when time ran out."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import tenacity
from drivers import URL, Exchange, exchange

import seawall
import seawall.httpx
from seawall import ConcurrencyLimit, Retry, Stack, Throttle, TimedOut, Timeout, WaitTooLong
from seawall.testing import Cancelled, ScriptedServer, VirtualRuntime, reply


def fetch(server: Any, *policies: Any, **options: Any) -> Exchange:
    """One call in virtual time."""
    return exchange("virtual", server, *policies, **options)


def scope(error: Exception | None) -> str:
    """What ran out of time."""
    assert isinstance(error, TimedOut)
    return error.scope


def test_a_call_ends_at_its_deadline() -> None:
    """The outermost Timeout bounds the call to the moment."""
    done = fetch(ScriptedServer(reply(after=60)), Timeout(5))
    assert scope(done.error) == "call"
    assert done.took == 5


def test_a_call_in_time_is_left_alone() -> None:
    """An answer just before the deadline is an answer."""
    done = fetch(ScriptedServer(reply(after=4.999)), Timeout(5))
    assert (done.status, done.took) == (200, 4.999)


def test_a_timeout_is_the_librarys_timeout_too() -> None:
    """TimedOut is caught by `except httpx.TimeoutException`, and knows its request."""
    done = fetch(ScriptedServer(reply(after=60)), Timeout(5))
    assert isinstance(done.error, httpx.TimeoutException)
    assert isinstance(done.error, seawall.httpx.TimedOut)
    assert str(done.error.request.url) == URL


def test_a_call_without_a_timeout_waits() -> None:
    """Where no Timeout stands, nothing of Seawall's ends a call."""
    assert fetch(ScriptedServer(reply(after=10_000)), Retry()).took == 10_000


def test_the_deadline_covers_attempts_and_backoff() -> None:
    """Every attempt and every sleep between them count towards the same deadline."""
    server = ScriptedServer(then=reply(503, after=2))
    done = fetch(server, Timeout(7), Retry(9, wait=tenacity.wait_fixed(1)))
    assert scope(done.error) == "call"
    assert done.took == 7
    assert [request.at for request in server.requests] == [0, 3, 6]


def test_the_deadline_covers_the_body() -> None:
    """With `body`, a body that drips beyond the deadline is a timeout of the call."""
    done = fetch(ScriptedServer(reply(body=[b"x"] * 100, every=1)), Timeout(5))
    assert scope(done.error) == "call"
    assert done.took == 5


def test_the_body_may_be_left_out() -> None:
    """With body=False the deadline ends at the response headers."""
    done = fetch(ScriptedServer(reply(body=[b"x"] * 100, every=1, after=4)), Timeout(5, body=False))
    assert (done.status, done.took) == (200, 104)


def test_the_deadline_covers_waiting_in_line() -> None:
    """A wait for a slot that reaches the deadline is WaitTooLong: nothing was sent for that call."""
    server, runtime = ScriptedServer(then=reply(after=60)), VirtualRuntime()

    async def main() -> None:
        stack = Stack(Timeout(100), Retry(), ConcurrencyLimit(1))
        async with seawall.httpx.AsyncClient(stack, transport=server) as client:
            first = runtime.spawn(client.get(URL))
            await runtime.sleep(1)
            with pytest.raises(WaitTooLong) as raised:
                await client.get(URL, extensions={"seawall": {"timeout": 10}})
            assert runtime.now() == 11
            assert isinstance(raised.value, httpx.PoolTimeout)
            assert seawall.report(raised.value).queued == 10
            assert (await first).status_code == 200

    runtime.run(main())
    assert len(server.requests) == 1


def test_a_wait_that_is_known_to_be_too_long_is_not_begun() -> None:
    """A throttle knows how long a wait will be, so a call that it would make late fails at once."""
    runtime = VirtualRuntime()

    async def main() -> None:
        stack = Stack(Timeout(5), Retry(), Throttle(1, per=60))
        async with seawall.httpx.AsyncClient(stack, transport=ScriptedServer()) as client:
            await client.get(URL)
            with pytest.raises(WaitTooLong):
                await client.get(URL)

    runtime.run(main())
    assert runtime.now() == 0


def test_an_attempt_is_bounded_from_send_to_headers() -> None:
    """A Timeout inside Retry bounds each attempt, not the call and not the body."""
    server = ScriptedServer(reply(after=60), reply(body=[b"x"] * 10, every=10, after=1.9))
    done = fetch(server, Retry(wait=tenacity.wait_none()), Timeout(2))
    assert (done.status, done.took) == (200, 103.9)
    assert scope(done.report.attempts[0].error) == "attempt"


def test_attempts_that_run_out_of_time_raise_the_last_timeout() -> None:
    """When each attempt times out, the last timeout is the outcome."""
    done = fetch(ScriptedServer(then=reply(after=60)), Retry(3, wait=tenacity.wait_fixed(1)), Timeout(2))
    assert scope(done.error) == "attempt"
    assert (done.report.gave_up, done.took) == ("attempts", 8)


def test_time_in_our_own_line_is_not_an_attempts() -> None:
    """An attempt's clock starts at send: waiting for a slot never makes it time out."""
    server, runtime = ScriptedServer(then=reply(after=0.9)), VirtualRuntime()

    async def main() -> None:
        stack = Stack(Retry(1), ConcurrencyLimit(1), Timeout(1))
        async with seawall.httpx.AsyncClient(stack, transport=server) as client:
            calls = [runtime.spawn(client.get(URL)) for _ in range(10)]
            assert [(await call).status_code for call in calls] == [200] * 10

    runtime.run(main())
    assert runtime.now() == pytest.approx(9)


def test_time_in_a_throttle_is_not_an_attempts() -> None:
    """Waiting for a token never makes an attempt time out either."""
    server, runtime = ScriptedServer(then=reply(after=0.9)), VirtualRuntime()

    async def main() -> None:
        stack = Stack(Retry(1), Throttle(1, per=60), Timeout(1))
        async with seawall.httpx.AsyncClient(stack, transport=server) as client:
            await client.get(URL)
            response = await client.get(URL)
            report = seawall.report(response)
            assert (report.throttled, report.attempts[0].elapsed) == pytest.approx((59.1, 0.9))

    runtime.run(main())


def test_the_calls_deadline_wins_over_an_attempts() -> None:
    """An attempt that the call's deadline cuts short is a timeout of the call, and is not repeated."""
    server = ScriptedServer(then=reply(after=60))
    done = fetch(server, Timeout(5), Retry(wait=tenacity.wait_fixed(1)), Timeout(3))
    assert scope(done.error) == "call"
    assert (done.report.gave_up, done.took) == ("deadline", 5)
    assert [scope(attempt.error) for attempt in done.report.attempts] == ["attempt", "call"]


def test_a_timeout_between_others_bounds_what_stands_inside_it() -> None:
    """Of two Timeouts outside Retry the inner one bounds all attempts together, in its own time."""
    done = fetch(ScriptedServer(then=reply(503, after=2)), Timeout(50), Timeout(5), Retry(9, wait=tenacity.wait_none()))
    assert scope(done.error) == "call"
    assert done.took == 5


OUTSIDE = seawall.IdempotencyKey()


def test_a_timeout_need_not_stand_outermost() -> None:
    """With another policy outside of it a Timeout still bounds the call and the body, or the call only."""
    drip = reply(body=[b"x"] * 100, every=1)
    assert fetch(ScriptedServer(reply(after=60)), OUTSIDE, Timeout(5), Retry()).took == 5
    assert fetch(ScriptedServer(drip), OUTSIDE, Timeout(5), Retry()).took == 5
    assert fetch(ScriptedServer(drip), OUTSIDE, Timeout(5, body=False), Retry()).took == 100


def test_a_timeout_that_is_not_outermost_covers_every_hop() -> None:
    """Its total is the call's as well: redirects share it."""
    server = ScriptedServer(then=reply(302, headers={"location": "/there"}, after=2))
    done = fetch(server, OUTSIDE, Timeout(5), Retry(), follow_redirects=True)
    assert scope(done.error) == "call"
    assert done.took == 5


def test_a_timeout_bounds_only_what_stands_inside_it() -> None:
    """To a policy outside of it the call has no deadline, neither before nor after."""
    seen: list[float] = []

    @dataclass(frozen=True)
    class Look(seawall.Policy[None]):
        async def handle(self, call: Any, state: None, next: Any) -> Any:
            seen.append(call.deadline)
            try:
                return await next(call)
            finally:
                seen.append(call.deadline)

    fetch(ScriptedServer(reply(after=60)), Look(), Timeout(5), Retry())
    assert seen == [float("inf")] * 2


def test_without_retry_an_inner_timeout_bounds_the_attempt() -> None:
    """Without Retry the outermost Timeout is the call's and the next one an attempt's."""
    drip = reply(body=[b"x"] * 4, every=2)
    assert fetch(ScriptedServer(drip), Timeout(10), Timeout(1)).took == 8
    late = fetch(ScriptedServer(reply(after=2)), Timeout(10), Timeout(1))
    assert scope(late.error) == "attempt"
    assert late.took == 1


def test_a_stricter_timeout_of_httpx_wins() -> None:
    """An httpx timeout that fires by itself is reported as what it is, not as ours."""
    error = httpx.ReadTimeout("httpx's own")
    done = fetch(ScriptedServer(error), Timeout(5))
    assert done.error is error
    assert not isinstance(done.error, TimedOut)


class Clock:
    """The sync runtime's clock, a step ahead of the real one."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


class SlowTransport(httpx.BaseTransport):
    """Takes as long as it may, then raises the timeout that httpx would."""

    def __init__(self, kind: type[httpx.TimeoutException], clock: Clock) -> None:
        self.kind = kind
        self.clock = clock
        self.timeouts: dict[str, float] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.timeouts = request.extensions["timeout"]
        self.clock.ahead += self.timeouts["read"]
        raise self.kind("timed out", request=request)


@pytest.mark.parametrize("kind", [httpx.ReadTimeout, httpx.ConnectTimeout, httpx.WriteTimeout])
@pytest.mark.parametrize("policies", [(Timeout(30),), (Retry(1), Timeout(30))], ids=["of the call", "of an attempt"])
def test_an_httpx_timeout_that_we_clipped_is_ours(
    kind: type[httpx.TimeoutException], policies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sync client httpx's timeouts are clipped to our deadline; one that fires because of it is TimedOut."""
    clock = Clock()
    monkeypatch.setattr("seawall.runtime.threads.time", clock)
    transport = SlowTransport(kind, clock)
    with seawall.httpx.Client(Stack(*policies), transport=transport, timeout=60) as client:
        request = client.build_request("GET", URL)
        with pytest.raises(TimedOut) as raised:
            client.send(request)
    assert isinstance(raised.value.__cause__, kind)
    assert all(0 < seconds <= 30 for seconds in transport.timeouts.values())
    assert request.extensions["timeout"]["read"] == 60


def test_httpx_timeouts_shorter_than_ours_are_left_alone() -> None:
    """Clipping never lengthens: the strictest of httpx's own timeouts and ours wins."""
    seen: list[dict[str, Any]] = []

    def note(request: httpx.Request) -> int:
        seen.append(dict(request.extensions["timeout"]))
        return 200

    with seawall.httpx.Client(
        Stack(Timeout(60)), transport=ScriptedServer(note), timeout=httpx.Timeout(None, connect=5)
    ) as client:
        client.get(URL)
    assert seen[0]["connect"] == 5
    assert 5 < seen[0]["read"] <= 60


def test_a_deadline_that_has_passed_sends_nothing(driver: str) -> None:
    """A call whose deadline is over before its first attempt is TimedOut, and the server never hears of it."""
    server = ScriptedServer()
    done = exchange(driver, server, Retry(), seawall={"deadline": -1.0})
    assert scope(done.error) == "call"
    assert not server.requests


def test_cancellation_is_never_reported_as_a_timeout() -> None:
    """The caller's own cancellation passes through unchanged, though it comes just when the deadline does."""
    runtime = VirtualRuntime()

    async def main() -> None:
        async with seawall.httpx.AsyncClient(
            Stack(Timeout(5), Retry()), transport=ScriptedServer(then=reply(after=60))
        ) as client:
            task = runtime.spawn(client.get(URL))
            await runtime.sleep(4.999)
            task.cancel()
            with pytest.raises(Cancelled):
                await task

    runtime.run(main())
    assert runtime.now() == 4.999


class Never(httpx.AsyncBaseTransport):
    """Answers never; remembers whether it was told to stop."""

    stopped = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        raise AssertionError


def interrupted(stop: Callable[[Any], Any]) -> Any:
    """What comes out of a call under asyncio that is stopped in a way of the caller's own."""
    server = Never()

    async def main() -> Any:
        async with seawall.httpx.AsyncClient(Stack(Timeout(60), Retry(), Timeout(50)), transport=server) as client:
            return await stop(client)

    try:
        return asyncio.run(main())
    finally:
        assert server.stopped


def test_the_callers_asyncio_timeout_is_its_own() -> None:
    """`asyncio.timeout` around a call ends in Python's TimeoutError, not in ours, and nothing is sent again."""

    async def stop(client: Any) -> None:
        async with asyncio.timeout(0):
            await client.get(URL)

    with pytest.raises(TimeoutError) as raised:
        interrupted(stop)
    assert not isinstance(raised.value, TimedOut)


def test_a_task_groups_cancellation_is_its_own() -> None:
    """A sibling's error in a task group cancels a call, and the group reports that error alone."""

    async def stop(client: Any) -> None:
        async def fail() -> None:
            raise LookupError("the sibling's")

        async with asyncio.TaskGroup() as group:
            group.create_task(client.get(URL))
            await asyncio.sleep(0)
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as raised:
        interrupted(stop)
    assert [type(error) for error in raised.value.exceptions] == [LookupError]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_seconds_that_cannot_be_are_refused(seconds: float) -> None:
    """A Timeout needs a finite number above 0, and says so."""
    with pytest.raises(ValueError, match=r"Timeout: seconds must be a number above 0, not"):
        Timeout(seconds)


@pytest.mark.parametrize("seconds", ["5", None, True])
def test_seconds_that_are_no_number_are_refused(seconds: Any) -> None:
    """What is no number at all is a TypeError."""
    with pytest.raises(TypeError, match=r"Timeout: seconds must be a number above 0"):
        Timeout(seconds)
