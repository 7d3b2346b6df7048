"""tenacity is the vocabulary of Retry: its strategies are taken as they are, and see the call as it is."""

from typing import Any

import httpx
import pytest
import tenacity
import tenacity.asyncio
from drivers import Exchange, exchange

import seawall
from seawall import ConcurrencyLimit, Retry, Timeout
from seawall.testing import ScriptedServer, reply

NO_WAIT = tenacity.wait_none()
ERROR = httpx.ReadError("reset")


def run(server: Any, *policies: Any, **options: Any) -> Exchange:
    """One call in virtual time."""
    return exchange("virtual", server, *policies, **options)


@pytest.mark.parametrize(
    ("wait", "times"),
    [
        (tenacity.wait_none(), [0, 0, 0, 0]),
        (tenacity.wait_fixed(2), [0, 2, 4, 6]),
        (tenacity.wait_incrementing(start=1, increment=2), [0, 1, 4, 9]),
        (tenacity.wait_exponential(multiplier=1, max=3), [0, 1, 3, 6]),
        (tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(5)), [0, 1, 6, 11]),
        (tenacity.wait_fixed(1) + tenacity.wait_incrementing(start=0, increment=1), [0, 1, 3, 6]),
        (sum([tenacity.wait_fixed(1), tenacity.wait_fixed(2)]), [0, 3, 6, 9]),
        (lambda state: 4.0 if state.outcome.failed else 0, [0, 4, 8, 12]),
        (lambda state: state.attempt_number * 10.0, [0, 10, 30, 60]),
        (lambda state: -5, [0, 0, 0, 0]),
    ],
    ids=["none", "fixed", "incrementing", "exponential", "chain", "sum", "sum()", "outcome", "function", "negative"],
)
def test_any_wait_is_taken(wait: Any, times: list[float]) -> None:
    """Each of tenacity's waits, their sums, and plain functions decide when the next attempt is sent."""
    server = ScriptedServer(then=ERROR)
    run(server, Retry(4, wait=wait))
    assert [request.at for request in server.requests] == times


@pytest.mark.parametrize(
    ("stop", "sent"),
    [
        (tenacity.stop_never, 6),
        (tenacity.stop_after_attempt(3), 3),
        (tenacity.stop_after_delay(4), 3),
        (tenacity.stop_before_delay(4), 2),
        (tenacity.stop_after_attempt(5) | tenacity.stop_after_delay(4), 3),
        (tenacity.stop_after_attempt(4) & tenacity.stop_after_delay(4), 4),
        (tenacity.stop_before_delay(9) | tenacity.stop_after_attempt(4), 4),
        (lambda state: state.idle_for > 2, 2),
    ],
    ids=["never", "attempt", "after delay", "before delay", "or", "and", "before delay or attempt", "function"],
)
def test_any_stop_is_taken(stop: Any, sent: int) -> None:
    """Each of tenacity's stops, their combinations, and plain functions end the attempts. One takes 2 s here."""
    server = ScriptedServer(then=reply(503))
    done = run(server, Retry(6, wait=tenacity.wait_fixed(2), stop=stop))
    assert len(server.requests) == sent
    assert done.report.gave_up == ("attempts" if sent == 6 else "stop")


def test_stop_stands_on_top_of_attempts(driver: str) -> None:
    """A stop that would go on for ever is still bounded by `attempts`."""
    server = ScriptedServer(then=500)
    done = exchange(driver, server, Retry(2, wait=NO_WAIT, stop=tenacity.stop_after_attempt(5)))
    assert (len(server.requests), done.report.gave_up) == (2, "attempts")


def test_stop_before_delay_sees_the_upcoming_sleep() -> None:
    """The wait is asked before the stop, Retry-After included, so that stop_before_delay knows what comes."""
    server = ScriptedServer(reply(503, headers={"retry-after": "9"}))
    done = run(server, Retry(wait=NO_WAIT, stop=tenacity.stop_before_delay(9)))
    assert (done.status, done.report.gave_up, done.took) == (503, "stop", 0)


def empty(response: httpx.Response) -> bool:
    """Whether an answer says that there is nothing yet."""
    return response.status_code == 204


