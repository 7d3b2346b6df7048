"""Why the recommended order is the recommended one: who sees attempts, who sees calls, and who is asked first."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import tenacity
from drivers import URL, exchange, known

import seawall
import seawall.httpx
from seawall import CircuitBreaker, CircuitOpen, ConcurrencyLimit, Retry, Stack, Throttle, Timeout
from seawall.testing import ScriptedServer, VirtualRuntime, reply

AT_ONCE = Retry(wait=tenacity.wait_none())


def test_the_first_policy_is_the_outermost(driver: str) -> None:
    """Policies are entered in the order in which they are listed, and left in the opposite one."""
    seen: list[str] = []

    @dataclass(frozen=True)
    class Mark(seawall.Policy[None]):
        name: str

        async def handle(self, call: Any, state: None, next: Any) -> Any:
            seen.append(f"into {self.name}")
            response = await next(call)
            seen.append(f"out of {self.name}")
            return response

    exchange(driver, ScriptedServer(), Mark("a"), Mark("b"), Mark("c"))
    assert seen == ["into a", "into b", "into c", "out of c", "out of b", "out of a"]


def test_the_breaker_inside_retry_sees_attempts(driver: str) -> None:
    """Each attempt counts: a call that failed twice before it worked is two failures and a success."""
    state = seawall.State()
    exchange(driver, ScriptedServer(500, 500), AT_ONCE, CircuitBreaker(), state=state)
    circuit = known(state, CircuitBreaker)
    assert (circuit["calls"], circuit["failures"]) == (3, 2)


def test_the_breaker_outside_retry_sees_calls(driver: str) -> None:
    """Outside, it would only see how calls end."""
    state = seawall.State()
    exchange(driver, ScriptedServer(500, 500), CircuitBreaker(), AT_ONCE, state=state)
    circuit = known(state, CircuitBreaker)
    assert (circuit["calls"], circuit["failures"]) == (1, 0)


def test_a_circuit_that_opens_ends_the_retries(driver: str) -> None:
    """Once the circuit is open nothing more is sent: the next attempt is rejected, and a rejection is not retried."""
    server = ScriptedServer(then=500)
    done = exchange(driver, server, AT_ONCE, CircuitBreaker(consecutive=2))
    assert isinstance(done.error, CircuitOpen)
    assert len(server.requests) == 2


def test_an_open_circuit_spends_no_slot_and_no_token(driver: str) -> None:
    """The breaker rejects before a slot or a token is taken."""
    state, server = seawall.State(), ScriptedServer(500)
    policies = (Retry(1), CircuitBreaker(consecutive=1), ConcurrencyLimit(1), Throttle(1, per=3600))
    exchange(driver, server, *policies, state=state)
    # the one token of the hour is spent: a call that got as far as the throttle would wait for it
    done = exchange(driver, server, *policies, state=state)
    assert isinstance(done.error, CircuitOpen)
    assert known(state, ConcurrencyLimit)["in_use"] == 0
    assert known(state, Throttle)["waiting"] == 0


def test_each_attempt_takes_a_token() -> None:
    """What the throttle paces is what goes on the wire: every attempt, and only then the attempt's clock starts."""
    server = ScriptedServer(500, 500)
    done = exchange("virtual", server, AT_ONCE, ConcurrencyLimit(5), Throttle(1, per=10), Timeout(1))
    assert [request.at for request in server.requests] == [0, 10, 20]
    assert done.report.throttled == 20


def test_a_throttle_inside_a_limit_does_not_let_a_burst_go() -> None:
    """Requests that wait behind a stall hold no tokens, so what was held up leaves at the rate, not at once."""
    runtime, server = VirtualRuntime(), ScriptedServer(reply(after=10))

    async def main() -> None:
        stack = Stack(Retry(1), ConcurrencyLimit(1), Throttle(1, per=1))
        async with seawall.httpx.AsyncClient(stack, transport=server) as client:
            calls = [runtime.spawn(client.get(URL)) for _ in range(5)]
            for call in calls:
                await call

    runtime.run(main())
    assert [request.at for request in server.requests] == [0, 10, 11, 12, 13]


# -- branches that race


@dataclass(frozen=True, kw_only=True)
class Race(seawall.Policy[None]):
    """Sends a call twice and takes the first answer: a hedge as a user might write it, for virtual time."""

    runtime: VirtualRuntime
    delays: tuple[float, ...] = (0.0, 1.0)
    within: tuple[float, ...] = ()

    async def handle(self, call: Any, state: None, next: Callable[[Any], Awaitable[Any]]) -> Any:
        settled = self.runtime.waiter()
        responses: list[Any] = []
        errors: list[Exception] = []

        async def branch(fork: Any, delay: float) -> None:
            await self.runtime.sleep(delay)
            try:
                responses.append(await next(fork))
            except Exception as error:
                errors.append(error)
            if responses or len(errors) == len(tasks):
                settled.wake()

        forks = [call.fork() for _ in self.delays]
        for fork, seconds in zip(forks, self.within, strict=False):
            fork.deadline = self.runtime.now() + seconds
        tasks = [self.runtime.spawn(branch(fork, delay)) for fork, delay in zip(forks, self.delays, strict=True)]
        await settled.wait(float("inf"))
        for task in tasks:
            task.cancel()
        if responses:
            return responses[0]
        raise errors[0]


