"""RetryBudget: retries as a share of successes, paid before the sleep, given back when nothing came of them."""

from typing import Any

import httpx
import pytest
import tenacity
from drivers import URL, Exchange, exchange, known

import seawall
import seawall.httpx
from seawall import Retry, RetryBudget, Stack, State
from seawall.httpx import AsyncClient
from seawall.testing import Cancelled, ScriptedServer, VirtualRuntime, reply

AT_ONCE = tenacity.wait_none()
ERROR = httpx.ReadError


def spend(*script: Any, attempts: int = 2, calls: int = 1, driver: str = "virtual", **budget: Any) -> list[float]:
    """The tokens that are left after each of some calls through one state."""
    state, server = seawall.State(), ScriptedServer(*script)
    policy = Retry(attempts, wait=AT_ONCE, budget=RetryBudget(**{"capacity": 100, **budget}))
    left = []
    for _ in range(calls):
        exchange(driver, server, policy, state=state)
        left.append(known(state, Retry)["tokens"])
    return left


def test_a_budget_is_full_at_first(driver: str) -> None:
    """A new key may be retried up to the capacity, and successes never go beyond it."""
    assert spend(200, driver=driver) == [100]


@pytest.mark.parametrize(("failure", "cost"), [(500, 14), (502, 14), (ERROR, 14), (429, 5), (503, 5)])
def test_a_retry_that_fails_is_paid_for(driver: str, failure: Any, cost: float) -> None:
    """A retry after a transient failure costs 14 tokens, one after a 429 or 503 costs 5."""
    assert spend(failure, 500, driver=driver) == [100 - cost]


def test_a_retry_that_succeeds_is_refunded(driver: str) -> None:
    """A retry that works gives back what it cost itself; the failed ones before it stay paid."""
    assert spend(500, 200, driver=driver) == [100]
    assert spend(500, 500, 200, attempts=3, driver=driver) == [86]


def test_a_success_funds_retries() -> None:
    """A call that works at once adds one token, so retries are a share of successes."""
    assert spend(500, 500, 200, 200, calls=3) == [86, 87, 88]


def test_costs_are_as_configured() -> None:
    """Each number of the budget is taken as given."""
    left = spend(500, 500, 429, 500, 200, calls=3, transient=30, throttled=20, success=3)
    assert left == [70, 50, 53]


def test_an_empty_budget_ends_the_attempts(driver: str) -> None:
    """When nothing is left the last real outcome is returned, and the report says so."""
    state = seawall.State()
    policy = Retry(9, wait=AT_ONCE, budget=RetryBudget(capacity=30))
    server = ScriptedServer(then=reply(500, b"real"))
    done = exchange(driver, server, policy, state=state)
    assert done.response is not None
    assert (done.response.content, done.report.gave_up, len(server.requests)) == (b"real", "budget", 3)
    again = exchange(driver, server, policy, state=state)
    assert (again.report.gave_up, len(server.requests)) == ("budget", 4)


def test_an_empty_budget_raises_the_real_error() -> None:
    """An error that cannot be paid for is the error itself."""
    error = ERROR("the real one")
    done = exchange("virtual", ScriptedServer(error), Retry(budget=RetryBudget(capacity=1)))
    assert done.error is error
    assert done.report.gave_up == "budget"


