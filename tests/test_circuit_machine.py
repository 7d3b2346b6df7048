"""The state machine of one circuit, by itself: time goes in, decisions come out."""

from typing import Any

import pytest
from circuits import LEASE, Clock, machine, one, report
from hypothesis import given
from hypothesis import strategies as st

from seawall import CircuitBreaker, CircuitOpen
from seawall._circuit import CircuitState


def tripped(call: Any, **options: Any) -> CircuitState:
    """A circuit that one failure has just opened."""
    circuit = machine(consecutive=1, **options)
    one(circuit, call, "failure")
    assert circuit.state == "open"
    return circuit


def test_opens_at_the_failure_rate_once_minimum_calls_were_seen():
    """It opens with the call that makes both the rate and the minimum true, not before."""
    circuit, call = machine(failure_rate=0.5, minimum_calls=10), Clock()
    for _ in range(5):
        one(circuit, call, "failure")
    for _ in range(4):
        one(circuit, call, "success")
    assert circuit.state == "closed"
    one(circuit, call, "failure")
    assert circuit.state == "open"


def test_stays_closed_below_the_failure_rate():
    """40 failures in 100 calls do not open a circuit of rate 0.5."""
    circuit, call = machine(failure_rate=0.5, minimum_calls=10), Clock()
    for index in range(100):
        one(circuit, call, "success" if index % 5 < 3 else "failure")
    assert circuit.state == "closed"


def test_neutral_calls_count_neither_way():
    """Neutral verdicts neither reach the minimum nor dilute the rate."""
    circuit, call = machine(failure_rate=0.5, minimum_calls=4), Clock()
    for _ in range(50):
        one(circuit, call, "neutral")
    for _ in range(3):
        one(circuit, call, "failure")
    assert (circuit.state, circuit.window.calls) == ("closed", 3)
    one(circuit, call, "failure")
    assert circuit.state == "open"


def test_consecutive_failures_open_it_and_a_success_starts_over():
    """`consecutive` counts failures in a row; a success between them starts again, a neutral call does not."""
    circuit, call = machine(consecutive=3), Clock()
    for verdict in ("failure", "failure", "success", "failure", "failure", "neutral"):
        one(circuit, call, verdict)
    assert circuit.state == "closed"
    one(circuit, call, "failure")
    assert circuit.state == "open"


def test_failures_that_left_the_window_count_no_more():
    """What happened more than a window ago has no say."""
    circuit, call = machine(failure_rate=0.5, minimum_calls=4, window=10), Clock()
    for _ in range(3):
        one(circuit, call, "failure")
    call.time += 10.1
    for _ in range(3):
        one(circuit, call, "failure")
    assert circuit.state == "closed"


def test_slow_calls_open_it_at_the_slow_rate():
    """A share of `slow_rate` slow calls opens it although every one of them succeeded."""
    circuit, call = machine(slow_call=1.0, slow_rate=0.5, minimum_calls=4), Clock()
    for slow in (True, False, False):
        admission = circuit.admit(call)
        admission.slow = slow
        report(circuit, call, admission, "success")
    assert circuit.state == "closed"
    admission = circuit.admit(call)
    admission.slow = True
    report(circuit, call, admission, "success")
    assert circuit.state == "open"


def test_a_result_from_an_earlier_generation_is_ignored():
    """What was admitted before a transition has no say after it."""
    call = Clock()
    circuit = machine(consecutive=1)
    early = [circuit.admit(call) for _ in range(2)]
    one(circuit, call, "failure")
    circuit.force("half-open")
    report(circuit, call, early[0], "success")
    assert circuit.state == "half-open"
    circuit.force("closed")
    report(circuit, call, early[1], "failure")
    assert circuit.state == "closed"


def test_an_open_circuit_refuses_with_the_time_left():
    """`retry_after` of a refusal is what is left of the open time."""
    call = Clock()
    circuit = tripped(call, open_for=5)
    call.time += 2
    with pytest.raises(CircuitOpen) as refusal:
        circuit.admit(call)
    assert refusal.value.retry_after == pytest.approx(3)


def test_half_open_lets_its_probes_through_at_once_and_refuses_the_rest():
    """`probes` calls go out together after the open time; another one is refused and told when a place comes free."""
    call = Clock()
    circuit = tripped(call, open_for=5, probes=2)
    call.time += 5
    probes = [circuit.admit(call), circuit.admit(call)]
    with pytest.raises(CircuitOpen) as refusal:
        circuit.admit(call)
    assert refusal.value.retry_after == LEASE
    report(circuit, call, probes[0], "success")
    assert circuit.state == "half-open"
    report(circuit, call, probes[1], "success")
    assert circuit.state == "closed"


def test_a_neutral_probe_gives_its_place_back():
    """A probe that says nothing about the server is replaced by the next call."""
    call = Clock()
    circuit = tripped(call, open_for=5)
    call.time += 5
    report(circuit, call, circuit.admit(call), "neutral")
    assert circuit.state == "half-open"
    one(circuit, call, "success")
    assert circuit.state == "closed"


def test_a_probe_that_never_reports_loses_its_place_a_lease_after_it_was_sent():
    """The lease runs from sending, is the attempt timeout, and the lost probe's late result is ignored."""
    call = Clock()
    circuit = tripped(call, open_for=5)
    call.time += 5
    lost = circuit.admit(call)
    call.time += 60  # in our own line: no lease runs yet
    with pytest.raises(CircuitOpen):
        circuit.admit(call)
    lost.sent_at = call.time
    call.time += LEASE
    with pytest.raises(CircuitOpen):
        circuit.admit(call)
    call.time += 0.1
    second = circuit.admit(call)
    report(circuit, call, lost, "failure")
    assert circuit.state == "half-open"
    report(circuit, call, second, "success")
    assert circuit.state == "closed"


