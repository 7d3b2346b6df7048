"""The edges of a circuit: exactly at a rate, at a due time, at a bound, and what a refusal says."""

from typing import Any

import httpx
import pytest
from calls import ORIGIN, URL, client, outcome
from circuits import LEASE, Clock, machine, one, report
from drivers import known
from tenacity import wait_fixed

import seawall
from seawall import CircuitBreaker, CircuitChanged, CircuitOpen, Retry, State, Timeout
from seawall._window import Window
from seawall.testing import Recorder, ScriptedServer, VirtualRuntime, reply


def opened(call: Any, **options: Any) -> Any:
    """A circuit that one failure has just opened, of the key "it"."""
    circuit = machine(consecutive=1, **options)
    circuit.belong("it", [])
    one(circuit, call, "failure")
    return circuit


def refusal(circuit: Any, call: Any) -> tuple[str, Any, float | None]:
    """What the refusal of a call says: its message, its key, and when to come again."""
    told: list[Any] = []

    def rejected(kind: type, message: str, *, key: Any, retry_after: float | None) -> Exception:
        told.append((message, key, retry_after))
        return kind(message)

    call.rejected = rejected
    with pytest.raises(seawall.CircuitOpen):
        circuit.admit(call)
    return told[0]  # type: ignore[no-any-return]


class Waiter:
    """A place in a line, as far as a circuit sees it."""

    woken = False

    def wake(self) -> bool:
        self.woken = True
        return True


def test_exactly_the_failure_rate_is_enough() -> None:
    """It opens at the rate itself, not only above it."""
    circuit, call = machine(failure_rate=0.5, minimum_calls=4), Clock()
    for verdict in ("success", "success", "failure"):
        one(circuit, call, verdict)
    assert circuit.state == "closed"
    one(circuit, call, "failure")
    assert circuit.state == "open"


def test_slowness_is_judged_by_its_own_rate() -> None:
    """With `slow_call` set, neither some failures nor some slow calls open it below their rates."""
    circuit, call = machine(slow_call=1.0, slow_rate=0.5, failure_rate=0.5, minimum_calls=4), Clock()
    for _ in range(6):
        one(circuit, call, "success")
    one(circuit, call, "failure")
    slow = circuit.admit(call)
    slow.slow = True
    report(circuit, call, slow, "success")
    assert circuit.state == "closed"
    assert circuit.snapshot() == {"state": "closed", "calls": 8, "failures": 1, "slow": 1, "probes": 0}


def test_a_verdict_falls_due_at_its_very_time() -> None:
    """One lease after the headers, to the instant, an open body counts as a success."""
    circuit, call = machine(), Clock()
    circuit.await_body(circuit.admit(call), call, call.time)
    call.time += LEASE
    one(circuit, call, "success")
    assert circuit.window.calls == 2


@pytest.mark.parametrize("verdict", ["success", "neutral"])
def test_a_verdict_that_fell_due_is_not_counted_again(verdict: str) -> None:
    """A body that ends after it was counted as a success adds nothing, unless it broke."""
    circuit, call = machine(slow_call=1.0), Clock()
    late = circuit.admit(call)
    late.slow = True
    circuit.await_body(late, call, call.time)
    call.time += LEASE + 1
    one(circuit, call, "success")
    report(circuit, call, late, verdict)
    assert circuit.snapshot() == {"state": "closed", "calls": 2, "failures": 0, "slow": 1, "probes": 0}


def test_a_failure_is_counted_once() -> None:
    """A call that failed already and then breaks as well is one failure."""
    circuit, call = machine(), Clock()
    admission = circuit.admit(call)
    report(circuit, call, admission, "failure")
    report(circuit, call, admission, "failure")
    assert (circuit.window.calls, circuit.window.failures) == (1, 1)


def test_a_dropped_body_counts_for_nothing() -> None:
    """A response that was collected without being closed is neither a success nor a failure."""
    circuit, call = machine(), Clock()
    dropped = circuit.admit(call)
    circuit.await_body(dropped, call, call.time)
    dropped.abandon()
    one(circuit, call, "success")
    assert (circuit.window.calls, circuit.window.failures) == (1, 0)


def test_a_dropped_body_does_not_hide_those_that_fell_due_behind_it() -> None:
    """Bodies that ended early leave the line of open ones as well, and are counted once."""
    circuit, call = machine(), Clock()
    first, second = circuit.admit(call), circuit.admit(call)
    for admission in (first, second):
        admission.sent_at = call.time
        circuit.await_body(admission, call, call.time)
    second.settle(call, "read", None)
    call.time += LEASE
    one(circuit, call, "success")
    assert circuit.window.calls == 3
    assert not circuit.pending


