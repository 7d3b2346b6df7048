"""The whole public surface as typed programs use it. Checked by mypy in strict mode, and run by test_typing.py."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, assert_type

import httpx
import pybreaker
import tenacity
from aiolimiter import AsyncLimiter

import seawall
import seawall.httpx
from seawall import (
    Attempt,
    Call,
    Circuit,
    CircuitBreaker,
    ConcurrencyLimit,
    Endpoints,
    IdempotencyKey,
    Policy,
    ReadBody,
    Report,
    Retry,
    RetryBudget,
    Stack,
    State,
    Throttle,
    Timeout,
)
from seawall.httpx import AsyncClient, AsyncPool, AsyncTransport, Client, Pool, Transport
from seawall.testing import Recorder, ScriptedServer, Task, VirtualRuntime, reply

URL = "https://api.example.com/items"


def by_tenant(request: httpx.Request) -> Hashable:
    return str(request.headers.get("x-tenant"))


class Listener(pybreaker.CircuitBreakerListener):
    pass


def policies() -> Iterator[Policy[Any]]:
    """Every setting of every policy."""
    yield Timeout(30)
    yield Timeout(30.5, body=False)
    yield Retry()
    yield Retry(
        3,
        wait=tenacity.wait_fixed(1) + seawall.full_jitter(base=0.5, cap=10, throttled=2),
        stop=tenacity.stop_after_delay(10) | tenacity.stop_after_attempt(3),
        retry=tenacity.retry_if_exception_type(httpx.ConnectError),
        statuses={500, 503},
        methods={"GET"},
        max_retry_after=30,
        budget=RetryBudget(100, transient=10, throttled=5, success=0.5),
        key=by_tenant,
        name="tenants",
    )
    yield Retry(wait=lambda state: 0.1, stop=lambda state: state.attempt_number > 2, statuses=(), budget=None)
    yield CircuitBreaker()
    yield CircuitBreaker(
        failure_rate=0.5,
        minimum_calls=20,
        window=10,
        consecutive=5,
        slow_call=1.0,
        slow_rate=0.8,
        open_for=5,
        max_open_for=300,
        probes=2,
        shadow=True,
        listeners=[Listener()],
        key="endpoint",
        name="db",
    )
    yield Throttle(10)
    yield Throttle(0.5, 60, max_wait=5, strict=True, follow_server=False, key="client", name="quota")
    yield Throttle(10, per=1, burst=1)
    yield Throttle(None)
    yield ConcurrencyLimit(20, queue=100, max_wait=2.5, release_on="headers", key="origin", name="slots")
    yield ReadBody(1_000_000, chunked=True)
    yield IdempotencyKey()
    yield IdempotencyKey({"POST", "PATCH"})


def limited() -> Throttle:
    """An AsyncLimiter of the user's own."""
    return Throttle(AsyncLimiter(10, 1))


def stacks() -> tuple[Stack, Endpoints]:
    """Stacks and endpoints."""
    stack = Stack(Timeout(30), Retry(), CircuitBreaker(), Timeout(5))
    assert_type(stack.replace(Retry(2)), Stack)
    assert_type(stack.without(Retry, CircuitBreaker), Stack)
    assert_type(stack.then(Throttle(1)), Stack)
    assert_type(seawall.standard(), Stack)
    assert_type(stack.policies, tuple[Policy[Any], ...])
    patterns = {"https://api.example.com": stack, "GET *.example.com/x/*": stack}
    return stack, Endpoints(patterns, default=seawall.standard())


def heard(event: seawall.Event) -> None:
    """A listener."""
    if isinstance(event, seawall.CircuitChanged):
        assert_type(event.new, str)
    elif isinstance(event, seawall.CallEnded):
        assert_type(event.report, Report)
    elif isinstance(event, seawall.RetryScheduled):
        assert_type(event.wait, float)
    elif isinstance(event, seawall.CallRejected):
        assert_type(event.retry_after, float | None)
    elif isinstance(event, seawall.GaveUp):
        assert_type(event.reason, str)
    elif isinstance(event, seawall.Paused):
        assert_type(event.seconds, float)


def sync_client(server: ScriptedServer) -> None:
    """A sync client gives what httpx's own gives."""
    stack, endpoints = stacks()
    state = State(max_keys=100, idle=60)
    with Client(stack, state=state, listeners=[heard], transport=server, base_url=URL, timeout=5.0) as client:
        assert_type(client, Client)
        response = client.get(URL, extensions={"seawall": {"priority": 1, "skip": ["hedge"]}})
        assert_type(response, httpx.Response)
        assert_type(client.post(URL, json={}), httpx.Response)
        assert_type(client.send(client.build_request("GET", URL)), httpx.Response)
        assert_type(client.request("GET", URL, params={"page": 2}), httpx.Response)
        assert_type(client.state, State)
        with client.stream("GET", URL) as streamed:
            assert_type(streamed, httpx.Response)
            streamed.read()
        reported(response)
        operated(client.state)
    wrapped: httpx.Client = httpx.Client(transport=Transport(endpoints, transport=server, state=state))
    pooled: httpx.BaseTransport = Pool(50, max_keepalive=10, keepalive_expiry=None, verify=False, retries=1)
    wrapped.close()
    pooled.close()