def test_without_an_attempt_timeout_a_probe_s_lease_is_the_open_time():
    """`open_for` stands in for the attempt timeout."""
    call = Clock(lease=float("inf"))
    circuit = tripped(call, open_for=7)
    call.time += 7
    circuit.admit(call).sent_at = call.time
    call.time += 6.9
    with pytest.raises(CircuitOpen):
        circuit.admit(call)
    call.time += 0.2
    circuit.admit(call)


def test_open_time_doubles_with_each_failed_probe_up_to_its_bound_and_resets_on_close():
    """5, 10, 20, ... up to `max_open_for`, and 5 again after the circuit had closed."""
    call = Clock()
    circuit = tripped(call, open_for=5, max_open_for=30)
    times = []
    for _ in range(4):
        times.append(circuit.open_until - call.time)
        call.time = circuit.open_until
        one(circuit, call, "failure")
    times.append(circuit.open_until - call.time)
    assert times == [5, 10, 20, 30, 30]
    call.time = circuit.open_until
    one(circuit, call, "success")
    assert circuit.state == "closed"
    one(circuit, call, "failure")
    assert circuit.open_until - call.time == 5


@given(coin=st.floats(0, 1, exclude_max=True), failures=st.integers(0, 200))
def test_open_time_is_jittered_by_a_fifth(coin: float, failures: int):
    """Whatever the coin, an open time is within 20 % of its nominal length, and never above its bound."""
    circuit = machine(open_for=5, max_open_for=300)
    circuit.reopened = failures
    nominal = min(5 * 2.0**failures, 1e9)
    time = circuit.open_time(lambda: coin)
    assert min(300, 0.8 * nominal) <= time <= min(300, 1.2 * nominal)


def test_the_coin_decides_the_open_time():
    """Two coins, two open times: clients that saw one outage do not probe together."""
    circuit = machine(open_for=10)
    assert circuit.open_time(lambda: 0.0) == pytest.approx(8)
    assert circuit.open_time(lambda: 0.5) == pytest.approx(10)


@pytest.mark.parametrize(("asked", "expected"), [(None, 5), (2, 5), (12, 12), (1e9, 60)])
def test_a_retry_after_may_set_the_open_time(asked: float | None, expected: float):
    """A longer wait that the server asks for is kept to, within `max_open_for`; a shorter one changes nothing."""
    call = Clock()
    circuit = machine(consecutive=1, open_for=5, max_open_for=60)
    report(circuit, call, circuit.admit(call), "failure", asked)
    assert circuit.open_until - call.time == pytest.approx(expected)


def test_a_probe_whose_good_body_is_still_open_succeeds_when_it_falls_due():
    """A long download does not keep a circuit half-open: one lease after its headers it counts as a success."""
    call = Clock()
    circuit = tripped(call, open_for=5)
    call.time += 5
    probe = circuit.admit(call)
    probe.sent_at = call.time
    circuit.await_body(probe, call, call.time)
    call.time += LEASE - 0.1
    with pytest.raises(CircuitOpen):
        circuit.admit(call)
    call.time += 0.2
    circuit.admit(call)
    assert circuit.state == "closed"


def test_a_body_that_breaks_after_it_fell_due_still_counts_as_a_failure():
    """Success by falling due is not the last word: a later break is counted too."""
    call = Clock()
    circuit = machine(consecutive=1)
    late = circuit.admit(call)
    late.sent_at = call.time
    circuit.await_body(late, call, call.time)
    call.time += LEASE + 1
    one(circuit, call, "success")
    assert (circuit.window.calls, circuit.window.failures) == (2, 0)
    late.settle(call, "broken", OSError())
    assert circuit.state == "open"


def test_a_body_reports_once():
    """A body that ended after its verdict fell due is not counted as another success."""
    call = Clock()
    circuit = machine()
    late = circuit.admit(call)
    late.sent_at = call.time
    circuit.await_body(late, call, call.time)
    call.time += LEASE + 1
    one(circuit, call, "success")
    late.settle(call, "read", None)
    assert circuit.window.calls == 2


def test_slow_answers_with_open_bodies_open_it_when_they_fall_due():
    """Slowness is known at the headers: streams that never end are counted as slow once their verdicts fall due."""
    call = Clock()
    circuit = machine(slow_call=1.0, slow_rate=0.5, minimum_calls=3)
    for _ in range(3):
        admission = circuit.admit(call)
        admission.slow = True
        circuit.await_body(admission, call, call.time)
    call.time += LEASE + 1
    one(circuit, call, "success")
    assert circuit.state == "open"


def test_a_dropped_body_is_neutral_and_frees_its_probe():
    """A response that was collected without being closed says nothing about the server."""
    call = Clock()
    circuit = tripped(call, open_for=5)
    call.time += 5
    probe = circuit.admit(call)
    circuit.await_body(probe, call, call.time)
    probe.abandon()
    one(circuit, call, "success")
    assert circuit.state == "closed"


def test_a_transition_between_two_looks_revokes_the_call_it_lets_in():
    """A call that saw the circuit closed just before another thread opened it still fails before it is sent."""

    class Raced(CircuitState):
        race = False

        @property
        def state(self) -> Any:
            seen = self.__dict__["state"]
            if self.race:
                self.race = False
                self.force("open")  # what another thread does between two lines of ours
            return seen

        @state.setter
        def state(self, value: Any) -> None:
            self.__dict__["state"] = value

    call, circuit = Clock(), Raced(CircuitBreaker())
    circuit.race = True
    admission = circuit.admit(call)
    with pytest.raises(CircuitOpen):
        admission.check(call)