def test_slow_bodies_that_fell_due_may_open_it_as_another_one_ends() -> None:
    """It is looked at with every end of a body: no further call has to come for slowness to be noticed."""
    circuit, call = machine(slow_call=1.0, slow_rate=0.5, minimum_calls=3), Clock(coin=0.0)
    quick = circuit.admit(call)
    for _ in range(3):
        slow = circuit.admit(call)
        slow.slow = True
        circuit.await_body(slow, call, call.time)
    call.time += LEASE
    quick.settle(call, "read", None)
    assert circuit.state == "open"
    assert circuit.open_until == pytest.approx(call.time + 0.8 * 5)


def test_slow_bodies_may_open_a_circuit_that_closes_between_a_call_s_two_looks_at_it() -> None:
    """Seen half-open, it may have been closed by another thread: what has fallen due since then is judged."""
    circuit, call, late = machine(slow_call=1.0, minimum_calls=1), Clock(), Clock(coin=0.0)
    circuit.force("half-open")

    def now() -> float:
        if circuit.state == "half-open":
            circuit.force("closed")
            slow = circuit.admit(call)
            slow.slow = True
            circuit.await_body(slow, call, call.time)
            late.time += LEASE
        return late.time

    late.runtime.now = now
    with pytest.raises(CircuitOpen):
        circuit.admit(late)
    assert circuit.open_until == pytest.approx(late.time + 0.8 * 5)


def test_it_is_idle_from_the_instant_at_which_its_last_body_falls_due() -> None:
    """A closed circuit may be forgotten when no open body can change what it counted."""
    circuit, call = machine(), Clock()
    circuit.await_body(circuit.admit(call), call, call.time)
    assert not circuit.idle(call.time + LEASE - 0.1)
    assert circuit.idle(call.time + LEASE)


def test_half_open_lets_out_no_more_than_it_still_needs() -> None:
    """Once one of two probes has succeeded, the other one is the last."""
    circuit = opened(call := Clock(), probes=2)
    call.time += 10
    first, second = circuit.admit(call), circuit.admit(call)
    report(circuit, call, first, "success")
    with pytest.raises(CircuitOpen):
        circuit.admit(call)
    report(circuit, call, second, "success")
    assert circuit.state == "closed"


def test_transitions_in_quick_succession_wake_everybody_whom_one_of_them_revoked() -> None:
    """One that comes before the wakes of another are delivered does not swallow them."""
    circuit, call, waiters = machine(), Clock(), [Waiter(), Waiter()]
    for waiter in waiters:
        circuit.admit(call).watch(waiter)
        circuit._become("open")
        circuit._become("closed")
    assert not any(waiter.woken for waiter in waiters)
    circuit.deliver()
    assert all(waiter.woken for waiter in waiters)


@pytest.mark.parametrize("shadow", [False, True])
def test_a_circuit_inside_another_leaves_the_outer_one_its_verdict(shadow: bool) -> None:
    """Whether the inner one lets a probe out, or lets everything pass in shadow, the outer one counts the call."""

    async def main() -> list[Any]:
        inner = CircuitBreaker(name="inner", consecutive=1, shadow=shadow)
        async with client(ScriptedServer(), CircuitBreaker(name="outer"), inner) as c:
            await c.get(URL)
            outer_circuit, inner_circuit = c.state.circuits()
            inner_circuit.open() if shadow else inner_circuit.half_open()
            await c.get(URL)
            return [outer_circuit.name, inner_circuit.state, c.state.snapshot()[0]["calls"]]

    assert VirtualRuntime().run(main()) == ["outer", "open" if shadow else "closed", 2]


def test_every_listener_hears_a_transition_and_one_of_two_clients_hears_it_once() -> None:
    """Two listeners of one client each hear it; one that two clients share hears it once."""
    both, mine, state = Recorder(), Recorder(), State()

    async def main() -> None:
        server = ScriptedServer(then=500)
        policy = CircuitBreaker(consecutive=1)
        other = client(server, policy, listeners=[both], state=state)
        async with client(server, policy, listeners=[both, mine], state=state) as c, other:
            await c.get(URL)

    VirtualRuntime().run(main())
    for recorder in (both, mine):
        assert [(event.old, event.new) for event in recorder.of(CircuitChanged)] == [("closed", "open")]


@pytest.mark.parametrize(("status", "seconds"), [(503, 60), (500, 5), (502, 5)])
def test_only_a_503_sets_the_open_time(status: int, seconds: float) -> None:
    """A Retry-After of any other failing status is Retry's business, not the circuit's."""

    async def main() -> float:
        server = ScriptedServer(reply(status, headers={"Retry-After": "60"}))
        async with client(server, CircuitBreaker(consecutive=1)) as c:
            await c.get(URL)
            error = await outcome(c.get(URL))
            return error.retry_after  # type: ignore[no-any-return]

    assert VirtualRuntime().run(main()) == pytest.approx(seconds, rel=0.21)


def test_a_short_open_time_is_kept_to() -> None:
    """Without a Retry-After an open time below a second is not made longer."""
    circuit = opened(call := Clock(), open_for=0.25)
    assert circuit.open_until == call.time + 0.25