IF_EMPTY = tenacity.retry_if_result(empty)
IF_RESET = tenacity.retry_if_exception_type(httpx.ReadError)


@pytest.mark.parametrize(
    ("retry", "script", "sent"),
    [
        (IF_EMPTY, (204, 204, 200), 3),
        (IF_EMPTY, (503,), 1),
        (IF_EMPTY, (ERROR,), 1),
        (IF_RESET, (ERROR, 200), 2),
        (IF_RESET, (httpx.ConnectError,), 1),
        (IF_RESET, (503,), 1),
        (IF_EMPTY | IF_RESET, (204, ERROR, 200), 3),
        (IF_EMPTY & tenacity.retry_if_result(lambda response: True), (204, 200), 2),
        (IF_EMPTY & tenacity.retry_if_result(lambda response: False), (204,), 1),
        (tenacity.retry_if_not_result(lambda response: not empty(response)), (204, 200), 2),
        (tenacity.retry_if_exception_message(match="res.t"), (ERROR, 200), 2),
        (tenacity.retry_if_not_exception_type(httpx.ReadError), (httpx.ConnectError, ERROR), 2),
        (tenacity.retry_unless_exception_type(httpx.ReadError), (200, 200, ERROR), 3),
        (tenacity.retry_if_exception(lambda error: isinstance(error, KeyError)), (KeyError, 200), 2),
        (tenacity.retry_never, (503,), 1),
        (lambda state: state.attempt_number < 3, (200, 200, 200), 3),
    ],
)
def test_any_retry_is_taken(driver: str, retry: Any, script: tuple[Any, ...], sent: int) -> None:
    """A retry strategy sees every outcome, successes included, and takes the place of `statuses`."""
    server = ScriptedServer(*script, then=AssertionError("sent once more"))
    exchange(driver, server, Retry(4, wait=NO_WAIT, retry=retry))
    assert len(server.requests) == sent


def test_a_retry_that_is_always_is_bounded(driver: str) -> None:
    """A strategy that would repeat successes for ever ends with the attempts, in the last success."""
    server = ScriptedServer()
    done = exchange(driver, server, Retry(3, wait=NO_WAIT, retry=tenacity.retry_always))
    assert (done.status, len(server.requests), done.report.gave_up) == (200, 3, "attempts")


@pytest.mark.parametrize("outcome", [200, 500, ERROR], ids=["success", "failure", "error"])
def test_the_safety_rules_hold_for_any_retry(driver: str, outcome: Any) -> None:
    """A strategy cannot make a POST be repeated whose fate is unknown."""
    server = ScriptedServer(outcome)
    done = exchange(driver, server, Retry(wait=NO_WAIT, retry=tenacity.retry_always), method="POST")
    assert len(server.requests) == 1
    assert done.report.gave_up == "method"


def test_strategies_see_the_call_as_tenacity_shows_it() -> None:
    """The retry state is a real RetryCallState: number, outcome, times and sleeps of the runtime's clock."""
    seen: list[tuple[Any, ...]] = []

    def wait(state: tenacity.RetryCallState) -> float:
        outcome = state.outcome
        assert isinstance(state, tenacity.RetryCallState)
        assert outcome is not None
        said = outcome.exception() if outcome.failed else outcome.result().status_code
        seen.append((state.attempt_number, said, state.seconds_since_start, state.idle_for))
        assert state.args[0].method == "GET"
        return 2.0

    run(ScriptedServer(reply(503, after=1), ERROR, reply(500, after=1)), Retry(wait=wait))
    assert seen == [(1, 503, 1, 0), (2, ERROR, 3, 2), (3, 500, 6, 4)]


def test_strategies_are_asked_only_when_an_outcome_needs_a_decision(driver: str) -> None:
    """A success costs no strategy anything, unless it is a `retry` strategy, which sees them all."""

    def never(state: Any) -> Any:
        raise AssertionError("asked about a success")

    assert exchange(driver, ScriptedServer(), Retry(wait=never, stop=never)).status == 200


async def awaited(*given: Any) -> Any:
    """What no strategy may be."""
    raise AssertionError


