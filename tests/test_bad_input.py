"""Bad input: each error names the thing and the parameter, shows what was given and says what is allowed."""

import math
from collections.abc import Callable
from typing import Any

import aiolimiter
import httpx
import pybreaker
import pytest
import tenacity

import seawall
from seawall import (
    CircuitBreaker,
    ConcurrencyLimit,
    IdempotencyKey,
    ReadBody,
    Retry,
    RetryBudget,
    Stack,
    State,
    Throttle,
    Timeout,
    full_jitter,
)
from seawall.httpx import AsyncClient, AsyncPool, AsyncTransport, Client, Pool, Transport
from seawall.testing import ScriptedServer

HUGE = 10**400  # an integer that no float can hold
# what a parameter allows: the bad values, and the words that tell what would be good
WORDS: dict[str, tuple[list[Any], str]] = {
    "positive": ([0, -1, -0.5, math.nan, math.inf, -math.inf, HUGE, True, "1", None, [1]], "a number above 0"),
    "positive or None": ([0, -1, math.nan, math.inf, True, "1", [1]], "a number above 0 or None"),
    "non-negative": ([-1, -0.5, math.nan, math.inf, HUGE, True, "1", None], "a number of at least 0"),
    "non-negative or None": ([-1, math.nan, math.inf, True, "1"], "a number of at least 0 or None"),
    "share": ([0, -0.1, 1.01, math.nan, math.inf, True, "0.5", None], "a number above 0 and at most 1"),
    "at least 1 or None": ([0.5, 0, -1, math.nan, math.inf, True, "1"], "a number of at least 1 or None"),
    "count": ([0, -1, 1.0, math.nan, math.inf, True, "1", None], "a whole number of at least 1"),
    "count or None": ([0, -1, 1.0, math.nan, math.inf, True, "1"], "a whole number of at least 1 or None"),
    "count from 0": ([-1, 0.5, math.nan, math.inf, True, "1", None], "a whole number of at least 0"),
    "count from 0 or None": ([-1, 0.5, math.nan, math.inf, True, "1"], "a whole number of at least 0 or None"),
    "flag": ([0, 1, None, "yes"], "True or False"),
    "strategy": ([1, "x"], "callable"),
    "key": ([5, None, "orgin", ""], 'must be "origin", "endpoint", "client" or a function of the request'),
    "name": (["", 5, True], "a non-empty string or None"),
    "statuses": ([503, "503", None], "a collection of status codes"),
    "methods": (["GET", 5, None], "a collection of HTTP methods"),
}