def test_a_refusal_says_which_circuit_and_when_it_may_close() -> None:
    """Open: what is left of the open time. Half-open: when a probe's place comes free. Isolated: nothing is known."""
    circuit = opened(call := Clock(), open_for=5)
    call.time += 4.5
    assert refusal(circuit, call) == ("the circuit for it is open; it may close in 0.5 s", "it", 0.5)
    call.time += 0.5
    circuit.admit(call)
    assert refusal(circuit, call) == (f"the circuit for it is half-open; it may close in {LEASE:g} s", "it", LEASE)
    circuit.force("isolated")
    assert refusal(circuit, call) == ("the circuit for it is isolated", "it", None)


def test_a_call_that_comes_into_line_after_its_circuit_opened_does_not_wait() -> None:
    """Who was let in before the circuit opened, and only then takes a place in a line, is woken at once to fail."""
    circuit, call = machine(consecutive=1), Clock()
    early = circuit.admit(call)
    waiter = Waiter()
    early.watch(waiter)
    early.unwatch(waiter)
    assert not waiter.woken
    one(circuit, call, "failure")
    early.watch(waiter)
    assert waiter.woken


def test_a_total_deadline_counts_against_the_server_from_half_of_it_on() -> None:
    """Without an attempt's Timeout, an attempt on the wire for half the total when it expires is a failure."""

    async def main(wait: float) -> dict[str, Any]:
        await runtime.sleep(100)  # the deadline is measured from the call's start, not from the clock's
        server = ScriptedServer(httpx.ConnectError, then=reply(after=60))
        async with client(server, Timeout(10), Retry(2, wait=wait_fixed(wait)), CircuitBreaker(window=60)) as c:
            assert isinstance(await outcome(c.get(URL)), seawall.TimedOut)
            return known(c.state, CircuitBreaker)

    for wait, failures in ((4, 2), (5, 2), (6, 1)):
        runtime = VirtualRuntime()
        told = runtime.run(main(wait))
        assert (told["calls"], told["failures"]) == (failures, failures)


def test_a_failed_answer_that_was_slow_is_both() -> None:
    """A response of a failing status counts as slow as well if it took longer than `slow_call`."""

    async def main() -> Any:
        server = ScriptedServer(reply(500, after=2), reply(500, after=0.5), reply(after=1))
        async with client(server, CircuitBreaker(slow_call=1.0)) as c:
            for _ in range(3):
                await c.get(URL)
            return known(c.state, CircuitBreaker)

    told = VirtualRuntime().run(main())
    assert (told["calls"], told["failures"], told["slow"]) == (3, 2, 2)


def test_a_call_counts_until_it_is_nine_tenths_of_a_window_old() -> None:
    """The window turns at the very start of each of its tenths."""
    window = Window(10.0)
    for second in range(10):
        window.add(float(second), False, False)
    for second in range(10, 20):
        window.advance(float(second))
        assert window.calls == 19 - second


def test_what_failed_or_was_slow_in_one_tenth_is_forgotten_together() -> None:
    """However many there were, none counts once their tenth has left the window."""
    window = Window(10.0)
    for _ in range(3):
        window.add(0.5, True, False)
        window.add(0.5, False, True)
    for now in (0.5, 5.0, 9.9):
        window.advance(now)
        assert (window.calls, window.failures, window.slow) == (6, 3, 3)
    window.advance(10.0)
    assert (window.calls, window.failures, window.slow) == (0, 0, 0)


def test_a_window_turns_once_in_each_of_its_tenths() -> None:
    """Between that to count a success is to add one."""

    class Turning(Window):
        turns = 0

        def advance(self, now: float) -> None:
            self.turns += 1
            super().advance(now)

    window = Turning(10.0)
    for tenth in range(30):
        window.add_successes((tenth / 10,))
    assert (window.calls, window.turns) == (30, 3)


def test_after_a_long_silence_nothing_counts() -> None:
    """A window that was not looked at for longer than it lasts starts from zero."""
    window = Window(10.0)
    window.add(5.0, True, True)
    window.add(1_000_000.0, False, True)
    assert (window.calls, window.failures, window.slow) == (1, 0, 1)


def test_a_rejection_of_a_client_names_its_origin() -> None:
    """The error of a refused call tells the key of the circuit and when to come again."""

    async def main() -> None:
        state = State()
        async with client(ScriptedServer(500), CircuitBreaker(consecutive=1, open_for=8), state=state) as c:
            await c.get(URL)
            state.circuit(ORIGIN).open()
            error = await outcome(c.get(URL))
        assert isinstance(error, seawall.CircuitOpen)
        assert error.key == ORIGIN
        assert error.retry_after is not None
        assert 8 * 0.8 <= error.retry_after <= 8 * 1.2

    VirtualRuntime().run(main())
