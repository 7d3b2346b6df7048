"""Per-request options at work in waiting lines and throttles, and how they travel to other threads."""

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, Retry, Stack, Throttle, Timeout, options
from seawall.httpx import AsyncClient, Client
from seawall.testing import ScriptedServer, VirtualRuntime, reply

URL = "https://a.example/x"


class Spy(seawall.Policy[None]):
    """Notes the options of each call."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        self.seen.append(call.options)
        return await next(call)


def spying() -> tuple[Client, list[Any]]:
    spy = Spy()
    return Client(Stack(spy), transport=ScriptedServer()), spy.seen


def given(**values: Any) -> dict[str, Any]:
    """The extension that carries options."""
    return {"seawall": values}


def virtually(main: Callable[[VirtualRuntime], Any]) -> float:
    """Run in virtual time; returns the virtual seconds it took."""
    runtime = VirtualRuntime()
    runtime.run(main(runtime))
    return runtime.now()


def last_segments(server: ScriptedServer) -> list[str]:
    return [received.url.rpartition("/")[2] for received in server.requests]


# -- where they come from


def test_without_options_the_defaults_hold() -> None:
    """A call without options has priority 0, cost 1, and nothing else."""
    client, seen = spying()
    client.get(URL)
    assert (seen[0].priority, seen[0].cost, seen[0].skip) == (0, 1, frozenset())
    assert (seen[0].idempotent, seen[0].timeout, seen[0].deadline, seen[0].tenant) == (None, None, None, None)


def test_none_takes_an_option_back() -> None:
    """None is a value: an inner block, or the extension, can undo what an outer block set."""
    client, seen = spying()
    with options(timeout=5, tenant="acme", deadline=9, idempotent=True), options(timeout=None, deadline=None):
        client.get(URL, extensions=given(tenant=None, idempotent=None))
    assert (seen[0].timeout, seen[0].deadline, seen[0].tenant, seen[0].idempotent) == (None, None, None, None)


def test_a_block_ends_by_an_error_too() -> None:
    """When an error leaves the block, its options are over."""
    client, seen = spying()
    with pytest.raises(ZeroDivisionError), options(cost=9):
        1 / 0  # noqa: B018
    client.get(URL)
    assert seen[0].cost == 1


def test_options_reach_a_thread_only_with_the_context() -> None:
    """A thread with a context of its own has none of the options around it; one that runs in a copy has them."""
    client, seen = spying()
    with options(priority=7):
        for context in (contextvars.Context(), contextvars.copy_context()):
            thread = threading.Thread(target=context.run, args=(client.get, URL))
            thread.start()
            thread.join()
    assert [call.priority for call in seen] == [0, 7]


@pytest.mark.parametrize("name", ["deadline", "priority", "cost", "timeout"])
def test_a_number_beyond_any_float_is_refused(name: str) -> None:
    """An integer that no float can hold is an OptionError, not a crash."""
    client, seen = spying()
    with pytest.raises(seawall.OptionError, match=f"option {name} must be a finite number"):
        client.get(URL, extensions=given(**{name: 10**400}))
    assert seen == []


# -- what they do


@pytest.mark.parametrize(
    ("idempotent", "method", "attempts"), [(None, "POST", 1), (True, "POST", 2), (False, "GET", 1)]
)
def test_idempotent_says_whether_a_call_may_be_repeated(idempotent: Any, method: str, attempts: int) -> None:
    """`idempotent` overrules the method, in both directions."""
    server = ScriptedServer(then=503)
    with Client(Stack(Retry(2, wait=lambda _: 0.0)), transport=server) as client:
        client.request(method, URL, extensions=given(idempotent=idempotent))
    assert len(server.requests) == attempts


def test_skip_knows_lower_case_type_names() -> None:
    """`skip=["circuitbreaker"]` sends a call past an open circuit; a name in capitals is no type's."""
    with Client(Stack(CircuitBreaker(consecutive=1)), transport=ScriptedServer(503)) as client:
        client.get(URL)
        with pytest.raises(seawall.CircuitOpen):
            client.get(URL, extensions=given(skip=["CircuitBreaker"]))
        assert client.get(URL, extensions=given(skip=["circuitbreaker"])).status_code == 200