@pytest.mark.parametrize(
    ("option", "strategy"),
    [
        ("wait", awaited),
        ("stop", awaited),
        ("retry", awaited),
        ("retry", tenacity.asyncio.retry_if_result(awaited)),
        ("retry", tenacity.asyncio.retry_if_exception(awaited)),
        ("retry", tenacity.retry_if_result(empty) | tenacity.asyncio.retry_if_result(awaited)),
        ("retry", tenacity.asyncio.retry_if_result(awaited) & tenacity.retry_if_result(empty)),
    ],
)
def test_async_strategies_are_refused(option: str, strategy: Any) -> None:
    """A strategy that wants to be awaited cannot work in a sync client, and is refused when the policy is made."""
    with pytest.raises(TypeError, match=f"Retry: {option} must be a plain function, but .* is asynchronous"):
        Retry(**{option: strategy})


@pytest.mark.parametrize("option", ["wait", "stop", "retry"])
def test_strategies_that_turn_out_to_be_async_are_refused(driver: str, option: str) -> None:
    """One that hides its coroutine in a plain function is refused when it is asked."""
    state = seawall.State()
    policy = Retry(**{option: lambda state: awaited()})
    done = exchange(driver, ScriptedServer(500), policy, ConcurrencyLimit(1), state=state)
    assert isinstance(done.error, TypeError)
    assert "is asynchronous; tenacity's plain strategies and functions are allowed" in str(done.error)


@pytest.mark.parametrize("option", ["wait", "stop", "retry"])
def test_a_strategy_that_raises_leaks_nothing(driver: str, option: str) -> None:
    """The error of a strategy is the caller's, and the response it was asked about is closed."""

    def fail(state: Any) -> Any:
        raise LookupError("in the strategy")

    server = ScriptedServer(reply(500, b"failed"))
    done = exchange(driver, server, Retry(**{option: fail}), ConcurrencyLimit(1))
    assert isinstance(done.error, LookupError)
    assert server.open == 0


@pytest.mark.parametrize("option", ["wait", "stop", "retry"])
@pytest.mark.parametrize("value", [3, "wait_fixed", [tenacity.wait_fixed(1)]])
def test_what_is_no_strategy_is_refused(option: str, value: Any) -> None:
    """A strategy is something to call."""
    with pytest.raises(TypeError, match=f"Retry: {option} must be callable"):
        Retry(**{option: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attempts": 0}, "Retry: attempts must be a whole number of at least 1, not 0"),
        ({"attempts": -3}, "Retry: attempts must be a whole number of at least 1, not -3"),
        ({"statuses": {99}}, "Retry: statuses must hold status codes from 100 to 599, not 99"),
        ({"methods": {"GE T"}}, "Retry: methods must hold HTTP methods"),
        ({"max_retry_after": -1}, "Retry: max_retry_after must be a number of at least 0, not -1"),
        ({"max_retry_after": float("nan")}, "Retry: max_retry_after must be a number of at least 0, not nan"),
        ({"key": "host"}, 'Retry: key must be "origin", "endpoint", "client" or a function'),
        ({"name": ""}, "Retry: name must be a non-empty string or None"),
    ],
)
def test_values_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    """Each option of Retry is checked at construction, by an error that names it and what is allowed."""
    with pytest.raises(ValueError, match=message):
        Retry(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 1.5},
        {"attempts": None},
        {"statuses": 503},
        {"statuses": "503"},
        {"methods": "GET"},
        {"budget": 500},
        {"wait": None},
    ],
    ids=str,
)
def test_values_of_the_wrong_type_are_refused(options: dict[str, Any]) -> None:
    """So are values of a type that the option does not take."""
    with pytest.raises(TypeError, match=f"Retry: {next(iter(options))} must"):
        Retry(**options)


def test_tenacity_strategies_respect_the_deadline() -> None:
    """Whatever the strategies say, no attempt begins after the deadline."""
    server = ScriptedServer(then=503)
    done = run(server, Timeout(10), Retry(99, wait=tenacity.wait_fixed(3), stop=tenacity.stop_never))
    assert [request.at for request in server.requests] == [0, 3, 6, 9]
    assert (done.status, done.report.gave_up, done.took) == (503, "deadline", 9)
