"""The circuit held to a slow model of its rules, and its window to a plain count."""

from typing import Any

import pytest
from circuits import LEASE, Clock, machine, report
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from stepping import INF, Waiter

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


class Flight:
    """A call that the circuit let in, as the model sees it."""

    def __init__(self, admission: Any, generation: int | None) -> None:
        self.admission = admission
        self.generation = generation  # None: let in by shadow alone, and never counted
        self.probe = False
        self.sent_at: float | None = None
        self.slow = False
        self.due = INF  # when its open body counts as a success
        self.said: str | None = None  # its verdict, once it has one
        self.waiter: Waiter | None = None


class CircuitModel(RuleBasedStateMachine):
    """The circuit against a slow model of its rules: calls, bodies, verdicts, time and operators in any order."""

    OPEN_FOR, MAX, MINIMUM, RATE, SLOW_RATE, WINDOW = 5.0, 25.0, 4, 0.5, 0.75, 10.0

    @initialize(
        probes=st.integers(1, 3), consecutive=st.none() | st.just(3), slow=st.booleans(), shadow=st.booleans(),
        lease=st.sampled_from([LEASE, INF]), coin=st.sampled_from([0.0, 0.5, 1.0]),
    )  # fmt: skip
    def begin(self, probes: int, consecutive: int | None, slow: bool, shadow: bool, lease: float, coin: float) -> None:
        self.call: Any = Clock(coin, lease)
        self.lease = lease if lease < INF else self.OPEN_FOR
        self.probes, self.consecutive, self.slow_call, self.shadow = probes, consecutive, slow, shadow
        self.circuit = machine(
            failure_rate=self.RATE, minimum_calls=self.MINIMUM, window=self.WINDOW, open_for=self.OPEN_FOR,
            max_open_for=self.MAX, probes=probes, consecutive=consecutive, slow_call=1.0 if slow else None,
            slow_rate=self.SLOW_RATE, shadow=shadow,
        )  # fmt: skip
        self.told: list[tuple[str, str]] = []
        self.circuit.belong("it", [lambda event: self.told.append((event.old, event.new))])
        self.state, self.generation = "closed", 0
        self.until: float | None = None
        self.reopened = self.succeeded = self.in_a_row = 0
        self.log: list[tuple[int, bool, bool]] = []
        self.flights: list[Flight] = []  # on their way
        self.bodies: list[Flight] = []  # with good headers
        self.dropped: list[Flight] = []
        self.out: list[Flight] = []  # probes that hold a place
        self.changes: list[tuple[str, str]] = []
        self.revoked: set[int] = set()

    # -- the model

    def become(self, new: str) -> None:
        if new != self.state:
            self.changes.append((self.state, new))
        if new in ("open", "isolated") and not self.shadow:
            self.revoked.add(self.generation)
        self.state, self.generation = new, self.generation + 1
        self.until, self.out, self.succeeded = None, [], 0
        if new == "closed":
            self.reopened, self.in_a_row, self.log = 0, 0, []

    def open_time(self) -> float:
        jitter = 0.8 + 0.4 * self.call.coin
        return min(self.OPEN_FOR * 2**self.reopened * jitter, self.MAX)

    def trip(self, retry_after: float | None = None) -> None:
        self.reopened += self.state == "half-open"
        self.become("open")
        self.until = self.call.time + max(self.open_time(), min(retry_after or 0.0, self.MAX))

    def judge(self, flight: Flight, verdict: str, retry_after: float | None = None) -> None:
        """Its first verdict counts; after a success by falling due, a break as well."""
        before, flight.said = flight.said, flight.said or verdict
        late = before == "due" and verdict == "failure"
        if flight.generation != self.generation or not (before is None or late):
            return
        if flight.probe:
            if before is None:
                if flight not in self.out:
                    return  # it had lost its place
                self.out.remove(flight)
            if verdict == "failure":
                self.trip(retry_after)
            elif verdict in ("success", "due"):
                self.succeeded += 1
                if self.succeeded >= self.probes:
                    self.become("closed")
        elif verdict != "neutral":
            failed, slow = verdict == "failure", flight.slow and before is None
            index = int(self.call.time / (self.WINDOW / BUCKETS))
            self.in_a_row = self.in_a_row + 1 if failed else 0
            self.log = [entry for entry in [*self.log, (index, failed, slow)] if entry[0] > index - BUCKETS]
            if (failed or slow) and self.must_open():
                self.trip(retry_after)

    def must_open(self) -> bool:
        if self.consecutive and self.in_a_row >= self.consecutive:
            return True
        failures, slow = sum(entry[1] for entry in self.log), sum(entry[2] for entry in self.log)
        return len(self.log) >= self.MINIMUM and (
            failures >= self.RATE * len(self.log) or (self.slow_call and slow >= self.SLOW_RATE * len(self.log))
        )

    def look(self) -> None:
        """Whenever the circuit is looked at, what was dropped is taken back and what fell due counts."""
        while self.dropped:
            self.judge(self.dropped.pop(0), "neutral")
        for flight in sorted(self.bodies, key=lambda one: one.due):
            if flight.due <= self.call.time and flight.said is None and flight.generation == self.generation:
                self.judge(flight, "due")

    def draw(self, data: Any, flights: list[Flight]) -> Flight | None:
        return flights.pop(data.draw(st.integers(0, len(flights) - 1))) if flights else None

    # -- calls

    @rule(send=st.booleans())
    def ask(self, send: bool) -> None:
        now = self.call.time
        if self.state != "closed":
            self.look()
            if self.state == "open" and self.until is None:  # opened by hand: from whenever the next call comes
                self.until = now + self.open_time()
            if self.state == "open" and now >= self.until:
                self.become("half-open")
        self.out = [f for f in self.out if f.sent_at is None or now - f.sent_at <= self.lease or f.due < INF]
        room = self.state == "half-open" and len(self.out) + self.succeeded < self.probes
        admitted = self.state == "closed" or room
        if not admitted and not self.shadow:
            with pytest.raises(CircuitOpen) as refusal:
                self.circuit.admit(self.call)
            left = {"open": (self.until or 0) - now, "half-open": self.lease, "isolated": None}[self.state]
            assert refusal.value.retry_after == (left if left is None else pytest.approx(left))
            return
        flight = Flight(self.circuit.admit(self.call), self.generation if admitted else None)
        flight.probe = self.state == "half-open" and admitted
        assert flight.admission.probe == flight.probe
        self.flights.append(flight)
        if flight.probe:
            self.out.append(flight)
        if send:
            flight.admission.sent_at = flight.sent_at = now
        else:
            flight.waiter = Waiter()
            flight.admission.watch(flight.waiter)

    @rule(data=st.data())
    def go(self, data: Any) -> None:
        """A call that waited in one of our lines has its turn: it is sent, unless its circuit opened meanwhile."""
        flight = self.draw(data, [one for one in self.flights if one.sent_at is None])
        if flight is None:
            return
        flight.admission.unwatch(flight.waiter)
        if flight.generation in self.revoked:
            with pytest.raises(CircuitOpen):
                flight.admission.check(self.call)
            self.flights.remove(flight)
            report(self.circuit, self.call, flight.admission, "neutral")
            self.judge(flight, "neutral")
            self.look()
        else:
            flight.admission.check(self.call)
            flight.admission.sent_at = flight.sent_at = self.call.time

    @rule(
        data=st.data(), verdict=st.sampled_from(["success", "failure", "failure", "neutral"]),
        slow=st.booleans(), retry_after=st.sampled_from([None, 2.0, 9.0, 90.0]),
    )  # fmt: skip
    def answer(self, data: Any, verdict: str, slow: bool, retry_after: float | None) -> None:
        flight = self.draw(data, self.flights)
        if flight is not None:
            flight.admission.slow = flight.slow = slow and self.slow_call
            report(self.circuit, self.call, flight.admission, verdict, retry_after)
            self.judge(flight, verdict, retry_after)
            self.look()

    # -- bodies

    @rule(data=st.data(), slow=st.booleans())
    def headers(self, data: Any, slow: bool) -> None:
        """Good headers: the verdict is the body's."""
        flight = self.draw(data, self.flights)
        if flight is not None:
            flight.admission.slow = flight.slow = slow and self.slow_call
            flight.admission.sent_at = flight.sent_at = self.call.time if flight.sent_at is None else flight.sent_at
            flight.due = self.call.time + self.lease
            self.circuit.await_body(flight.admission, self.call, self.call.time)
            self.bodies.append(flight)

    @rule(data=st.data(), end=st.sampled_from(["read", "closed", "broken", "cancelled"]))
    def end(self, data: Any, end: str) -> None:
        """A body ends: early or late, well or with an error of the server's or the caller's."""
        flight = self.draw(data, self.bodies)
        if flight is not None:
            error = {"broken": OSError(), "cancelled": KeyboardInterrupt()}.get(end)
            flight.admission.settle(self.call, "broken" if error else end, error)
            self.judge(flight, {"broken": "failure", "cancelled": "neutral"}.get(end, "success"))
            self.look()

    @rule(data=st.data())
    def drop(self, data: Any) -> None:
        """A response is collected without having been closed."""
        flight = self.draw(data, self.bodies)
        if flight is not None:
            flight.admission.abandon()
            self.dropped.append(flight)

    # -- time and operators

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.5, 3.0, 5.0, 12.0]))
    def wait(self, seconds: float) -> None:
        self.call.time += seconds

    @rule(way=st.sampled_from(["open", "close", "half_open", "isolate", "reset"]))
    def operate(self, way: str) -> None:
        getattr(self.circuit.circuit, way)()
        state = {"open": "open", "close": "closed", "half_open": "half-open", "isolate": "isolated", "reset": "closed"}
        self.become(state[way])

    # -- what holds after every step

    @invariant()
    def agrees(self) -> None:
        """One state, one open time, one count, and listeners hear every change in order."""
        if not hasattr(self, "circuit"):
            return
        circuit = self.circuit
        assert circuit.state == self.state
        assert circuit.open_until == (self.until if self.until is None else pytest.approx(self.until))
        failures, slow = sum(entry[1] for entry in self.log), sum(entry[2] for entry in self.log)
        window = circuit.window
        assert (window.calls, window.failures, window.slow) == (len(self.log), failures, slow)
        assert self.told == self.changes

    @invariant()
    def probes_are_bounded(self) -> None:
        """Whatever came and went, no more than `probes` are out or have succeeded in one half-open time."""
        if hasattr(self, "circuit"):
            now, mine = self.call.time, [f for f in self.flights + self.bodies if f.probe and f.said is None]
            out = [f for f in mine if f.generation == self.generation]
            holding = [f for f in out if f.sent_at is None or now - f.sent_at <= self.lease]
            assert len(holding) + self.succeeded <= self.probes
            assert len(self.circuit.probes) + self.circuit.probes_succeeded <= self.probes

    @invariant()
    def who_was_revoked_is_woken(self) -> None:
        """A call in line is woken when its circuit opens, and only then."""
        for flight in getattr(self, "flights", ()):
            if flight.sent_at is None:
                assert flight.waiter.woken == (flight.generation in self.revoked)


TestCircuitModel = CircuitModel.TestCase