NUMBERS: list[tuple[str, Callable[..., Any], str, str]] = [
    ("Timeout", Timeout, "seconds", "positive"),
    ("Timeout", lambda body: Timeout(1, body=body), "body", "flag"),
    ("Retry", Retry, "attempts", "count"),
    ("Retry", Retry, "wait", "strategy"),
    ("Retry", Retry, "stop", "strategy"),
    ("Retry", Retry, "retry", "strategy"),
    ("Retry", Retry, "statuses", "statuses"),
    ("Retry", Retry, "methods", "methods"),
    ("Retry", Retry, "max_retry_after", "non-negative"),
    ("Retry", Retry, "key", "key"),
    ("Retry", Retry, "name", "name"),
    ("RetryBudget", RetryBudget, "capacity", "positive"),
    ("RetryBudget", RetryBudget, "transient", "non-negative"),
    ("RetryBudget", RetryBudget, "throttled", "non-negative"),
    ("RetryBudget", RetryBudget, "success", "non-negative"),
    ("full_jitter", full_jitter, "base", "non-negative"),
    ("full_jitter", full_jitter, "cap", "non-negative"),
    ("full_jitter", full_jitter, "throttled", "non-negative"),
    ("CircuitBreaker", CircuitBreaker, "failure_rate", "share"),
    ("CircuitBreaker", CircuitBreaker, "minimum_calls", "count"),
    ("CircuitBreaker", CircuitBreaker, "window", "positive"),
    ("CircuitBreaker", CircuitBreaker, "consecutive", "count or None"),
    ("CircuitBreaker", CircuitBreaker, "slow_call", "positive or None"),
    ("CircuitBreaker", CircuitBreaker, "slow_rate", "share"),
    ("CircuitBreaker", CircuitBreaker, "open_for", "positive"),
    ("CircuitBreaker", CircuitBreaker, "probes", "count"),
    ("CircuitBreaker", CircuitBreaker, "shadow", "flag"),
    ("CircuitBreaker", CircuitBreaker, "key", "key"),
    ("CircuitBreaker", CircuitBreaker, "name", "name"),
    ("Throttle", Throttle, "rate", "positive or None"),
    ("Throttle", lambda per: Throttle(1, per), "per", "positive"),
    ("Throttle", lambda burst: Throttle(1, burst=burst), "burst", "at least 1 or None"),
    ("Throttle", lambda max_wait: Throttle(1, max_wait=max_wait), "max_wait", "positive or None"),
    ("Throttle", lambda follow_server: Throttle(1, follow_server=follow_server), "follow_server", "flag"),
    ("Throttle", lambda strict: Throttle(1, strict=strict), "strict", "flag"),
    ("Throttle", lambda key: Throttle(1, key=key), "key", "key"),
    ("Throttle", lambda name: Throttle(1, name=name), "name", "name"),
    ("ConcurrencyLimit", ConcurrencyLimit, "limit", "count"),
    ("ConcurrencyLimit", lambda queue: ConcurrencyLimit(1, queue=queue), "queue", "count from 0 or None"),
    ("ConcurrencyLimit", lambda max_wait: ConcurrencyLimit(1, max_wait=max_wait), "max_wait", "positive or None"),
    ("ConcurrencyLimit", lambda key: ConcurrencyLimit(1, key=key), "key", "key"),
    ("ConcurrencyLimit", lambda name: ConcurrencyLimit(1, name=name), "name", "name"),
    ("ReadBody", ReadBody, "max_bytes", "count from 0"),
    ("ReadBody", lambda chunked: ReadBody(1, chunked=chunked), "chunked", "flag"),
    ("IdempotencyKey", IdempotencyKey, "methods", "methods"),
    ("State", State, "max_keys", "count"),
    ("State", State, "idle", "positive"),
    *(
        row
        for pool in (Pool, AsyncPool)
        for row in [
            (pool.__name__, pool, "max_connections", "count or None"),
            (pool.__name__, pool, "max_keepalive", "count from 0 or None"),
            (pool.__name__, pool, "keepalive_expiry", "non-negative or None"),
            (pool.__name__, pool, "retries", "count from 0"),
            (pool.__name__, pool, "http1", "flag"),
            (pool.__name__, pool, "http2", "flag"),
            (pool.__name__, pool, "trust_env", "flag"),
        ]
    ),
]
CASES = [
    pytest.param(owner, make, name, value, allowed, id=f"{owner}-{name}-{str(value)[:12]}")
    for owner, make, name, kind in NUMBERS
    for values, allowed in [WORDS[kind]]
    for value in values
]


@pytest.mark.parametrize(("owner", "make", "name", "value", "allowed"), CASES)
def test_bad_values_are_refused(owner: str, make: Callable[..., Any], name: str, value: Any, allowed: str) -> None:
    """A value that cannot be is refused at construction, by name, with the value and what is allowed."""
    with pytest.raises((TypeError, ValueError)) as caught:
        make(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"{owner}: {name} ")
    assert repr(value) in message
    assert allowed in message


async def suspicious(*args: Any) -> float:
    return 1.0


class AsyncStrategy:
    async def __call__(self, retry_state: Any) -> float:
        return 1.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Timeout(HUGE), ["Timeout: seconds", "a number above 0"]),
        (lambda: Retry(statuses={99}), ["Retry: statuses", "from 100 to 599", "not 99"]),
        (lambda: Retry(statuses={True}), ["Retry: statuses", "from 100 to 599", "not True"]),
        (lambda: Retry(statuses=["503"]), ["Retry: statuses", "not '503'"]),
        (lambda: Retry(statuses=[[503]]), ["Retry: statuses", "not [503]"]),
        (lambda: Retry(methods={""}), ["Retry: methods", 'such as "GET"', "not ''"]),
        (lambda: Retry(methods=[["GET"]]), ["Retry: methods", "not ['GET']"]),
        (lambda: IdempotencyKey({"PO ST"}), ["IdempotencyKey: methods", 'such as "GET"', "not 'PO ST'"]),
        (lambda: Retry(wait=None), ["Retry: wait must be callable, not None"]),
        (lambda: Retry(wait=suspicious), ["Retry: wait must be a plain function", "suspicious", "asynchronous"]),
        (lambda: Retry(stop=suspicious), ["Retry: stop must be a plain function", "asynchronous"]),
        (lambda: Retry(retry=AsyncStrategy()), ["Retry: retry must be a plain function", "asynchronous"]),
        (
            lambda: Retry(retry=tenacity.asyncio.retry_if_exception(suspicious)),
            ["Retry: retry must be a plain function", "retry_if_exception", "asynchronous"],
        ),
        (lambda: Retry(key=suspicious), ["Retry: key must be a plain function", "asynchronous"]),
        (lambda: Retry(budget=500), ["Retry: budget must be a RetryBudget or None, not 500"]),
        (lambda: CircuitBreaker(max_open_for=4), ["CircuitBreaker: max_open_for", "at least 5", "not 4"]),
        (lambda: CircuitBreaker(max_open_for=math.nan), ["CircuitBreaker: max_open_for", "not nan"]),
        (lambda: CircuitBreaker(listeners=5), ["CircuitBreaker: listeners", "pybreaker.CircuitBreakerListener", "5"]),
        (lambda: CircuitBreaker(listeners=[print]), ["CircuitBreaker: listeners", "pybreaker.CircuitBreakerListener"]),
        (lambda: Throttle(None, burst=2), ["Throttle: burst goes with a rate", "not with None"]),
        (lambda: Throttle(None, strict=True), ["Throttle: strict goes with a rate and without burst"]),
        (lambda: Throttle(1, burst=1, strict=True), ["Throttle: strict goes with a rate and without burst"]),
        (
            lambda: ConcurrencyLimit(1, release_on="end"),
            ["ConcurrencyLimit: release_on must be one of 'body', 'headers'", "not 'end'"],
        ),
    ],
)
def test_other_bad_settings_are_refused(make: Callable[[], Any], words: list[str]) -> None:
    """What is malformed in other ways than a number is refused at construction, just as clearly."""
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert str(caught.value).startswith(words[0])
    assert [word for word in words if word not in str(caught.value)] == []


