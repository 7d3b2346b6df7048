"""What the simulated server does with its slots, its line and those who have gone."""

from typing import Any

import httpx
import pytest
from small import PATIENT, scenario

import seawall
from seawall import Retry, Stack, Throttle, Timeout
from seawall._headers import quota, retry_after
from seawall.testing.simulation import (
    Bursts,
    Constant,
    Poisson,
    Quota,
    Result,
    Schedule,
    Server,
    Trace,
    Traffic,
    simulate,
)
from seawall.testing.simulation.quota import Dialect, Meter

ONE = Constant(1.0)


def at_once(count: int, clients: int = 1) -> Traffic:
    return Traffic(arrivals=Bursts(size=count), clients=clients)


def ends(result: Result) -> list[float]:
    """When each call ended, in the order in which they were made."""
    return [round(ended, 6) for ended in result.tally.calls.ended]


def outcomes(result: Result) -> dict[str, int]:
    """How calls ended, as far as there were any."""
    return {name: count for name, count in result.outcomes().items() if count}


def run(server: Server, *traffic: Traffic, stack: Any = PATIENT, **options: Any) -> Result:
    return simulate(scenario(server, *traffic, **options), stack)


@pytest.mark.parametrize(("discipline", "expected"), [("fifo", [1, 2, 3, 4]), ("lifo", [1, 4, 3, 2])])
def test_the_line_has_a_discipline(discipline: Any, expected: list[float]) -> None:
    """A fifo line serves who came first, a lifo line who came last."""
    server = Server(slots=1, service=ONE, discipline=discipline)
    assert ends(run(server, Traffic(arrivals=Trace((0, 0.1, 0.2, 0.3))))) == expected


@pytest.mark.parametrize("bound", [{"queue": 2}, {"queue_seconds": 2.0}], ids=["length", "seconds"])
def test_a_full_line_is_answered_at_once(bound: Any) -> None:
    """Beyond the bound of the line, in requests or in seconds of work, the answer is 503 at once."""
    result = run(Server(slots=1, service=ONE, **bound), at_once(5))
    assert ends(result) == [1, 2, 3, 0, 0]
    assert outcomes(result) == {"answered": 3, "failed": 2}


def test_it_goes_on_serving_those_who_have_gone() -> None:
    """A server that does not notice serves every request that it got; what nobody waits for is wasted."""
    result = run(Server(slots=1, service=ONE), at_once(4), stack=Stack(Timeout(1.5)), duration=10)
    assert ends(result) == [1, 1.5, 1.5, 1.5]
    assert sum(result.tally.useful) == 1
    assert sum(result.tally.wasted) == 3
    assert result.waste() == 0.75
    assert sum(result.tally.busy) == 4


def test_one_that_notices_drops_them() -> None:
    """A server that notices drops requests from its line, and frees the slots of those in service."""
    traffic = at_once(3), Traffic(name="late", arrivals=Trace((1.6,)))
    result = run(Server(slots=1, service=ONE, serves_the_gone=False), *traffic, stack=Stack(Timeout(1.5)), duration=10)
    assert ends(result) == [1, 1.5, 1.5, 2.6]
    assert sum(result.tally.busy) == 2.5
    assert sum(result.tally.useful) == 2
    assert sum(result.tally.wasted) == 0.5  # from 1 s, when the second was begun, until it was given up
    assert list(result.tally.waiting[:3]) == [2, 0, 0]


def test_slots_follow_their_schedule() -> None:
    """Slots that are taken away finish what they serve; those that come back take from the line at once."""
    server = Server(slots=Schedule.during(0.5, 5, 0, usually=2), service=ONE)
    result = run(server, at_once(3), duration=10)
    assert ends(result) == [1, 1, 6]
    assert sum(result.tally.slots[:10]) == pytest.approx(2 * 5.5)


