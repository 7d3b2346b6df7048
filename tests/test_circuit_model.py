"""The circuit held to a slow model of its rules, and its window to a plain count."""

from typing import Any

import pytest
from circuits import LEASE, Clock, machine, report
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from seawall import CircuitOpen
from seawall._window import BUCKETS, Window


@given(
    steps=st.lists(st.tuples(st.floats(0, 12), st.booleans(), st.booleans()), max_size=60),
    seconds=st.sampled_from([1.0, 10.0, 60.0]),
)
def test_a_window_s_totals_are_those_of_its_last_ten_buckets(steps: list[Any], seconds: float):
    """Running totals equal a count over all calls: none is lost, none is kept beyond the window."""
    window, log, now = Window(seconds), [], 0.0
    width = seconds / BUCKETS
    for passed, failed, slow in steps:
        now += passed
        window.add(now, failed, slow)
        log.append((int(now / width), failed, slow))
        kept = [entry for entry in log if entry[0] > log[-1][0] - BUCKETS]
        assert window.calls == len(kept)
        assert window.failures == sum(entry[1] for entry in kept)
        assert window.slow == sum(entry[2] for entry in kept)


def test_a_window_has_at_least_ten_buckets():
    """A window of 10 s forgets in steps of at most 1 s."""
    assert BUCKETS >= 10


class CircuitModel(RuleBasedStateMachine):
    """The circuit against a slow model of its rules: calls, verdicts, time and operators in any order."""

    OPEN_FOR, MAX, MINIMUM, RATE, PROBES, WINDOW = 5.0, 25.0, 4, 0.5, 2, 10.0

    @initialize()
    def begin(self) -> None:
        self.call = Clock()
        self.circuit = machine(
            failure_rate=self.RATE, minimum_calls=self.MINIMUM, window=self.WINDOW,
            open_for=self.OPEN_FOR, max_open_for=self.MAX, probes=self.PROBES,
        )  # fmt: skip
        self.state, self.until, self.reopened, self.succeeded = "closed", 0.0, 0, 0
        self.log: list[tuple[int, bool]] = []
        self.flying: list[Any] = []  # (admission, our generation)
        self.generation = 0
        self.probing: list[Any] = []

    def become(self, state: str) -> None:
        self.state, self.generation, self.probing, self.succeeded = state, self.generation + 1, [], 0
        if state == "open":
            self.until = self.call.time + min(self.OPEN_FOR * 2**self.reopened, self.MAX)
        if state == "closed":
            self.reopened, self.log = 0, []

    @rule(sent=st.booleans())
    def ask(self, sent: bool) -> None:
        now = self.call.time
        if self.state == "open" and now >= self.until:
            self.become("half-open")
        self.probing = [p for p in self.probing if p.sent_at is None or now - p.sent_at <= LEASE]
        expected = self.state == "closed" or (
            self.state == "half-open" and len(self.probing) + self.succeeded < self.PROBES
        )
        if not expected:
            with pytest.raises(CircuitOpen) as refusal:
                self.circuit.admit(self.call)
            assert refusal.value.retry_after is not None
            assert refusal.value.retry_after >= 0
            return
        admission = self.circuit.admit(self.call)
        admission.sent_at = now if sent else None
        self.flying.append((admission, self.generation))
        if self.state == "half-open":
            self.probing.append(admission)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), verdict=st.sampled_from(["success", "failure", "neutral"]))
    def answer(self, data: Any, verdict: str) -> None:
        admission, generation = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        report(self.circuit, self.call, admission, verdict)
        if generation != self.generation:
            return
        if self.state == "half-open":
            if admission not in self.probing:
                return
            self.probing.remove(admission)
            if verdict == "failure":
                self.reopened += 1
                self.become("open")
            elif verdict == "success":
                self.succeeded += 1
                if self.succeeded == self.PROBES:
                    self.become("closed")
        elif verdict != "neutral":
            index = int(self.call.time / (self.WINDOW / BUCKETS))
            self.log.append((index, verdict == "failure"))
            self.log = [entry for entry in self.log if entry[0] > index - BUCKETS]
            failures = sum(failed for _, failed in self.log)
            if verdict == "failure" and len(self.log) >= self.MINIMUM and failures >= self.RATE * len(self.log):
                self.become("open")

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.5, 3.0, 5.0, 12.0]))
    def wait(self, seconds: float) -> None:
        self.call.time += seconds

    @rule()
    def reset(self) -> None:
        self.circuit.circuit.reset()
        self.become("closed")

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "circuit"):
            assert self.circuit.state == self.state
            assert len(self.circuit.probes) <= self.PROBES


CircuitModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCircuitModel = CircuitModel.TestCase