def test_unknown_settings_are_refused() -> None:
    """A misspelt setting is a TypeError that names it."""
    with pytest.raises(TypeError, match="minimum_call"):
        CircuitBreaker(minimum_call=5)  # type: ignore[call-arg]


# -- clients and transports

BOTH = pytest.mark.parametrize("make", [Client, AsyncClient, Transport, AsyncTransport], ids=lambda make: make.__name__)


@BOTH
@pytest.mark.parametrize(
    "policies", [5, "x", Retry(), Retry, [Retry()], {"*": Stack(Retry())}], ids=lambda given: type(given).__name__
)
def test_policies_of_the_wrong_type_are_refused(make: Callable[..., Any], policies: Any) -> None:
    """A client takes a Stack, Endpoints or None, and says so when given anything else."""
    with pytest.raises((TypeError, seawall.StackError), match="policies must be a Stack, Endpoints or None, not "):
        make(policies)


@BOTH
@pytest.mark.parametrize("state", [5, State, {}], ids=repr)
def test_a_state_of_the_wrong_type_is_refused(make: Callable[..., Any], state: Any) -> None:
    """`state=` takes a State or None, which means one of its own."""
    with pytest.raises(TypeError, match=r"state must be a seawall\.State or None, not "):
        make(state=state)
    assert isinstance(make(state=None).state, State)


@BOTH
@pytest.mark.parametrize(
    ("listeners", "words"),
    [
        (print, "listeners must be a collection of functions, not <built-in"),
        ([5], "listeners must be callable, not 5"),
        ([suspicious], "listeners must be a plain function, but <function suspicious"),
    ],
    ids=["one", "number", "async"],
)
def test_listeners_of_the_wrong_type_are_refused(make: Callable[..., Any], listeners: Any, words: str) -> None:
    """`listeners=` takes several plain functions."""
    with pytest.raises(TypeError, match=words):
        make(listeners=listeners)


@pytest.mark.parametrize(
    ("make", "transport", "words"),
    [
        (Client, httpx.AsyncHTTPTransport(verify=False), "Transport: transport must be a sync transport of httpx"),
        (Transport, AsyncPool(verify=False), "Transport: transport must be a sync transport of httpx"),
        (AsyncClient, httpx.HTTPTransport(verify=False), "AsyncTransport: transport must be an async transport"),
        (AsyncTransport, Pool(verify=False), "AsyncTransport: transport must be an async transport of httpx"),
        (Client, 5, "something with handle_request"),
        (Client, httpx.HTTPTransport, "something with handle_request"),
        (AsyncClient, "http://a.example", "something with handle_async_request"),
    ],
    ids=["client", "transport", "async client", "async transport", "number", "class", "url"],
)
def test_a_transport_of_the_wrong_kind_is_refused(make: Callable[..., Any], transport: Any, words: str) -> None:
    """A sync transport in an async client, or the other way round, is refused at construction."""
    with pytest.raises(TypeError, match=words):
        make(transport=transport)