def test_service_slows_down_with_its_load_and_with_time() -> None:
    """`per_concurrent` adds to each request what is in service with it; `slowdown` multiplies."""
    busy = run(Server(slots=None, service=ONE, per_concurrent=0.5), at_once(3))
    assert ends(busy) == [1.5, 2, 2.5]
    slow = run(Server(slots=None, service=ONE, slowdown=Schedule(1, [(5, 3)])), Traffic(arrivals=Trace((0, 6))))
    assert ends(slow) == [1, 9]


@pytest.mark.parametrize(
    ("failure", "outcome"), [(500, "failed"), (404, "failed"), ("ConnectError", "broken"), ("ReadError", "broken")]
)
def test_failures_come_at_once(failure: int | str, outcome: str) -> None:
    """A failing server answers with a status, or breaks the connection, at once."""
    server = Server(service=ONE, failing=Schedule.during(2, 4, 1, usually=0), failure=failure)
    result = run(server, Traffic(arrivals=Trace((1, 3, 5))))
    assert ends(result) == [2, 3, 6]
    assert outcomes(result) == {"answered": 2, outcome: 1}


def test_a_share_of_requests_fails() -> None:
    """A share of failures is met within what chance allows."""
    result = run(Server(failing=0.1), Traffic(arrivals=Poisson(100)), duration=100)
    assert result.success == pytest.approx(0.9, abs=3.29 * (0.09 / 10_000) ** 0.5)


def test_replicas_have_slots_of_their_own() -> None:
    """Requests go to replicas in turn, to the least busy one, or at random."""
    two = {"slots": 1, "service": ONE, "replicas": 2}
    for balance in ("in turn", "least busy"):
        assert ends(run(Server(balance=balance, **two), at_once(4))) == [1, 1, 2, 2]  # type: ignore[arg-type]
    many = run(Server(**two), at_once(100), duration=200)  # type: ignore[arg-type]
    longest = max(ends(many))
    assert 50 < longest < 66


def test_patience_is_the_callers_own() -> None:
    """A caller who gives up cancels the call; that is no timeout."""
    result = run(Server(slots=1, service=ONE), Traffic(arrivals=Bursts(size=3), patience=1.2))
    assert outcomes(result) == {"answered": 1, "cancelled": 2}
    assert ends(result) == [1, 1.2, 1.2]


def test_options_ride_on_every_call() -> None:
    """A group's options reach the policies: priorities order the line of a limit that groups share."""
    groups = [
        Traffic(name=name, arrivals=Trace((at,)), clients=1, state="one", options={"priority": priority})
        for name, at, priority in (("first", 0.0, 0), ("low", 0.1, -1), ("high", 0.2, 1))
    ]
    result = run(Server(slots=None, service=ONE), *groups, stack=Stack(seawall.ConcurrencyLimit(1)))
    assert ends(result) == [1, 3, 2]


@pytest.mark.parametrize(("state", "attempts"), [("one", 4), (None, 6)])
def test_clients_share_a_state_or_have_their_own(state: str | None, attempts: int) -> None:
    """With one State two clients share a circuit, which opens for both."""
    stack = Stack(seawall.CircuitBreaker(consecutive=2, open_for=100, failure_rate=1, minimum_calls=4))
    traffic = Traffic(arrivals=Trace((0, 1, 2, 3, 4, 5)), clients=2, state=state)
    result = simulate(scenario(Server(failing=Schedule(0, [(1.5, 1)]), service=Constant(0)), traffic), stack)
    assert sum(result.tally.attempts) == attempts
    assert len(result.tally.circuits) == (1 if state else 2)


# -- quotas


def test_a_window_and_a_bucket_admit_what_they_say() -> None:
    """A window admits so many until it ends, a bucket so many at once and then one by one."""
    window, bucket = Meter(Quota(rate=2, per=10)), Meter(Quota(rate=2, per=10, burst=3))
    assert [window.admit(at) for at in (1, 2, 3, 9.9, 10, 11, 12)] == [True, True, False, False, True, True, False]
    assert [bucket.admit(at) for at in (0, 0, 0, 0, 4.9, 5, 5)] == [True, True, True, False, False, True, False]