def test_an_empty_budget_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The logger `seawall` warns of an exhausted budget; it says nothing above DEBUG of an ordinary retry."""
    with caplog.at_level("INFO", logger="seawall"):
        exchange("virtual", ScriptedServer(500), Retry(wait=AT_ONCE))
        assert not caplog.records
        exchange("virtual", ScriptedServer(500), Retry(budget=RetryBudget(capacity=1)))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "budget" in caplog.messages[0]


def test_without_a_budget_every_retry_is_free(driver: str) -> None:
    """budget=None means none: only `attempts` bounds the retries."""
    server = ScriptedServer(then=500)
    done = exchange(driver, server, Retry(100, wait=AT_ONCE, budget=None))
    assert (len(server.requests), done.report.gave_up) == (100, "attempts")


def tokens(state: seawall.State) -> float:
    return known(state, Retry)["tokens"]


def test_a_budget_is_paid_before_the_sleep_and_given_back_on_cancellation() -> None:
    """The tokens are gone while the call sleeps, so that others see it; a cancelled sleep returns them."""
    runtime, state = VirtualRuntime(), seawall.State()

    async def main() -> None:
        stack = Stack(Retry(wait=tenacity.wait_fixed(10)))
        async with seawall.httpx.AsyncClient(stack, transport=ScriptedServer(500), state=state) as client:
            task = runtime.spawn(client.get(URL))
            await runtime.sleep(5)
            assert tokens(state) == 486
            task.cancel()
            with pytest.raises(Cancelled):
                await task
            assert tokens(state) == 500

    runtime.run(main())


def two_calls(policy: Retry, other: str, endpoints: seawall.Endpoints | None = None) -> Exchange:
    """A call that empties the budget, then a failing one elsewhere."""
    state, runtime, result = seawall.State(), VirtualRuntime(), Exchange()

    async def main() -> None:
        policies = Stack(policy) if endpoints is None else endpoints
        async with seawall.httpx.AsyncClient(policies, transport=ScriptedServer(then=500), state=state) as client:
            await client.get(URL)
            result.response = await client.get(other)

    runtime.run(main())
    return result


SMALL = {"wait": AT_ONCE, "budget": RetryBudget(capacity=14)}


def test_each_origin_has_a_budget_of_its_own() -> None:
    """What one server's failures cost takes nothing from another's retries."""
    assert len(two_calls(Retry(2, **SMALL), URL).report.attempts) == 1
    assert len(two_calls(Retry(2, **SMALL), "https://other.example.com").report.attempts) == 2


def test_a_budget_can_be_one_for_all() -> None:
    """With key="client" every origin draws from the same tokens."""
    done = two_calls(Retry(2, **SMALL, key="client"), "https://other.example.com")
    assert done.report.gave_up == "budget"


def test_a_budget_can_be_keyed_by_the_request() -> None:
    """A function of the request partitions the budget as it likes."""
    policy = Retry(2, **SMALL, key=lambda request: request.url.path)
    assert len(two_calls(policy, "https://api.example.com/other").report.attempts) == 2
    assert two_calls(policy, URL).report.gave_up == "budget"


def test_a_name_shares_a_budget_between_patterns() -> None:
    """A named Retry has one budget wherever it stands."""
    other = "https://api.example.com/other"
    for name, attempts in (("shared", 1), (None, 2)):
        policy = Retry(2, **SMALL, name=name)
        endpoints = seawall.Endpoints({f"{other}/*": Stack(policy)}, default=Stack(policy))
        assert len(two_calls(policy, f"{other}/1", endpoints).report.attempts) == attempts


@pytest.mark.parametrize("option", ["capacity", "transient", "throttled", "success"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_numbers_that_cannot_be_are_refused(option: str, value: float) -> None:
    """Each number must be finite and not negative, the capacity above 0."""
    with pytest.raises(ValueError, match=f"RetryBudget: {option} must be a number"):
        RetryBudget(**{option: value})


def test_a_capacity_of_nothing_is_refused() -> None:
    """No budget at all is Retry(1); RetryBudget(capacity=0) is a mistake."""
    with pytest.raises(ValueError, match="RetryBudget: capacity must be a number above 0"):
        RetryBudget(capacity=0)


def test_a_call_cancelled_in_a_retried_attempt_gives_back_what_the_retry_took() -> None:
    """Cancelled while the second attempt is on its way, a call leaves the budget as it found it."""
    state = State()
    runtime = VirtualRuntime()

    async def main() -> None:
        server = ScriptedServer(503, reply(200, after=60))
        stack = Stack(Retry(wait=tenacity.wait_none()))
        async with AsyncClient(stack, transport=server, state=state) as client:
            task = runtime.spawn(client.get("http://a.example/"))
            await runtime.sleep(1)
            (budget,) = state.snapshot()
            assert budget["tokens"] < budget["capacity"]
            task.cancel()
            await runtime.sleep(1)

    runtime.run(main())
    (budget,) = state.snapshot()
    assert budget["tokens"] == budget["capacity"]
