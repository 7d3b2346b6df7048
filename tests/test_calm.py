"""Calm calls: what they pass without asking anybody is as if every gate had been asked."""

from typing import Any

import pytest
from calls import URL, asking, client, outcome

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, Policy, Retry, Stack, Throttle, Timeout, _attempts
from seawall._calm import calm
from seawall._policy import Gate
from seawall.testing import ScriptedServer, VirtualRuntime, reply
from seawall.testing.simulation import Poisson, Quota, Scenario, Schedule, Server, Traffic, simulate

STACKS = {
    "standard": seawall.standard(),
    "limited": Stack(
        Timeout(20), Retry(3), CircuitBreaker(window=4), ConcurrencyLimit(5), Throttle(25, burst=5), Timeout(1)
    ),
    "window, outside": Stack(Retry(2), Throttle(30, key="client"), CircuitBreaker(consecutive=5), Timeout(1)),
    "no retries": Stack(ConcurrencyLimit(3), CircuitBreaker(minimum_calls=5)),
}


SERVERS = {
    "calm": Server(slots=5),
    "stalls": Server(slots=Schedule.during(10, 14, 0, usually=5)),
    "is out": Server(slots=5, failing=Schedule.during(10, 20, 1, usually=0), failure=503),
    "fails at random": Server(slots=5, failing=0.1, failure="ReadError"),
    "has a quota": Server(slots=None, quota=Quota(rate=20, burst=5, dialect="ratelimit", always=True)),
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have every gate asked each time, from now on."""
    return lambda: monkeypatch.setattr(_attempts, "calm", lambda *given: given[-1])


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_a_calm_call_leaves_what_one_leaves_that_asked_everywhere(server: Server, stack: Stack, asked: Any) -> None:
    """A simulation is the same to the last bit, through troubles and back, with and without calm calls."""
    traffic = (Traffic(arrivals=Poisson(40), clients=2),)
    scenario = Scenario(name="either way", server=server, traffic=traffic, duration=40, drain=30)
    quietly = simulate(scenario, stack, seed=4)
    asked()
    assert simulate(scenario, stack, seed=4).digest() == quietly.digest()
    assert quietly.success > 0


def gates(*policies: Policy[Any]) -> Any:
    return tuple((policy, policy.new_state()) for policy in policies)


@pytest.mark.parametrize(
    "policies",
    [
        (CircuitBreaker(slow_call=1),),
        (ConcurrencyLimit(1, release_on="headers"),),
        (Throttle(1, strict=True),),
        (ConcurrencyLimit(1, name="a"), ConcurrencyLimit(1, name="b")),
        (ConcurrencyLimit(1), Gate()),
    ],
    ids=["slow calls", "release at headers", "strict", "two of a kind", "foreign"],
)
def test_gates_that_must_be_asked_are(policies: Any) -> None:
    """What a setting, a second one of its kind or a foreign gate needs to be asked for each time, is."""
    marked = object()
    assert calm(gates(*policies), marked, None, marked) is marked  # type: ignore[arg-type]


def test_gates_that_need_not_be_asked_are_not() -> None:
    """Those of the standard stack pass calm calls in one go."""
    marked = object()
    policies = CircuitBreaker(), ConcurrencyLimit(1), Throttle(1)
    for passed in [*((policy,) for policy in policies), policies]:
        assert calm(gates(*passed), marked, None, marked) is not marked  # type: ignore[arg-type]


def test_a_call_that_is_not_calm_has_taken_nothing() -> None:
    """A rate without room gives back the slot that was taken before it; a cost of its own is not calm at all."""
    limit, throttle = ConcurrencyLimit(1), Throttle(1, per=10)
    server = ScriptedServer(then=200)

    async def main() -> None:
        async with client(server, limit, throttle) as c:

            def in_use() -> int:
                return next(entry["in_use"] for entry in c.state.snapshot() if "in_use" in entry)

            await c.get(URL)
            waits = runtime.spawn(outcome(c.get(URL)))
            await runtime.sleep(1)
            assert in_use() == 1  # of the one that waits for the rate, and of nobody else
            await waits
            assert (runtime.now(), in_use()) == (10, 0)
            await outcome(c.get(URL, **asking(cost=0.5)))
            await outcome(c.get(URL, **asking(cost=0.5)))
            assert (runtime.now(), in_use()) == (20, 0)

    runtime = VirtualRuntime()
    runtime.run(main())
    assert len(server.requests) == 4


def test_a_strategy_that_sees_every_outcome_sees_that_of_a_calm_call() -> None:
    """Nothing is calm about an answer when `retry=` wants to look at each."""
    seen = []

    def look(state: Any) -> bool:
        seen.append(state.outcome.result().status_code)
        return len(seen) < 3

    async def main() -> None:
        async with client(ScriptedServer(then=reply(200)), Retry(4, retry=look), ConcurrencyLimit(2)) as c:
            await c.get(URL)

    VirtualRuntime().run(main())
    assert seen == [200, 200, 200]
