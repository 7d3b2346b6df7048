"""CircuitBreaker: what counts as a failure, what counts for nothing, and what a circuit does to calls."""

import asyncio
import warnings
from typing import Any

import httpx
import pytest
from calls import ORIGIN, URL, burst, client, outcome
from drivers import exchange, known

import seawall
from seawall import CircuitBreaker, CircuitOpen, ConcurrencyLimit, ReadBody, Retry, Stack, Throttle, Timeout
from seawall.testing import Cancelled, Recorder, ScriptedServer, VirtualRuntime, reply

FAILURES = [
    httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.ReadTimeout, httpx.WriteError,
    httpx.WriteTimeout, httpx.RemoteProtocolError, httpx.ProxyError, httpx.CloseError,
    httpx.TimeoutException, httpx.TransportError, httpx.RequestError,  # the bare ones: a foreign transport's
    500, 502, 503, 504, 520, 521, 522, 523, 524, 529,
]  # fmt: skip
NEUTRAL = [
    TypeError, ValueError, httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.PoolTimeout,
    httpx.TooManyRedirects, httpx.InvalidURL, httpx.DecodingError, httpx.ProtocolError, 408, 429,
]  # fmt: skip
SUCCESSES = [200, 204, 301, 304, 400, 401, 403, 404, 409, 410, 422, 501, 505, 507]


def counts(state: seawall.State) -> tuple[int, int]:
    """The calls and the failures that the circuit counted."""
    circuit = known(state, CircuitBreaker)
    return circuit["calls"], circuit["failures"]


@pytest.mark.parametrize("step", FAILURES)
def test_what_says_that_the_server_fails_is_a_failure(driver: str, step: Any):
    """Connect, read, write and protocol errors of the server and its 5xx of outage count as failures."""
    done = exchange(driver, ScriptedServer(step), CircuitBreaker())
    assert counts(done.state) == (1, 1)


@pytest.mark.parametrize("step", NEUTRAL)
def test_what_says_nothing_about_the_server_is_neutral(driver: str, step: Any):
    """Programming errors, local rejections, 408 and 429 are not counted at all."""
    done = exchange(driver, ScriptedServer(step), CircuitBreaker())
    assert counts(done.state) == (0, 0)


@pytest.mark.parametrize("step", SUCCESSES)
def test_everything_else_is_a_success(driver: str, step: Any):
    """The server that answers works, other 4xx included."""
    done = exchange(driver, ScriptedServer(step), CircuitBreaker())
    assert counts(done.state) == (1, 0)


@pytest.mark.parametrize("step", NEUTRAL)
def test_a_neutral_probe_gives_its_slot_back(step: Any):
    """After a neutral outcome the half-open circuit lets the next call through as its probe."""
    server = ScriptedServer(500, step, 200)

    async def main() -> list[str]:
        async with client(server, CircuitBreaker(consecutive=1)) as c:
            await c.get(URL)
            circuit, seen = c.state.circuit(ORIGIN), []
            circuit.half_open()
            for _ in range(2):
                await outcome(c.get(URL))
                seen.append(circuit.state)
            return seen

    assert VirtualRuntime().run(main()) == ["half-open", "closed"]


def test_an_attempt_timeout_is_a_failure():
    """An attempt without an answer within its Timeout counts as a failure of the server."""

    async def main() -> Any:
        server = ScriptedServer(then=reply(after=60))
        async with client(server, Timeout(30), Retry(1), CircuitBreaker(), Timeout(2)) as c:
            assert isinstance(await outcome(c.get(URL)), seawall.TimedOut)
            return counts(c.state)

    assert VirtualRuntime().run(main()) == (1, 1)


def test_the_total_deadline_is_no_failure_of_an_attempt_that_it_cut_short():
    """The first attempt had its own Timeout of 6 s; the second was cut at 4 s by the total, and counts for nothing."""

    async def main() -> Any:
        stack = Timeout(10), Retry(2, wait=lambda _: 0), CircuitBreaker(), Timeout(6)
        async with client(ScriptedServer(then=reply(after=60)), *stack) as c:
            assert isinstance(await outcome(c.get(URL)), seawall.TimedOut)
            return counts(c.state)

    assert VirtualRuntime().run(main()) == (1, 1)


@pytest.mark.parametrize(("queued", "expected"), [(0.0, (1, 1)), (4.9, (1, 1)), (5.1, (0, 0))])
def test_without_an_attempt_timeout_half_of_the_total_on_the_wire_decides(queued: float, expected: Any):
    """A call that spent more than half of its deadline in our own line says nothing about the server."""
    server = ScriptedServer(200, reply(after=60))

    async def main() -> Any:
        stack = Timeout(10), CircuitBreaker(window=100), Throttle(1, per=queued or 0.001)
        async with client(server, *stack) as c:
            await c.get(URL)
            assert isinstance(await outcome(c.get(URL)), seawall.TimedOut)
            calls, failures = counts(c.state)
            return calls - 1, failures  # without the first one, which succeeded

    assert VirtualRuntime().run(main()) == expected