def test_priority_goes_first_in_line() -> None:
    """Of calls waiting for a slot the one of the highest priority goes first, in order of arrival within one."""
    server = ScriptedServer(then=reply(after=1))

    async def main(runtime: VirtualRuntime) -> None:
        client = AsyncClient(Stack(ConcurrencyLimit(1)), transport=server)
        for name, priority in [("first", 0), ("low", -1), ("normal", 0), ("high", 2), ("also", 0)]:
            runtime.spawn(client.get(f"https://a.example/{name}", extensions=given(priority=priority)))
            await runtime.sleep(0.01)
        await runtime.sleep(10)

    virtually(main)
    assert last_segments(server) == ["first", "high", "normal", "also", "low"]


def test_a_low_priority_that_waited_long_goes_before_a_higher_one() -> None:
    """Five seconds of waiting outweigh one step of priority, so that nothing starves."""
    server = ScriptedServer(then=reply(after=7))

    async def main(runtime: VirtualRuntime) -> None:
        client = AsyncClient(Stack(ConcurrencyLimit(1)), transport=server)
        for name, priority, pause in [("first", 0, 0.5), ("low", -1, 5.5), ("normal", 0, 0)]:
            runtime.spawn(client.get(f"https://a.example/{name}", extensions=given(priority=priority)))
            await runtime.sleep(pause)
        await runtime.sleep(30)

    virtually(main)
    assert last_segments(server) == ["first", "low", "normal"]


def test_cost_is_what_a_throttle_charges() -> None:
    """A call of cost 2 takes two of a throttle's starts."""
    server = ScriptedServer()

    async def main(runtime: VirtualRuntime) -> None:
        client = AsyncClient(Stack(Throttle(4, per=1)), transport=server)
        for _ in range(3):
            await client.get(URL, extensions=given(cost=2))

    virtually(main)
    assert [received.at for received in server.requests] == [0, 0, 1]


def test_a_cost_that_can_never_fit_is_refused() -> None:
    """A cost above what a throttle ever lets through is an OptionError that names the policy and the most."""
    with (
        Client(Stack(Throttle(4)), transport=ScriptedServer()) as client,
        pytest.raises(seawall.OptionError, match=r"option cost of 5 can never fit .*Throttle\(.*it must be at most 4"),
    ):
        client.get(URL, extensions=given(cost=5))


def test_a_deadline_ends_a_wait_in_line() -> None:
    """A wait that passes the deadline is WaitTooLong, and nothing was sent for it."""
    server = ScriptedServer(then=reply(after=9))

    async def main(runtime: VirtualRuntime) -> None:
        client = AsyncClient(Stack(ConcurrencyLimit(1)), transport=server)
        runtime.spawn(client.get(URL))
        await runtime.sleep(1)
        with options(deadline=3), pytest.raises(seawall.WaitTooLong):
            await client.get(URL)
        assert runtime.now() == 3

    virtually(main)
    assert len(server.requests) == 1


def test_a_deadline_that_has_passed_sends_nothing() -> None:
    """Under a deadline that is over, a call is TimedOut before anything is sent."""
    server = ScriptedServer()

    async def main(runtime: VirtualRuntime) -> None:
        await runtime.sleep(5)
        client = AsyncClient(Stack(Timeout(30), Retry()), transport=server)
        with options(deadline=4), pytest.raises(seawall.TimedOut, match="before an attempt was sent"):
            await client.get(URL)

    assert virtually(main) == 5
    assert server.requests == []


def test_tenants_take_turns_in_line() -> None:
    """A tenant with many calls in a limit's line does not shut out another with one."""
    server = ScriptedServer(then=reply(after=1))

    async def main(runtime: VirtualRuntime) -> None:
        client = AsyncClient(Stack(ConcurrencyLimit(1)), transport=server)
        for tenant in ("acme", "acme", "acme", "acme", "zulu"):
            runtime.spawn(client.get(f"https://a.example/{tenant}", extensions=given(tenant=tenant)))
        await runtime.sleep(10)

    virtually(main)
    assert last_segments(server)[:4] == ["acme", "acme", "zulu", "acme"]
