"""Edges of Retry: what a strategy is shown and asked, what funds a budget, what is logged and told."""

import logging
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import tenacity
from drivers import exchange, known

import seawall
from seawall import Retry, RetryBudget
from seawall._events import GaveUp, RetryScheduled
from seawall.httpx import AsyncClient
from seawall.testing import Recorder, ScriptedServer, VirtualRuntime

AT_ONCE = tenacity.wait_none()
ORIGIN = "https://api.example.com"


def is_500(state: tenacity.RetryCallState) -> bool:
    """A strategy: failed is a response of status 500."""
    assert state.outcome is not None
    return not state.outcome.failed and state.outcome.result().status_code == 500


@pytest.mark.parametrize("failure", [429, httpx.ConnectError, httpx.ConnectTimeout])
def test_what_was_provably_not_done_is_repeated_even_if_it_may_not_be(driver: str, failure: Any) -> None:
    """idempotent=False forbids doing it twice; a request that was refused or never sent was not done once."""
    done = exchange(driver, ScriptedServer(failure), Retry(wait=AT_ONCE), seawall={"idempotent": False})
    assert done.status == 200


@pytest.mark.parametrize("failure", [503, httpx.ReadError])
def test_what_may_have_been_done_is_not_repeated_if_it_may_not_be(driver: str, failure: Any) -> None:
    """idempotent=False leaves every other outcome to the caller."""
    done = exchange(driver, ScriptedServer(failure), Retry(wait=AT_ONCE), seawall={"idempotent": False})
    assert done.report.gave_up == "method"


def test_a_strategy_is_shown_what_tenacity_shows() -> None:
    """The retry state has tenacity's fields: a Retrying, the request as its argument, outcomes with their numbers."""
    seen: list[Any] = []

    def look(state: tenacity.RetryCallState) -> bool:
        assert state.outcome is not None
        seen.append((state.attempt_number, state.outcome.attempt_number, state.kwargs, state.args[0].method))
        assert isinstance(state.retry_object, tenacity.Retrying)
        return is_500(state)

    exchange("virtual", ScriptedServer(500, 500), Retry(wait=AT_ONCE, retry=look))
    assert seen == [(1, 1, {}, "GET"), (2, 2, {}, "GET"), (3, 3, {}, "GET")]


def test_an_outcome_that_is_not_retried_asks_for_no_wait_and_no_stop() -> None:
    """Where the `retry` strategy says no, or a policy further in rejects, the other strategies are left alone."""

    def never(state: Any) -> Any:
        raise AssertionError("asked without need")

    policy = Retry(retry=is_500, wait=never, stop=never)
    assert exchange("virtual", ScriptedServer(404), policy).status == 404
    full = seawall.Throttle(1, 10.0, max_wait=1)
    state = seawall.State()
    assert exchange("virtual", ScriptedServer(), policy, full, state=state).status == 200
    refused = exchange("virtual", ScriptedServer(), policy, full, state=state)
    assert isinstance(refused.error, seawall.WaitTooLong)


@pytest.mark.parametrize(("script", "tokens"), [([200], 51), ([500, 200], 50), ([500, 500], 48)])
def test_a_budget_is_funded_the_same_under_a_strategy_of_one_s_own(script: list[int], tokens: float) -> None:
    """With `retry=` too, a first success adds to the budget, a retry that succeeds is refunded, a failed one is not."""
    budget = RetryBudget(capacity=100, transient=2)
    policy, state = Retry(2, wait=AT_ONCE, retry=is_500, budget=budget), seawall.State()
    for _ in range(25):  # to have it at 50 first
        exchange("virtual", ScriptedServer(500, 500), policy, state=state)
    assert known(state, Retry)["tokens"] == 50
    exchange("virtual", ScriptedServer(*script), policy, state=state)
    assert known(state, Retry)["tokens"] == tokens


def test_an_answer_that_was_never_sent_for_may_ask_for_a_wait() -> None:
    """A policy further in that answers by itself is retried like a server, though there is no attempt to note it on."""

    @dataclass(frozen=True)
    class Busy(seawall.Policy[None]):
        async def handle(self, call: Any, state: None, next: Any) -> Any:
            if call.waited:
                return await next(call)
            return httpx.Response(503, headers={"Retry-After": "3"}, request=call.request)

    done = exchange("virtual", ScriptedServer(), Retry(wait=AT_ONCE), Busy())
    assert (done.status, done.took) == (200, 3)
    assert [attempt.waited for attempt in done.report.attempts] == [3]


@pytest.mark.parametrize("option", ["wait", "stop", "retry"])
def test_a_strategy_that_turns_out_to_be_async_is_named(option: str) -> None:
    """The error says which of them cannot be awaited."""

    class Late:
        def __call__(self, state: Any) -> Any:
            async def answer() -> None: ...

            return answer()

        def __repr__(self) -> str:
            return "<the late one>"

    done = exchange("virtual", ScriptedServer(500), Retry(**{option: Late()}))
    assert isinstance(done.error, TypeError)
    assert str(done.error) == (
        "Retry: <the late one> is asynchronous; tenacity's plain strategies and functions are allowed"
    )


@pytest.mark.parametrize(("failure", "named"), [(503, "503"), (httpx.ReadError("token=secret"), "ReadError")])
def test_attempts_are_logged_without_what_errors_say(
    caplog: pytest.LogCaptureFixture, failure: Any, named: str
) -> None:
    """One line for each failed attempt and one for giving up, at DEBUG; errors by their type, which tells no secret."""
    caplog.set_level(logging.DEBUG, "seawall")
    exchange("virtual", ScriptedServer(then=failure), Retry(2, wait=tenacity.wait_fixed(1.5)))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.DEBUG, f"attempt 1 at {ORIGIN} failed ({named}); next in 1.5 s"),
        (logging.DEBUG, f"gave up on {ORIGIN} after attempt 2: attempts"),
    ]


def test_giving_up_for_want_of_budget_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """An exhausted budget is an operator's business, other reasons are not."""
    caplog.set_level(logging.DEBUG, "seawall")
    exchange("virtual", ScriptedServer(500), Retry(budget=RetryBudget(capacity=1)))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, f"gave up on {ORIGIN} after attempt 1: budget")
    ]


@pytest.mark.parametrize(
    ("failure", "status", "error"), [(503, 503, None), (httpx.ReadError, None, "ReadError")], ids=str
)
def test_events_tell_each_retry_and_the_end(failure: Any, status: int | None, error: str | None) -> None:
    """RetryScheduled has the failed attempt's number, its status or error, and the wait; GaveUp the reason."""
    recorder = Recorder()

    async def main() -> None:
        stack = seawall.Stack(Retry(2, wait=tenacity.wait_fixed(1.5)))
        async with AsyncClient(stack, transport=ScriptedServer(then=failure), listeners=[recorder]) as c:
            try:
                await c.get(ORIGIN)
            except httpx.ReadError:
                assert error

    VirtualRuntime().run(main())
    assert recorder.of(RetryScheduled) == [
        RetryScheduled(endpoint="*", key=ORIGIN, attempt=1, wait=1.5, status=status, error=error)
    ]
    assert recorder.of(GaveUp) == [GaveUp(endpoint="*", key=ORIGIN, attempt=2, reason="attempts")]
