"""Per-request options: what one call may change, by its extensions or by a context around it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import tenacity
from drivers import URL, exchange, known

import seawall
import seawall.httpx
from seawall import CircuitBreaker, ConcurrencyLimit, Endpoints, OptionError, Retry, Stack, TimedOut, Timeout
from seawall.testing import ScriptedServer, VirtualRuntime, reply

AT_ONCE = Retry(wait=tenacity.wait_none())
SLOW = reply(after=100)


def ends(server: ScriptedServer, *policies: Any, **options: Any) -> float:
    """When a call that is never answered in time ends, in virtual time."""
    done = exchange("virtual", server, *policies, seawall=options)
    assert isinstance(done.error, TimedOut)
    return done.took


@pytest.mark.parametrize("seconds", [2, 50])
def test_a_timeout_takes_the_place_of_the_outermost(seconds: float) -> None:
    """The option replaces the seconds of the outermost Timeout, shorter or longer."""
    assert ends(ScriptedServer(SLOW), Timeout(10), Retry(), timeout=seconds) == seconds


def test_a_timeout_works_without_a_timeout_policy() -> None:
    """A stack without a Timeout is bounded by the option all the same, bodies included."""
    assert ends(ScriptedServer(SLOW), Retry(), timeout=3) == 3
    assert ends(ScriptedServer(reply(body=[b"x"] * 9, every=1)), Retry(), timeout=3) == 3


def test_a_timeout_leaves_attempts_alone() -> None:
    """The limit of an attempt stays what it is."""
    done = exchange(
        "virtual", ScriptedServer(then=SLOW), Timeout(60), Retry(2, wait=tenacity.wait_none()), Timeout(5),
        seawall={"timeout": 100},
    )  # fmt: skip
    assert done.took == 10


def test_a_timeout_takes_the_place_of_no_other() -> None:
    """A Timeout inside another keeps its own seconds."""
    assert ends(ScriptedServer(SLOW), Timeout(60), Timeout(5), Retry(), timeout=100) == 5


def test_a_timeout_of_none_is_none_given() -> None:
    """timeout=None undoes the context's, and leaves the Timeout policy as it is."""
    with seawall.options(timeout=2):
        assert ends(ScriptedServer(SLOW), Timeout(10), Retry(), timeout=None) == 10


def test_a_deadline_is_one_for_many_calls() -> None:
    """An absolute time on the runtime's clock bounds every call made under it."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=2))

    async def main() -> None:
        async with seawall.httpx.AsyncClient(Stack(Timeout(60), Retry()), transport=server) as client:
            with seawall.options(deadline=5):
                await client.get(URL)
                await client.get(URL)
                with pytest.raises(TimedOut):
                    await client.get(URL)

    runtime.run(main())
    assert runtime.now() == 5


def test_the_strictest_of_deadline_and_timeout_wins() -> None:
    """A deadline further away than the Timeout changes nothing, a nearer one ends the call."""
    assert ends(ScriptedServer(SLOW), Timeout(10), Retry(), deadline=20) == 10
    assert ends(ScriptedServer(SLOW), Timeout(10), Retry(), deadline=5, timeout=8) == 5


def test_a_deadline_stops_a_backoff_from_beginning() -> None:
    """A wait beyond the deadline of an option is not begun either."""
    done = exchange("virtual", ScriptedServer(503), Retry(wait=tenacity.wait_fixed(5)), seawall={"deadline": 4})
    assert (done.status, done.report.gave_up, done.took) == (503, "deadline", 0)


@pytest.mark.parametrize("skipped", ["retry", "mine"])
def test_a_policy_can_be_skipped(driver: str, skipped: str) -> None:
    """`skip` leaves out a policy by its lower-case type name or by its own name, for this call only."""
    policy = Retry(wait=tenacity.wait_none(), name="mine")
    server = ScriptedServer(500)
    assert exchange(driver, server, policy, seawall={"skip": [skipped]}).status == 500
    assert exchange(driver, ScriptedServer(500), policy).status == 200


def test_a_skipped_policy_neither_counts_nor_limits(driver: str) -> None:
    """Left out means left out: a skipped circuit learns nothing, a skipped limit holds nothing."""
    state = seawall.State()
    options = {"skip": ["circuitbreaker", "concurrencylimit"]}
    exchange(driver, ScriptedServer(500), CircuitBreaker(), ConcurrencyLimit(1), state=state, seawall=options)
    assert not state.snapshot()


def test_a_skip_shares_the_state_of_what_it_leaves_in(driver: str) -> None:
    """Calls with and without `skip` count in one circuit."""
    state = seawall.State()
    policies = (Retry(1), CircuitBreaker())
    exchange(driver, ScriptedServer(500), *policies, state=state)
    exchange(driver, ScriptedServer(500), *policies, state=state, seawall={"skip": {"retry"}})
    circuit = known(state, CircuitBreaker)
    assert (circuit["calls"], circuit["failures"]) == (2, 2)


def test_skipping_timeouts_leaves_none() -> None:
    """`skip=["timeout"]` lifts the call's bound and the attempts'."""
    done = exchange("virtual", ScriptedServer(SLOW), Timeout(10), Retry(), Timeout(5), seawall={"skip": ["timeout"]})
    assert (done.status, done.took) == (200, 100)


def test_skipping_retry_leaves_the_meaning_of_timeouts() -> None:
    """An attempt's Timeout stays an attempt's, and does not begin to bound the body, when Retry is skipped."""
    drip = reply(body=[b"x"] * 10, every=1, after=4)
    done = exchange("virtual", ScriptedServer(drip), Retry(), Timeout(5), seawall={"skip": ["retry"]})
    assert (done.status, done.took) == (200, 14)


def test_skipping_what_is_not_there_is_no_error(driver: str) -> None:
    """One block of options may serve many endpoints, so names that a stack does not have are ignored."""
    assert exchange(driver, ScriptedServer(), Retry(), seawall={"skip": ["hedge"]}).status == 200


def test_the_extension_wins_over_the_context(driver: str) -> None:
    """Option by option: what the extension does not say, the context does."""
    server = ScriptedServer(500)
    with seawall.options(idempotent=True, skip=["retry"]):
        done = exchange(driver, server, AT_ONCE, method="POST", seawall={"skip": []})
    assert done.status == 200


def test_the_inner_context_wins_over_the_outer(driver: str) -> None:
    """Option by option too, and leaving the inner one brings the outer one back."""
    with seawall.options(idempotent=False, skip=["retry"]):
        with seawall.options(skip=[]):
            assert exchange(driver, ScriptedServer(500), AT_ONCE).report.gave_up == "method"
        assert exchange(driver, ScriptedServer(500), AT_ONCE).report.gave_up is None


@contextmanager
def noted(into: list[Any]) -> Iterator[Any]:
    """A policy that notes each call's options."""

    class Note(seawall.Policy[None]):
        async def handle(self, call: Any, state: None, next: Any) -> Any:
            into.append(call.options)
            return await next(call)

    yield Note()