@pytest.mark.parametrize(("dialect", "seconds"), [("retry-after", 3), ("retry-after-date", 3), ("retry-after-ms", 2.5)])
def test_retry_after_is_what_seawall_reads(dialect: Dialect, seconds: float) -> None:
    """A refusal says how long to wait, as Seawall reads it: in whole seconds not below the truth, or exactly."""
    meter = Meter(Quota(rate=1, per=4, dialect=dialect))
    assert meter.admit(1.5)
    assert meter.headers(1.5, True) == {}
    assert not meter.admit(1.5)
    assert retry_after(httpx.Headers(meter.headers(1.5, False))) == seconds


@pytest.mark.parametrize(
    "dialect",
    [
        "ratelimit", "ratelimit-list", "ratelimit-fields", "x-ratelimit-delta", "x-ratelimit-epoch",
        "x-ratelimit-epoch-ms", "x-ratelimit-rfc3339", "x-ratelimit-go", "anthropic",
    ],
)  # fmt: skip
def test_every_dialect_is_what_seawall_reads(dialect: Dialect) -> None:
    """What is left, and until when, is read by Seawall as it was meant; points in time round up."""
    meter = Meter(Quota(rate=5, per=100, dialect=dialect, always=True))
    meter.admit(10.5)
    meter.admit(10.5)
    read = quota(httpx.Headers(meter.headers(10.5, True)))
    assert read is not None
    assert (read.remaining, read.limit) == (3, 5)
    assert 89.5 <= read.reset <= 90


def test_headers_are_for_refusals_unless_asked_for() -> None:
    """Without `always` only refusals tell of the quota; the dialect "none" never does."""
    plain, silent = Meter(Quota(rate=1, dialect="ratelimit")), Meter(Quota(rate=1, dialect="none", always=True))
    assert plain.headers(0, True) == {}
    assert plain.headers(0, False) != {}
    assert silent.headers(0, False) == {}


def test_a_throttle_follows_a_simulated_quota() -> None:
    """A client that follows what the server says is refused once, and then waits for the next window."""
    server = Server(slots=None, service=Constant(0.001), quota=Quota(rate=10, per=60, dialect="ratelimit", always=True))
    stack = Stack(Timeout(600), Retry(5), Throttle(None), Timeout(10))
    result = simulate(scenario(server, at_once(25), drain=300.0), stack)
    assert outcomes(result) == {"answered": 25}
    naive = simulate(scenario(server, at_once(25), drain=300.0), PATIENT)
    assert outcomes(naive) == {"answered": 10, "failed": 15}


def test_a_refusal_takes_no_slot_and_has_its_status() -> None:
    """What is over the quota is refused at once, with the quota's status and its own word for Retry-After."""
    meter = Meter(Quota(rate=1, retry_after=5, status=503))
    assert meter.admit(0)
    assert meter.headers(0, False) == {"Retry-After": "5"}
    result = run(Server(slots=1, service=ONE, quota=Quota(rate=1, per=60)), at_once(3))
    assert ends(result) == [1, 0, 0]


class Marking(seawall.Policy[None]):
    """Writes into the headers of each request and response."""

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        assert dict(call.request.headers) == {"host": "server"}
        call.request.headers["x-mark"] = "mine"
        response = await next(call)
        assert isinstance(response, httpx.Response)
        assert dict(response.headers) == {"content-length": "0"}
        response.headers["x-mark"] = "mine"
        assert not response.history
        response.history.append(response)
        assert await response.aread() == b""
        return response


def test_what_a_policy_writes_into_a_message_is_in_no_other() -> None:
    """Requests and responses share their parts until somebody looks at them, and never what is written."""
    result = run(Server(slots=1, service=ONE), at_once(3), stack=Stack(Marking()))
    assert outcomes(result) == {"answered": 3}