def test_a_deadline_that_passes_while_the_body_is_read_follows_the_same_rule():
    """A body cut off by the call's deadline is a failure only if the attempt had its time on the wire."""
    slow = reply(body=[b"x"] * 100, every=1.0)

    async def main() -> Any:
        seen = []
        for first in (reply(after=4.5, status=503), reply(after=1.0, status=503)):
            server = ScriptedServer(first, slow)
            stack = Timeout(10), Retry(wait=lambda _: 0), CircuitBreaker(), Timeout(6)
            async with client(server, *stack) as c:
                assert isinstance(await outcome(c.get(URL)), seawall.TimedOut)
                seen.append(counts(c.state))
        return seen

    assert VirtualRuntime().run(main()) == [(1, 1), (2, 2)]


def test_the_caller_s_cancellation_is_neutral():
    """A call that its caller cancelled says nothing about the server, and gives its probe slot back."""
    runtime, server = VirtualRuntime(), ScriptedServer(500, reply(after=60), 200)

    async def main() -> Any:
        async with client(server, CircuitBreaker(consecutive=1)) as c:
            await c.get(URL)
            circuit = c.state.circuit(ORIGIN)
            circuit.half_open()
            task = runtime.spawn(c.get(URL))
            await runtime.sleep(1)
            task.cancel()
            with pytest.raises(Cancelled):
                await task
            assert circuit.state == "half-open"
            await c.get(URL)
            return circuit.state

    assert runtime.run(main()) == "closed"


