"""Every outcome of a request, and what each policy makes of it, through real clients down to a mocked httpcore.

One table of outcomes serves all tests. respx stands in for httpcore, so clients, policies, the pool and httpx's own
transports are the real ones. Nothing waits: every backoff is 0.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx
import pytest
import respx
import tenacity
from drivers import TLS, URL, Exchange, exchange, known

import seawall
import seawall.httpx
from seawall import CircuitBreaker, CircuitOpen, ConcurrencyLimit, ReadBody, Retry, Stack, Throttle, TimedOut, Timeout


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks in the middle."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"half"
        raise httpcore.ReadError("the connection broke")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


@dataclass(frozen=True)
class Outcome:
    """How a request can end, and what each policy is to make of that."""

    name: str
    make: Callable[[httpx.Request], httpx.Response]
    error: type[Exception] | None = None
    status: int | None = None
    retried: bool = False
    """Whether Retry repeats a GET."""
    retried_post: bool = False
    """Whether it repeats a POST too."""
    verdict: str = "success"
    """What a circuit counts: "success", "failure" or "neutral"."""
    pauses: bool = False
    """Whether a Retry-After with it pauses a Throttle."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        return self.make(request)


def answer(status: int, **expected: Any) -> Outcome:
    """A response of this status, with the Retry-After that the request names."""

    def make(request: httpx.Request) -> httpx.Response:
        later = {"retry-after": request.headers["later"]} if "later" in request.headers else {}
        return httpx.Response(status, headers=later, content=b"body")

    return Outcome(f"{status}", make, status=status, **expected)


def failure(raised: type[Exception], seen: type[Exception], **expected: Any) -> Outcome:
    """An error of httpcore's, and the httpx error that a caller sees."""

    def make(request: httpx.Request) -> httpx.Response:
        raise raised("scripted")

    return Outcome(seen.__name__, make, error=seen, **expected)


FAILED = {"retried": True, "verdict": "failure"}
NOT_SENT = {**FAILED, "retried_post": True}
NEUTRAL = {"verdict": "neutral"}
OUTCOMES = [
    *(answer(status) for status in (200, 204, 301, 400, 401, 404, 422, 501)),
    answer(408, retried=True, verdict="neutral"),
    answer(429, retried=True, retried_post=True, verdict="neutral", pauses=True),
    answer(503, **FAILED, pauses=True),
    *(answer(status, **FAILED) for status in (500, 502, 504, 520, 521, 522, 523, 524, 529)),
    failure(httpcore.ConnectError, httpx.ConnectError, **NOT_SENT),
    failure(httpcore.ConnectTimeout, httpx.ConnectTimeout, **NOT_SENT),
    failure(httpcore.ReadTimeout, httpx.ReadTimeout, **FAILED),
    failure(httpcore.WriteTimeout, httpx.WriteTimeout, **FAILED),
    failure(httpcore.ReadError, httpx.ReadError, **FAILED),
    failure(httpcore.WriteError, httpx.WriteError, **FAILED),
    failure(httpcore.RemoteProtocolError, httpx.RemoteProtocolError, **FAILED),
    failure(httpcore.ProxyError, httpx.ProxyError, **FAILED),
    failure(httpcore.PoolTimeout, httpx.PoolTimeout, **NEUTRAL),
    failure(httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol, **NEUTRAL),
    failure(httpcore.LocalProtocolError, httpx.LocalProtocolError, **NEUTRAL),
    failure(TypeError, TypeError, **NEUTRAL),
    Outcome(
        "broken body",
        lambda request: httpx.Response(200, headers={"content-length": "9"}, stream=Broken()),
        error=httpx.ReadError,
        verdict="failure",
    ),
]
BROKEN_BODY = OUTCOMES[-1]


def RECOVERED(request: httpx.Request) -> httpx.Response:  # noqa: N802 - stands among the outcomes
    """A server that works again."""
    return httpx.Response(200, text="recovered")


RETRIED = [outcome for outcome in OUTCOMES if outcome.retried]

each_outcome = pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.name)
each_retried = pytest.mark.parametrize("outcome", RETRIED, ids=lambda outcome: outcome.name)
AT_ONCE = Retry(3, wait=tenacity.wait_none())


@dataclass
class Wire:
    """Sends requests through a real client over a mocked httpcore."""

    driver: str
    route: respx.Route
    state: seawall.State

    def send(self, *policies: seawall.Policy[Any], **options: Any) -> Exchange:
        return exchange(self.driver, None, *policies, state=self.state, **options)

    @property
    def sent(self) -> int:
        """How many requests went out."""
        return self.route.call_count