def raced(
    script: tuple[Any, ...], *inside: Any, state: seawall.State | None = None, **race: Any
) -> tuple[Any, VirtualRuntime, ScriptedServer]:
    """One call through a race."""
    runtime, server = VirtualRuntime(), ScriptedServer(*script)

    async def main() -> httpx.Response:
        stack = Stack(Timeout(50), Race(runtime=runtime, **race), *inside)
        async with seawall.httpx.AsyncClient(stack, transport=server, state=state) as client:
            response = await client.get(URL)
            await runtime.sleep(0)  # the losers are cancelled meanwhile
            return response

    return runtime.run(main()), runtime, server


def test_two_branches_of_one_call_race() -> None:
    """A policy of the user's own that forks a call gets the first answer, and does not wait for the other."""
    response, runtime, server = raced((reply(201, after=10), reply(202, after=2)))
    assert (response.status_code, runtime.now()) == (202, 3)
    assert [attempt.started for attempt in seawall.report(response).attempts if attempt.status == 202] == [1]
    assert len(server.requests) == 2


def test_each_branch_has_a_deadline_of_its_own() -> None:
    """A deadline that one branch sets does not end the other, nor the call."""
    response, runtime, _ = raced((reply(201, after=10), reply(202, after=20)), delays=(0.0, 0.0), within=(60.0, 5.0))
    assert response.status_code == 201
    assert runtime.now() == 10


def test_each_branch_has_the_calls_deadline() -> None:
    """A fork starts with the deadline of the call that it branches from."""
    with pytest.raises(seawall.TimedOut):
        raced((reply(after=100), reply(after=100)))


def test_each_branch_holds_a_slot_and_gives_it_back() -> None:
    """Ownership rides on each branch's response: a loser that is cancelled leaves nothing behind."""
    state = seawall.State()
    raced((reply(after=10), reply(after=2)), ConcurrencyLimit(2), CircuitBreaker(), state=state)
    assert known(state, ConcurrencyLimit)["in_use"] == 0
    circuit = known(state, CircuitBreaker)
    assert (circuit["calls"], circuit["failures"]) == (1, 0)


def test_each_branch_has_a_circuits_leave_of_its_own() -> None:
    """The circuit hears of each branch by itself: the winner's failure counts, the cancelled loser's end does not."""
    state = seawall.State()
    raced((reply(500, after=2), reply(200, after=9)), CircuitBreaker(), state=state, delays=(0.0, 0.0))
    circuit = known(state, CircuitBreaker)
    assert (circuit["calls"], circuit["failures"]) == (1, 1)


def test_attempts_of_each_branch_wait_their_own_backoff() -> None:
    """A branch's retries are its own."""
    response, runtime, server = raced(
        (500, reply(200, after=30)), Retry(wait=tenacity.wait_fixed(4)), delays=(0.0, 1.0)
    )
    assert response.status_code == 200
    assert [request.at for request in server.requests] == [0, 1, 4]
    assert runtime.now() == 4


# -- what a response holds


def test_a_response_that_was_read_already_holds_nothing(driver: str) -> None:
    """A mock's or a cache's response never closes its stream, so its slot is given back when it arrives."""
    state = seawall.State()
    ready = httpx.MockTransport(lambda request: httpx.Response(200, content=b"ready"))
    held: list[int] = []

    @dataclass(frozen=True)
    class Look(seawall.Policy[None]):
        async def handle(self, call: Any, state: None, next: Any) -> Any:
            response = await next(call)
            held.append(known(limits, ConcurrencyLimit)["in_use"])
            return response

    limits = state
    exchange(driver, ready, Look(), ConcurrencyLimit(1), state=state)
    assert held == [0]


def test_what_is_held_rides_on_each_response() -> None:
    """After two discarded attempts the open response of the third holds one slot, and gives it back when closed."""
    runtime, state = VirtualRuntime(), seawall.State()

    async def main() -> None:
        stack = Stack(AT_ONCE, ConcurrencyLimit(5))
        server = ScriptedServer(reply(500, b"x" * 9000), reply(500), reply(body=[b"a", b"b"]))
        async with seawall.httpx.AsyncClient(stack, transport=server, state=state) as client:
            async with client.stream("GET", URL) as response:
                assert response.status_code == 200
                assert known(state, ConcurrencyLimit)["in_use"] == 1
                assert server.open == 1
            assert known(state, ConcurrencyLimit)["in_use"] == 0
            assert server.open == 0

    runtime.run(main())