def test_every_option_reaches_the_policies(driver: str) -> None:
    """All known options, given as an extension, are there for policies to read."""
    options = {"priority": -2, "cost": 3, "idempotent": True, "timeout": 5.0, "skip": ["x"], "tenant": "acme"}
    seen: list[Any] = []
    with noted(seen) as note:
        exchange(driver, ScriptedServer(), note, seawall=options)
    assert {name: getattr(seen[0], name) for name in options} == {**options, "skip": frozenset({"x"})}


def test_contexts_of_tasks_and_threads_are_their_own() -> None:
    """Options set in one task or thread are not seen in another that runs meanwhile."""
    seen: list[Any] = []

    async def call(client: httpx.AsyncClient, tenant: str) -> None:
        with seawall.options(tenant=tenant):
            await asyncio.sleep(0)
            await client.get(URL)

    async def main(note: Any) -> None:
        async with seawall.httpx.AsyncClient(Stack(note), transport=ScriptedServer()) as client:
            await asyncio.gather(*(call(client, tenant) for tenant in "abc"))

    with noted(seen) as note, seawall.options(tenant="outside"):
        thread = threading.Thread(target=lambda: asyncio.run(main(note)))
        thread.start()
        thread.join()
        exchange("threads", ScriptedServer(), note)
    assert [options.tenant for options in seen] == ["a", "b", "c", "outside"]


def test_options_choose_no_endpoint() -> None:
    """Options of a call apply under whichever pattern handles it."""
    endpoints = Endpoints({"*.example.com": Stack(AT_ONCE)}, default=Stack(Timeout(5)))
    with seawall.httpx.Client(endpoints, transport=ScriptedServer(500)) as client:
        response = client.post(URL, extensions={"seawall": {"idempotent": True}})
    assert (response.status_code, seawall.report(response).endpoint) == (200, "*.example.com")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"retries": 3},
            "unknown seawall option 'retries'; the known ones are: cost, deadline, ",
        ),
        ({"timeout": 0}, "option timeout must be above 0, not 0"),
        ({"timeout": float("nan")}, "option timeout must be a finite number, not nan"),
        ({"timeout": "5"}, "option timeout must be a finite number, not '5'"),
        ({"deadline": float("inf")}, "option deadline must be a finite number, not inf"),
        ({"cost": -1}, "option cost must be above 0, not -1"),
        ({"priority": None}, "option priority must be a finite number, not None"),
        ({"idempotent": "yes"}, "option idempotent must be True, False or None, not 'yes'"),
        ({"skip": "retry"}, r"option skip must be a collection of policy names such as \[\"retry\"\], not 'retry'"),
        ({"skip": [Retry]}, "option skip must hold policy names, not <class"),
        ({"tenant": 5}, "option tenant must be a string or None, not 5"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_options_that_cannot_be_are_refused(driver: str, options: dict[str, Any], message: str) -> None:
    """A wrong option is an OptionError, also a ValueError, that names it and what is allowed; nothing is sent."""
    server = ScriptedServer()
    done = exchange(driver, server, Retry(), seawall=options)
    assert isinstance(done.error, OptionError)
    assert isinstance(done.error, ValueError)
    with pytest.raises(OptionError, match=message):
        raise done.error
    assert not server.requests


def test_a_context_of_options_is_checked_where_it_is_set() -> None:
    """seawall.options refuses at once what could never be."""
    with pytest.raises(OptionError, match="option timeout must be above 0"), seawall.options(timeout=-1):
        raise AssertionError
    with pytest.raises(OptionError, match="unknown seawall option 'retries'"), seawall.options(retries=3):  # type: ignore[call-arg]
        raise AssertionError


def test_the_extension_must_be_a_mapping(driver: str) -> None:
    """Anything else under the name "seawall" is refused."""
    done = exchange(driver, ScriptedServer(), Retry(), seawall=["retry"])
    assert isinstance(done.error, OptionError)
    assert 'the "seawall" extension must be a mapping of options' in str(done.error)