@pytest.fixture(params=["threads", "asyncio"], ids=["sync", "async"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """A client's way to a server that answers as `wire.route.side_effect` says."""
    with respx.mock(assert_all_called=False) as router:
        yield Wire(request.param, router.route(url=URL), seawall.State())


def assert_unchanged(done: Exchange, outcome: Outcome) -> None:
    """The caller got what a client without Seawall gets."""
    assert done.status == outcome.status
    assert type(done.error) is (outcome.error or type(None))
    if done.response is not None:
        assert done.response.content == b"body"


# -- Retry


@each_outcome
def test_retry_repeats_what_another_attempt_may_mend(wire: Wire, outcome: Outcome) -> None:
    """A GET that failed for now is sent again and recovers; anything else comes back at once, unchanged."""
    wire.route.side_effect = [outcome, RECOVERED]
    done = wire.send(AT_ONCE)
    assert wire.sent == (2 if outcome.retried else 1)
    if outcome.retried:
        assert done.response is not None
        assert done.response.text == "recovered"
        assert done.report.attempts[0].status == outcome.status
        assert type(done.report.attempts[0].error) is (outcome.error or type(None))
    else:
        assert_unchanged(done, outcome)


@each_outcome
def test_retry_repeats_a_post_only_if_it_had_no_effect(wire: Wire, outcome: Outcome) -> None:
    """Of a POST only a refusal, or a connection that was never made, is repeated."""
    wire.route.side_effect = [outcome, RECOVERED]
    done = wire.send(AT_ONCE, method="POST", content=b"pay")
    assert wire.sent == (2 if outcome.retried_post else 1)
    if outcome.retried_post:
        assert [call.request.content for call in wire.route.calls] == [b"pay", b"pay"]
    else:
        assert_unchanged(done, outcome)


@each_retried
def test_retry_repeats_any_failed_post_with_an_idempotency_key(wire: Wire, outcome: Outcome) -> None:
    """Under one key for all attempts a POST is as safe as a GET."""
    wire.route.side_effect = [outcome, RECOVERED]
    assert wire.send(seawall.IdempotencyKey(), AT_ONCE, method="POST", content=b"pay").status == 200
    assert len({call.request.headers["idempotency-key"] for call in wire.route.calls}) == 1


@each_retried
def test_retries_that_run_out_end_in_the_real_outcome(wire: Wire, outcome: Outcome) -> None:
    """The last response is returned, or the last error raised, never a wrapper."""
    wire.route.side_effect = outcome
    done = wire.send(AT_ONCE)
    assert wire.sent == 3
    assert_unchanged(done, outcome)
    assert done.report.gave_up == "attempts"


@each_outcome
def test_a_budget_pays_for_failures_only(wire: Wire, outcome: Outcome) -> None:
    """Only what was repeated in vain costs tokens: 5 after a 429 or 503, else 14."""
    wire.route.side_effect = outcome
    wire.send(Retry(2, wait=tenacity.wait_none()))
    cost = 0 if not outcome.retried else 5 if outcome.status in (429, 503) else 14
    assert known(wire.state, Retry)["tokens"] == 500 - cost


def test_a_broken_body_is_retried_if_it_is_read(wire: Wire) -> None:
    """With ReadBody inside Retry a body that breaks is one more failure that another attempt mends."""
    wire.route.side_effect = [BROKEN_BODY, RECOVERED]
    done = wire.send(AT_ONCE, ReadBody(100))
    assert done.response is not None
    assert done.response.text == "recovered"


# -- CircuitBreaker


@each_outcome
def test_a_circuit_counts_what_says_something_about_the_server(wire: Wire, outcome: Outcome) -> None:
    """Failures and successes count; what the client did itself, 408 and 429 count for nothing."""
    wire.route.side_effect = outcome
    assert_unchanged(wire.send(CircuitBreaker()), outcome)
    circuit = known(wire.state, CircuitBreaker)
    counted = {"success": (1, 0), "failure": (1, 1), "neutral": (0, 0)}[outcome.verdict]
    assert (circuit["calls"], circuit["failures"]) == counted


@each_outcome
def test_a_circuit_opens_for_failures_only(wire: Wire, outcome: Outcome) -> None:
    """After a failure the next call is rejected and not sent; after anything else it is let through."""
    wire.route.side_effect = [outcome, RECOVERED]
    policy = CircuitBreaker(consecutive=1)
    assert_unchanged(wire.send(policy), outcome)
    done = wire.send(policy)
    if outcome.verdict == "failure":
        assert isinstance(done.error, CircuitOpen)
        assert isinstance(done.error, httpx.TransportError)
        assert wire.sent == 1
    else:
        assert done.status == 200


@each_outcome
def test_a_half_open_circuit_closes_for_successes_only(wire: Wire, outcome: Outcome) -> None:
    """A probe that succeeds closes the circuit, one that fails opens it again, a neutral one gives its place back."""
    wire.route.side_effect = [httpx.Response(500), outcome]
    policy = CircuitBreaker(consecutive=1)
    wire.send(policy)
    [circuit] = wire.state.circuits()
    circuit.half_open()
    assert_unchanged(wire.send(policy), outcome)
    assert circuit.state == {"success": "closed", "failure": "open", "neutral": "half-open"}[outcome.verdict]
    assert known(wire.state, CircuitBreaker)["probes"] == 0


# -- ConcurrencyLimit and the pool


@pytest.mark.parametrize("release_on", ["body", "headers"])
@each_outcome
def test_a_slot_is_given_back_after_any_outcome(wire: Wire, outcome: Outcome, release_on: Any) -> None:
    """Whatever becomes of a request, its slot is free for the next one."""
    wire.route.side_effect = [outcome, RECOVERED]
    policy = ConcurrencyLimit(1, queue=0, release_on=release_on)
    assert_unchanged(wire.send(policy), outcome)
    assert known(wire.state, ConcurrencyLimit)["in_use"] == 0
    assert wire.send(policy).status == 200


@each_outcome
def test_a_slot_is_held_for_one_attempt_at_a_time(wire: Wire, outcome: Outcome) -> None:
    """Retries of one call need no more than one slot."""
    wire.route.side_effect = [outcome, outcome, RECOVERED]
    done = wire.send(AT_ONCE, ConcurrencyLimit(1, queue=0))
    assert not isinstance(done.error, seawall.QueueFull)
    assert known(wire.state, ConcurrencyLimit)["in_use"] == 0


@each_outcome
def test_a_connection_is_given_back_after_any_outcome(wire: Wire, outcome: Outcome) -> None:
    """A pool of one connection serves the next request, whatever became of the last."""
    wire.route.side_effect = [outcome, RECOVERED]
    options: Any = {"verify": TLS, "limits": httpx.Limits(max_connections=1), "timeout": httpx.Timeout(5, pool=0.001)}
    stack = Stack(Timeout(60))

    def sync() -> httpx.Response:
        with seawall.httpx.Client(stack, **options) as client:
            with contextlib.suppress(httpx.TransportError, TypeError):
                client.get(URL)
            return client.get(URL)

    async def awaiting() -> httpx.Response:
        async with seawall.httpx.AsyncClient(stack, **options) as client:
            with contextlib.suppress(httpx.TransportError, TypeError):
                await client.get(URL)
            return await client.get(URL)

    response = sync() if wire.driver == "threads" else asyncio.run(awaiting())
    assert response.text == "recovered"


# -- Throttle


@each_outcome
def test_a_throttle_pauses_when_the_server_refuses(wire: Wire, outcome: Outcome) -> None:
    """A 429 or 503 that says when to come back pauses the key; the answer itself comes back unchanged."""
    wire.route.side_effect = outcome
    assert_unchanged(wire.send(Throttle(None), headers={"later": "30"}), outcome)
    assert (known(wire.state, Throttle)["paused_until"] is not None) is outcome.pauses


@each_outcome
def test_a_paused_throttle_lets_nothing_through(wire: Wire, outcome: Outcome) -> None:
    """During the pause a call that cannot wait that long fails at once, and nothing is sent."""
    wire.route.side_effect = [outcome, RECOVERED]
    wire.send(Throttle(None), headers={"later": "30"})
    done = wire.send(Throttle(None), seawall={"timeout": 20.0})
    if outcome.pauses:
        assert isinstance(done.error, seawall.WaitTooLong)
        assert wire.sent == 1
    else:
        assert done.status == 200


@each_outcome
def test_a_throttle_that_does_not_follow_the_server_does_not_pause(wire: Wire, outcome: Outcome) -> None:
    """follow_server=False looks at no answer."""
    wire.route.side_effect = outcome
    assert_unchanged(wire.send(Throttle(None, follow_server=False), headers={"later": "30"}), outcome)
    assert known(wire.state, Throttle)["paused_until"] is None


@each_outcome
def test_a_token_is_spent_by_any_outcome(wire: Wire, outcome: Outcome) -> None:
    """What was sent counts, however it ended."""
    wire.route.side_effect = outcome
    policy = Throttle(1, per=3600, max_wait=1)
    wire.send(policy)
    assert isinstance(wire.send(policy).error, seawall.WaitTooLong)
    assert wire.sent == 1


# -- Timeout


@pytest.mark.parametrize("policies", [(Timeout(60),), (Retry(1), Timeout(60)), (Timeout(90), Retry(1), Timeout(60))])
@each_outcome
def test_a_timeout_changes_nothing_that_came_in_time(wire: Wire, outcome: Outcome, policies: Any) -> None:
    """Every answer and error in time comes back unchanged; httpx's own timeouts are not taken for ours."""
    wire.route.side_effect = outcome
    done = wire.send(*policies)
    assert_unchanged(done, outcome)
    assert not isinstance(done.error, TimedOut)


# -- all together


@each_outcome
def test_the_standard_stack_ends_in_the_real_outcome(wire: Wire, outcome: Outcome) -> None:
    """All recommended policies together neither swallow nor disguise any outcome, and hold nothing afterwards."""
    wire.route.side_effect = outcome
    done = wire.send(*seawall.standard().replace(AT_ONCE))
    assert_unchanged(done, outcome)
    assert wire.sent == (3 if outcome.retried else 1)
    assert known(wire.state, ConcurrencyLimit)["in_use"] == 0
    failures = wire.sent if outcome.verdict == "failure" else 0
    assert known(wire.state, CircuitBreaker)["failures"] == failures