@pytest.mark.parametrize("make", [Client, AsyncClient], ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limits": 5}, rf"Client: limits must be {httpx.__name__}\.Limits, not 5"),
        ({"limits": httpx.Limits(max_connections=-1)}, "Pool: max_connections must be a whole number of at least 1"),
        ({"mounts": [5]}, r"Client: mounts must map patterns to transports, not \[5\]"),
        ({"mounts": {"all://": 5}}, "Transport: transport must be an? a?sync transport of httpx"),
        ({"proxy": 5}, rf"Pool: proxy must be a URL, a {httpx.__name__}\.Proxy or None, not 5"),
        ({"proxy": "ftp://proxy.example"}, "proxy URL.*ftp://proxy.example"),
        ({"time_out": 5}, "time_out"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_client_options_of_the_wrong_kind_are_refused(
    make: Callable[..., Any], options: dict[str, Any], words: str
) -> None:
    """Options of httpx that Seawall handles itself are checked as well as httpx checks the others."""
    with pytest.raises((TypeError, ValueError), match=words):
        make(**options)


def test_pools_refuse_at_construction_what_httpx_would_refuse_at_the_first_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pool's arguments are tried once when it is made, so that a missing extra is known at once."""
    with pytest.raises(TypeError, match="Pool: socket_options must be a collection of socket options, not 5"):
        Pool(socket_options=5)

    def without_socks(**options: Any) -> None:
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")

    monkeypatch.setattr(httpx, "HTTPTransport", without_socks)
    with pytest.raises(ImportError, match="socksio"):
        Pool(proxy="socks5://proxy.example")


@pytest.mark.parametrize("make", [Client, Transport], ids=lambda make: make.__name__)
def test_an_async_limiter_is_refused_in_a_sync_client(make: Callable[..., Any]) -> None:
    """`Throttle(AsyncLimiter(...))` cannot wait in a thread: refused at construction, with what to write instead."""
    policy = Throttle(aiolimiter.AsyncLimiter(10, 1))
    with pytest.raises(seawall.StackError, match=r"Throttle: an AsyncLimiter belongs to asyncio .* Throttle\(rate, pe"):
        make(Stack(policy))
    with pytest.raises(seawall.StackError, match="Throttle: an AsyncLimiter"):
        make(seawall.Endpoints({"https://a.example": Stack(policy)}))
    assert AsyncTransport(Stack(policy)).state.snapshot() == []


def test_an_async_client_needs_a_running_loop() -> None:
    """An async call outside of asyncio and of virtual time is told what it can run under, once it has to wait."""
    backoff = Stack(Retry(wait=lambda state: 1.0))
    for client in (AsyncClient(backoff, transport=ScriptedServer(503)), AsyncClient(Stack(Retry()))):
        with pytest.raises(RuntimeError, match=r"run under asyncio .*VirtualRuntime.*none is running"):
            client.get("https://a.example").send(None)


class Suspends(seawall.Policy[None]):
    """Awaits something of its own."""

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        await Foreign()
        return await next(call)

    def __repr__(self) -> str:
        return "Suspends()"


class Foreign:
    def __await__(self) -> Any:
        yield "something of asyncio"


def test_a_policy_that_suspends_in_a_sync_client_is_named() -> None:
    """A policy that awaits what blocks no thread gets an error that names it, not the policies around it."""
    with (
        Client(Stack(Timeout(5), Suspends(), Retry()), transport=httpx.MockTransport(lambda r: None)) as client,
        pytest.raises(RuntimeError, match=r"^Suspends\(\) suspended in a sync client: a policy may only await"),
    ):
        client.get("https://a.example")


def test_an_asynchronous_strategy_in_disguise_is_named() -> None:
    """A plain function that returns something to await is told apart when it is first used."""
    stack = Stack(Retry(wait=lambda state: suspicious()))
    transport = httpx.MockTransport(lambda request: httpx.Response(503))
    with Client(stack, transport=transport) as client, pytest.raises(TypeError, match=r"Retry: .* is asynchronous"):
        client.get("https://a.example")


def test_an_unknown_circuit_lists_the_near_ones() -> None:
    """`state.circuit(...)` of an unknown key is a KeyError that lists what is near, or says there is none."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    with Client(Stack(CircuitBreaker()), transport=transport) as client:
        with pytest.raises(KeyError, match=r"no circuit 'https://api\.example'; there is none"):
            client.state.circuit("https://api.example")
        client.get("https://api.example")
        with pytest.raises(KeyError, match=r"no circuit 'https://apo\.example'; there is 'https://api\.example'"):
            client.state.circuit("https://apo.example")


def test_a_seawall_circuit_refuses_calls_of_its_own() -> None:
    """The pybreaker view of a circuit steers and shows it; `call` on it says where calls go instead."""
    with Client(Stack(CircuitBreaker()), transport=httpx.MockTransport(lambda request: httpx.Response(200))) as client:
        client.get("https://a.example")
        breaker = client.state.circuit("https://a.example").breaker
    assert isinstance(breaker, pybreaker.CircuitBreaker)
    for call in (lambda: breaker.call(print), lambda: breaker.call_async(print), breaker.calling):
        with pytest.raises(NotImplementedError, match="admits the calls of its own clients"):
            call()
    with pytest.raises(AttributeError, match=r"changes through open\(\), close\(\) and half_open\(\)"):
        breaker.state = "open"