async def async_client(server: ScriptedServer) -> None:
    """An async client gives what httpx's own gives."""
    stack, endpoints = stacks()
    async with AsyncClient(endpoints, listeners=(heard, Recorder()), transport=server) as client:
        assert_type(client, AsyncClient)
        response = await client.get(URL)
        assert_type(response, httpx.Response)
        assert_type(await client.send(client.build_request("GET", URL)), httpx.Response)
        assert_type(await client.request("GET", URL, params={"page": 2}), httpx.Response)
        async with client.stream("GET", URL) as streamed:
            assert_type(streamed, httpx.Response)
            await streamed.aread()
        with seawall.options(priority=-1, timeout=2.0, tenant="acme", skip=["retry"], cost=2, idempotent=True):
            await client.get(URL)
    async with AsyncClient(limits=httpx.Limits(max_connections=10), http2=False, verify=False) as defaults:
        client_of_httpx: httpx.AsyncClient = defaults
        assert client_of_httpx is defaults
    inner: httpx.AsyncBaseTransport = AsyncPool(max_connections=None, proxy="http://proxy.example:3128", verify=False)
    transport: httpx.AsyncBaseTransport = AsyncTransport(stack, transport=inner, listeners=[heard])
    await transport.aclose()


def reported(outcome: httpx.Response | Exception) -> None:
    """What a report holds."""
    report = seawall.report(outcome)
    assert_type(report, Report)
    assert_type(report.attempts, tuple[Attempt, ...])
    assert_type(report.gave_up, str | None)
    assert_type(report.endpoint, str | None)
    assert_type((report.queued, report.throttled, report.elapsed), tuple[float, float, float])
    for attempt in report.attempts:
        assert_type((attempt.number, attempt.started, attempt.waited), tuple[int, float, float])
        assert_type((attempt.elapsed, attempt.retry_after), tuple[float, float | None])
        assert_type((attempt.status, attempt.hedged), tuple[int | None, bool])
        assert_type(attempt.error, Exception | None)


def operated(state: State) -> None:
    """What an operator does."""
    for circuit in state.circuits():
        assert_type(circuit, Circuit)
        assert_type(circuit.state, Literal["closed", "open", "half-open", "isolated"])
        circuit.isolate()
    circuit = state.circuit("https://api.example.com")
    circuit.open()
    circuit.half_open()
    circuit.close()
    circuit.reset()
    assert_type(state.snapshot(), list[dict[str, Any]])


def caught(client: httpx.Client) -> float | None:
    """Errors are caught by either name."""
    try:
        client.get(URL)
    except seawall.CircuitOpen as error:
        assert_type(error.retry_after, float | None)
        return error.retry_after
    except seawall.Rejected as error:
        assert_type(error.endpoint, str | None)
    except seawall.TimedOut as error:
        assert_type(error.scope, Literal["attempt", "call"])
    except httpx.TransportError:
        pass
    return None


Next = Callable[[Call], Awaitable[httpx.Response]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Log(Policy[None]):
    """A policy without state."""

    async def handle(self, call: Call, state: None, next: Next) -> httpx.Response:
        assert_type(call.runtime.now(), float)
        response = await next(call)
        assert_type(response, httpx.Response)
        return response


@dataclass(frozen=True, slots=True)
class Counted(Policy[list[float]]):
    """A policy with state and a key."""

    most: int
    key: Literal["origin", "endpoint", "client"] = "client"
    name: str | None = None

    def new_state(self) -> list[float]:
        return []

    async def handle(self, call: Call, state: list[float], next: Next) -> httpx.Response:
        state.append(call.runtime.now())
        if len(state) > self.most:
            raise call.rejected(seawall.QueueFull, "too many", retry_after=1.0)
        return await next(call)


def in_virtual_time() -> float:
    """The test kit."""
    runtime = VirtualRuntime(seed=1, start=5.0)
    recorder = Recorder()
    server = ScriptedServer(503, reply(200, b"x", headers={"x": "y"}), httpx.ReadError, lambda request: 204, then=200)
    client = AsyncClient(Stack(Log(), Counted(9), Retry()), transport=server, listeners=[recorder])

    async def main() -> int:
        task = runtime.spawn(client.get(URL))
        assert_type(task, Task[httpx.Response])
        response = await task
        assert_type(response, httpx.Response)
        await runtime.sleep(1)
        return response.status_code

    assert_type(runtime.run(main()), int)
    assert_type(recorder.of(seawall.RetryScheduled), list[seawall.RetryScheduled])
    assert_type(server.requests[0].content, bytes)
    return runtime.now()


def run_all() -> None:
    """Run every example."""
    Stack(*{type(policy): policy for policy in policies() if not isinstance(policy, Timeout | IdempotencyKey)}.values())
    limited()
    sync_client(ScriptedServer())
    asyncio.run(async_client(ScriptedServer()))
    with Client(Stack(Log()), transport=ScriptedServer(httpx.ReadError)) as client:
        caught(client)
    in_virtual_time()
