"""Figures of a run, and how it ends."""

import json
import logging
from dataclasses import dataclass, replace
from typing import Any

import pytest
from small import BUSY, PATIENT, STUBBORN, scenario

import seawall
from seawall import Retry, Stack, Timeout
from seawall.testing.simulation import (
    SCENARIOS,
    Closed,
    Constant,
    Poisson,
    Result,
    Scenario,
    Schedule,
    Server,
    Simulation,
    Trace,
    Traffic,
    overload,
    simulate,
)

EVERY_SECOND = Traffic(arrivals=Trace(tuple(n / 10 for n in range(600))), clients=4)
"""Ten calls in each of sixty seconds."""
OUTAGE = scenario(
    Server(service=Constant(0.01), failing=Schedule.during(20, 30, 1, usually=0)),
    EVERY_SECOND,
    duration=60,
    fault=(20, 30),
)


def test_calls_are_counted_in_the_second_in_which_they_were_made() -> None:
    """Offered and answered are per second of the call's beginning, whenever its answer came."""
    slow = scenario(Server(slots=1, service=Constant(2)), Traffic(arrivals=Trace((0, 0.5, 3))), duration=10)
    result = simulate(slow, PATIENT)
    assert result.offered()[:4] == result.answered()[:4] == [2, 0, 0, 1]
    assert result.latencies() == [2, 3, 3.5]
    assert (result.latency(0), result.latency(0.5), result.latency(1)) == (2, 3, 3.5)
    assert list(result.tally.waiting[:4]) == [1, 1, 0, 1]


def test_goodput_and_recovery_of_an_outage() -> None:
    """Goodput is the share answered; recovery the time to the first ten seconds with 97 % of it."""
    result = simulate(OUTAGE, PATIENT)
    assert result.success == pytest.approx(5 / 6)
    assert result.goodput(20, 30) == 0
    assert result.goodput(30, 60) == 1
    assert result.recovery() == 0
    late = replace(OUTAGE, server=replace(OUTAGE.server, failing=Schedule(0, [(20, 1), (33, 0)])))
    assert simulate(late, PATIENT).recovery() == 3
    never = replace(OUTAGE, server=replace(OUTAGE.server, failing=Schedule(0, [(20, 1)])))
    assert simulate(never, PATIENT).recovery() is None
    assert simulate(replace(OUTAGE, fault=None), PATIENT).recovery() is None


def test_amplification_is_attempts_for_each_call() -> None:
    """The mean is over the whole run, the peak over any five seconds."""
    stack = Stack(Timeout(30), Retry(3, wait=lambda _: 0.0, budget=None))
    result = simulate(OUTAGE, stack)
    assert result.amplification == pytest.approx((600 + 2 * 100) / 600)
    assert result.peak_amplification() == 3
    assert result.peak_amplification(20) == 2


def test_the_peak_of_a_run_that_is_too_short_is_its_mean() -> None:
    """Without any five seconds there is no other peak."""
    result = simulate(scenario(None, Traffic(arrivals=Trace((0, 1))), duration=2), PATIENT)
    assert result.peak_amplification() == result.amplification == 1


def test_fairness_is_jains() -> None:
    """Clients who are answered alike give 1; if one of two gets everything it is a half."""
    assert simulate(OUTAGE, PATIENT).fairness() == pytest.approx(1, abs=1e-3)
    groups = [Traffic(name=name, arrivals=Trace(at), clients=1) for name, at in (("a", (0.0, 1.0)), ("b", ()))]
    result = simulate(scenario(None, *groups), PATIENT)
    assert result.fairness() == 0.5
    assert result.fairness(group=0) == result.fairness(group=1) == 1


def test_states_and_circuits_are_noted() -> None:
    """What policies' states show is summed over the clients each second; changes of circuits are listed."""
    stack = Stack(Timeout(30), seawall.CircuitBreaker(minimum_calls=5, open_for=2), seawall.ConcurrencyLimit(3))
    result = simulate(OUTAGE, stack)
    assert result.tally.states[-1]["ConcurrencyLimit.limit"] == 4 * 3
    at, whose, old, new = result.tally.circuits[0]
    assert 20 <= at < 30
    assert (whose[:7], old, new) == ("traffic", "closed", "open")


def test_a_result_tells_what_came_of_it() -> None:
    """Its repr has what a failed assertion should show."""
    result = simulate(OUTAGE, PATIENT)
    assert repr(result) == (
        "<Result of small, seed 0: 600 calls, 83.3% answered, 1.000 attempts a call, recovered 0 s after the fault>"
    )
    simulation = Simulation(OUTAGE, PATIENT)
    next(iter(simulation))
    assert repr(simulation.result()) == (
        "<Result of small, seed 0: 10 calls so far, 100.0% answered, 1.000 attempts a call>"
    )


def test_data_is_for_json() -> None:
    """`data()` has the figures and the series, and is plain."""
    slow = replace(overload("stall", load=0.05, duration=75), name="short")
    data = json.loads(json.dumps(simulate(slow, BUSY).data(), allow_nan=False))
    assert (data["scenario"], data["complete"], data["fault"]) == ("short", True, [60, 70])
    assert len({len(row) for row in data["series"].values()}) == 1
    assert sum(data["series"]["offered"]) == data["calls"] == sum(data["outcomes"].values())
    unbounded = simulate(scenario(Server(slots=None)), PATIENT).data()
    assert json.dumps(unbounded, allow_nan=False)