def test_asyncio_s_own_timeout_around_a_call_is_neutral():
    """`asyncio.timeout` of the caller is a cancellation: the circuit counts nothing."""

    class Stuck(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

    async def main() -> Any:
        async with client(Stuck(), CircuitBreaker()) as c:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await c.get(URL)
            return counts(c.state)

    assert asyncio.run(main()) == (0, 0)


def test_rejections_of_inner_policies_are_neutral():
    """A full queue, or a wait too long for the throttle, is our own doing."""

    async def main() -> Any:
        server = ScriptedServer(then=reply(after=1))
        stack = CircuitBreaker(), ConcurrencyLimit(1, queue=0), Throttle(1, per=60, max_wait=1)
        async with client(server, *stack) as c:
            first, second = await burst(runtime, c, 2)
            third = await outcome(c.get(URL))
            assert first.status_code == 200
            assert isinstance(second, seawall.QueueFull)
            assert isinstance(third, seawall.WaitTooLong)
            return counts(c.state)

    runtime = VirtualRuntime()
    assert runtime.run(main()) == (1, 0)


def test_a_body_that_breaks_is_a_failure(driver: str):
    """A disconnect in the middle of a body counts as a failure, although the headers were good."""
    server = ScriptedServer(reply(body=b"half", breaks=httpx.ReadError("reset")))
    done = exchange(driver, server, CircuitBreaker())
    assert isinstance(done.error, httpx.ReadError)
    assert counts(done.state) == (1, 1)


def test_a_body_that_breaks_inside_the_attempt_is_a_failure(driver: str):
    """With ReadBody the break happens within the breaker and counts once."""
    server = ScriptedServer(reply(body=b"half", breaks=httpx.ReadError("reset"), headers={"content-length": "9"}))
    done = exchange(driver, server, CircuitBreaker(), ReadBody(1000))
    assert counts(done.state) == (1, 1)


@pytest.mark.parametrize("read", [0, 1, None])
def test_the_verdict_of_a_streamed_body_is_given_at_its_end(read: int | None):
    """Until a body ends nothing is counted; an early clean close is a success, as is reading to the end."""

    async def main() -> Any:
        async with client(ScriptedServer(reply(body=[b"a", b"b", b"c"])), CircuitBreaker()) as c:
            async with c.stream("GET", URL) as response:
                assert counts(c.state) == (0, 0)
                chunks = response.aiter_raw()
                if read is None:
                    async for _ in chunks:
                        pass
                else:
                    for _ in range(read):
                        await anext(chunks)
            return counts(c.state)

    assert VirtualRuntime().run(main()) == (1, 0)


def test_a_streamed_body_is_a_success_one_attempt_timeout_after_its_headers():
    """A long download counts as a success before it ends, and as a failure as well if it breaks later."""
    runtime = VirtualRuntime()
    server = ScriptedServer(reply(body=[b"a"] * 2, breaks=httpx.ReadError("reset")))

    async def main() -> Any:
        seen = []
        async with client(server, Timeout(600), Retry(1), CircuitBreaker(window=100), Timeout(3)) as c:
            async with c.stream("GET", URL) as response:
                for passed in (2.9, 0.2):
                    await runtime.sleep(passed)
                    await c.get(URL)  # a circuit has no timer: it settles what is due when it is next looked at
                    seen.append(counts(c.state))
                with pytest.raises(httpx.ReadError):
                    await response.aread()
            return [*seen, counts(c.state)]

    assert runtime.run(main()) == [(1, 0), (3, 0), (4, 1)]


def test_slow_calls_are_measured_from_send_to_headers():
    """Waiting in our own line before, and a slow body after, do not make a call slow."""
    runtime = VirtualRuntime()
    server = ScriptedServer(then=reply(after=0.5, body=[b"x"] * 3, every=2.0))

    async def main() -> Any:
        breaker = CircuitBreaker(slow_call=1.0, slow_rate=0.1, minimum_calls=1, window=100)
        async with client(server, breaker, ConcurrencyLimit(1)) as c:
            quick = await burst(runtime, c, 4)
            state = c.state.circuit(ORIGIN).state
            server._then = reply(after=1.0)
            await c.get(URL)
            return [r.status_code for r in quick], state, c.state.circuit(ORIGIN).state

    assert runtime.run(main()) == ([200] * 4, "closed", "open")


def test_an_open_circuit_rejects_before_anything_is_spent():
    """Rejected calls send nothing, take no slot and no token, and say when to come back."""
    recorder, server = Recorder(), ScriptedServer(500)

    async def main() -> Any:
        stack = CircuitBreaker(consecutive=1, open_for=5), ConcurrencyLimit(1), Throttle(2, per=60)
        async with client(server, *stack, listeners=[recorder]) as c:
            await c.get(URL)
            with pytest.raises(CircuitOpen) as rejection:
                await c.get(URL)
            c.state.circuit(ORIGIN).close()
            await c.get(URL)
            return rejection.value

    runtime = VirtualRuntime()
    error = runtime.run(main())
    assert runtime.now() == 0  # the second token was still there
    assert len(server.requests) == 2
    assert isinstance(error, httpx.TransportError)
    assert 4 <= error.retry_after <= 6
    assert (error.key, error.endpoint, error.request.url) == (ORIGIN, "*", URL)
    assert [e.reason for e in recorder.of(seawall.CallRejected)] == ["CircuitOpen"]


def test_circuits_are_kept_per_origin():
    """One origin's failures do not close the way to another."""

    async def main() -> Any:
        async with client(ScriptedServer(500), CircuitBreaker(consecutive=1)) as c:
            await c.get(URL)
            other = await c.get("https://api.example.com:8443/")
            return other.status_code, [circuit.state for circuit in c.state.circuits()]

    assert VirtualRuntime().run(main()) == (200, ["open", "closed"])


def test_a_503_s_retry_after_may_set_the_open_time():
    """The circuit stays open for as long as a 503 asked, if that is longer than its own time."""

    async def main() -> Any:
        server = ScriptedServer(reply(503, headers={"Retry-After": "42"}))
        async with client(server, CircuitBreaker(consecutive=1)) as c:
            await c.get(URL)
            return (await outcome(c.get(URL))).retry_after

    assert VirtualRuntime().run(main()) == 42


def test_a_shadow_circuit_counts_and_reports_but_never_rejects():
    """`shadow=True` opens, tells its listeners, and lets every call through."""
    recorder, server = Recorder(), ScriptedServer(then=500)
    runtime = VirtualRuntime()

    async def main() -> Any:
        async with client(server, CircuitBreaker(consecutive=3, shadow=True), listeners=[recorder]) as c:
            for _ in range(10):
                await c.get(URL)
            state = c.state.circuit(ORIGIN).state
            await runtime.sleep(100)
            return state, await burst(runtime, c, 5)

    state, late = runtime.run(main())
    assert state == "open"
    assert [r.status_code for r in late] == [500] * 5
    assert recorder.of(seawall.CircuitChanged)[0].new == "open"
    assert not recorder.of(seawall.CallRejected)


def test_no_timers_run_behind_a_circuit():
    """An open circuit costs nothing while nobody calls: the clock has nothing to jump to."""
    runtime = VirtualRuntime()

    async def main() -> None:
        async with client(ScriptedServer(500), CircuitBreaker(consecutive=1)) as c:
            await c.get(URL)
            await runtime.waiter().wait(float("inf"))

    with pytest.raises(RuntimeError, match="waits for ever at 0 s"):
        runtime.run(main())


def test_a_window_shorter_than_two_attempts_is_widened(caplog: pytest.LogCaptureFixture):
    """A breaker sees its own attempts time out: its window is at least twice the attempt timeout, and says so."""
    stack = Stack(Timeout(60), Retry(), CircuitBreaker(window=10), Timeout(8))
    [breaker] = [policy for policy in stack if isinstance(policy, CircuitBreaker)]
    assert breaker.window == 16
    assert caplog.text.count("widened") == 1


@pytest.mark.parametrize(
    "options",
    [
        {"failure_rate": 0}, {"failure_rate": 1.1}, {"failure_rate": float("nan")}, {"minimum_calls": 0},
        {"window": 0}, {"window": float("inf")}, {"consecutive": 0}, {"slow_call": -1}, {"slow_rate": 0},
        {"open_for": 0}, {"open_for": 10, "max_open_for": 5}, {"probes": 0}, {"key": "host"}, {"name": ""},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(options: dict[str, Any]):
    """Each impossible setting is a ValueError at construction that names it."""
    with warnings.catch_warnings(), pytest.raises(ValueError, match=list(options)[-1]):
        CircuitBreaker(**options)