def test_a_simulation_can_be_left_and_says_so() -> None:
    """It goes on by a second at a time; what was measured until it is left is a partial result."""
    simulation = Simulation(scenario(), BUSY)
    for second in simulation:
        assert second == simulation.now
        if second == 7:
            break
    assert (simulation.result().complete, simulation.result().at) == (False, 7)
    for _ in simulation:
        pass
    assert simulation.result().complete
    assert simulation.result().digest() == simulate(scenario(), BUSY).digest()


def test_a_run_ends_when_its_calls_have_ended() -> None:
    """After the last call was made only those under way are waited for, no longer than `drain`."""
    quick = simulate(scenario(Server(service=Constant(0.1)), Traffic(arrivals=Trace((0,))), duration=2), PATIENT)
    assert (quick.at, quick.complete) == (2, True)
    stuck = scenario(Server(slots=0), Traffic(arrivals=Trace((0, 1.0))), duration=1.5, drain=5.0)
    result = simulate(stuck, PATIENT)
    assert (result.at, result.complete) == (6.5, True)
    assert result.outcomes()["unfinished"] == 2
    assert (result.success, result.latency(0.5), result.round_trip()) == (0, None, None)


def test_users_of_a_closed_loop_wait_for_their_answers() -> None:
    """Each user has one call at a time, and pauses after a failure."""
    loop = Traffic(arrivals=Closed(2, think=Constant(1)), clients=1)
    result = simulate(scenario(Server(slots=None, service=Constant(1)), loop, duration=6), PATIENT)
    assert list(result.tally.calls.begun) == [1, 1, 3, 3, 5, 5]
    restless = Traffic(arrivals=Closed(1, after_failure=0.5), clients=1)
    failing = simulate(scenario(Server(failing=1), restless, duration=2), PATIENT)
    assert list(failing.tally.calls.begun) == [0, 0.5, 1, 1.5]


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What policies log of simulated calls would drown everything else; the logger is as before afterwards."""
    simulate(OUTAGE, seawall.standard())
    assert caplog.records == []
    assert not logging.getLogger("seawall").disabled


# -- what has no end, and what is wrong


@dataclass(frozen=True)
class Stubborn(seawall.Policy[None]):
    """Tries for ever."""

    pause: float | None

    async def handle(self, call: seawall.Call, state: None, next: seawall.Next) -> Any:
        while (await next(call)).status_code == 500:
            if self.pause is not None:
                await call.runtime.sleep(self.pause)


@dataclass(frozen=True)
class Restless(seawall.Policy[None]):
    """Never gets to the point."""

    async def handle(self, call: seawall.Call, state: None, next: seawall.Next) -> Any:
        while True:
            await call.runtime.sleep(0)


@dataclass(frozen=True)
class Wrong(seawall.Policy[None]):
    """Has a fault."""

    async def handle(self, call: seawall.Call, state: None, next: seawall.Next) -> Any:
        return (await next(call)).no_such_thing


@pytest.mark.parametrize("pause", [None, 0.0, 0.001])
def test_a_call_that_is_repeated_without_end_is_an_error(pause: float | None) -> None:
    """A stack that repeats for ever, with pauses or without, is stopped and told so."""
    with pytest.raises(RuntimeError, match=r"a call of traffic 0 made more than 10,000 attempts: this stack repeats"):
        simulate(scenario(Server(failing=1), Traffic(arrivals=Trace((0,)))), Stack(Stubborn(pause)))


def test_time_that_does_not_pass_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that goes round in circles without waiting is stopped and told so."""
    monkeypatch.setattr("seawall.testing.simulation.world.STEPS", 1000)
    with pytest.raises(RuntimeError, match=r"more than 1,000 steps on the way to 3 s, and it is still 2 s: something"):
        simulate(scenario(None, Traffic(arrivals=Trace((2,)))), Stack(Restless()))


def test_a_fault_of_a_policy_comes_out() -> None:
    """An error that is none of a transport's is not counted as a failed call, but raised."""
    with pytest.raises(AttributeError, match="no_such_thing"):
        simulate(scenario(), Stack(Wrong()))


def test_retry_storms_end_with_the_scenario() -> None:
    """A stack that keeps the overload alive has an end: the scenario's duration and its drain."""
    stall = Scenario(
        name="stall",
        server=Server(slots=Schedule.during(5, 10, 0, usually=5)),
        traffic=[Traffic(arrivals=Poisson(40))],
        duration=40,
        drain=5.0,
        fault=(5, 10),
    )
    result: Result = simulate(stall, STUBBORN)
    assert result.complete
    assert result.recovery() is None
    assert result.waste(10, 40) > 0.9


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_are_data(name: str) -> None:
    """Every scenario has its own name and says what happens; equal data make equal scenarios."""
    known = SCENARIOS[name]
    assert known.name == name
    assert known.about.endswith(".")
    assert replace(known) == known


@pytest.mark.parametrize(("bound", "message"), [("CALLS", "100 calls at"), ("AT_ONCE", "100 calls at once at")])
def test_more_calls_than_can_be_simulated_is_an_error(
    bound: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scenario of more calls than memory holds, in all or at once, is stopped, with what to do about it."""
    monkeypatch.setattr(f"seawall.testing.simulation.simulation.{bound}", 100)
    endless = scenario(Server(slots=0), Traffic(arrivals=Poisson(50)))
    with pytest.raises(RuntimeError, match=rf"more than {message} .* s of 'small': no more can be simulated; let the"):
        simulate(endless, PATIENT)
