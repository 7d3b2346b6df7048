"""A circuit in pybreaker's clothes: seen and steered through a real `pybreaker.CircuitBreaker`, and listened to."""

import logging
import threading
from typing import Any

import httpx
import pybreaker
import pytest
from calls import ORIGIN, URL, client, outcome
from circuits import Clock, machine, one

import seawall
from seawall import CircuitBreaker, CircuitOpen
from seawall.testing import Recorder, ScriptedServer, VirtualRuntime


class Listener(pybreaker.CircuitBreakerListener):
    """Remembers the transitions that pybreaker's interface tells of."""

    def __init__(self, log: list[str] | None = None, label: str = "") -> None:
        self.log = [] if log is None else log
        self.label = label

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        self.log.append(f"{self.label}{old_state.name} -> {new_state.name}")


class Raising(pybreaker.CircuitBreakerListener):
    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        raise RuntimeError("a listener's bug")


def test_a_circuit_is_a_real_pybreaker_circuit_breaker():
    """Dashboards that know pybreaker read its name, state, counts and thresholds as they always do."""

    async def main() -> None:
        server = ScriptedServer(then=500)
        async with client(server, CircuitBreaker(consecutive=3, open_for=7, probes=2)) as c:
            for _ in range(2):
                await c.get(URL)
            breaker = c.state.circuit(ORIGIN).breaker
            assert isinstance(breaker, pybreaker.CircuitBreaker)
            assert (breaker.name, breaker.current_state, breaker.fail_counter) == (ORIGIN, "closed", 2)
            assert (breaker.fail_max, breaker.reset_timeout, breaker.success_threshold) == (3, 7, 2)
            await c.get(URL)
            assert breaker.current_state == pybreaker.STATE_OPEN
            assert isinstance(breaker.state, pybreaker.CircuitOpenState)

    VirtualRuntime().run(main())


def test_a_named_circuit_shows_its_name():
    """The policy's name is the breaker's name."""

    async def main() -> Any:
        async with client(ScriptedServer(), CircuitBreaker(name="search")) as c:
            await c.get(URL)
            return c.state.circuit("search").breaker.name

    assert VirtualRuntime().run(main()) == "search"


def test_steering_the_breaker_steers_the_calls():
    """`open()`, `half_open()` and `close()` of pybreaker's object decide what the next calls meet."""

    async def main() -> None:
        server = ScriptedServer()
        async with client(server, CircuitBreaker()) as c:
            await c.get(URL)
            circuit = c.state.circuit(ORIGIN)
            circuit.breaker.open()
            assert isinstance(await outcome(c.get(URL)), CircuitOpen)
            circuit.breaker.half_open()
            assert (circuit.state, circuit.breaker.current_state) == ("half-open", "half-open")
            await c.get(URL)  # the probe closes it
            assert circuit.state == "closed"
            circuit.breaker.open()
            circuit.breaker.close()
            await c.get(URL)
            assert len(server.requests) == 3

    VirtualRuntime().run(main())


@pytest.mark.parametrize("way", ["close", "reset"])
def test_an_isolated_circuit_rejects_until_closed_or_reset(way: str):
    """Time does not lift an operator's isolation; pybreaker sees it as open."""
    runtime = VirtualRuntime()

    async def main() -> None:
        async with client(ScriptedServer(), CircuitBreaker(open_for=5)) as c:
            await c.get(URL)
            circuit = c.state.circuit(ORIGIN)
            circuit.isolate()
            await runtime.sleep(100_000)
            error = await outcome(c.get(URL))
            assert isinstance(error, CircuitOpen)
            assert error.retry_after is None
            assert (circuit.state, circuit.breaker.current_state) == ("isolated", "open")
            getattr(circuit, way)()
            assert (await c.get(URL)).status_code == 200

    runtime.run(main())


def test_an_operator_s_open_lasts_one_open_time_from_the_next_call():
    """A circuit opened by hand probes again by itself."""
    runtime = VirtualRuntime()

    async def main() -> None:
        async with client(ScriptedServer(), CircuitBreaker(open_for=5)) as c:
            await c.get(URL)
            c.state.circuit(ORIGIN).open()
            error = await outcome(c.get(URL))
            assert 4 <= error.retry_after <= 6
            await runtime.sleep(error.retry_after)
            assert (await c.get(URL)).status_code == 200
            assert c.state.circuit(ORIGIN).state == "closed"

    runtime.run(main())


def test_reset_forgets_what_was_counted():
    """After a reset the failures before it open nothing, and the open time starts small again."""
    call = Clock()
    circuit = machine(failure_rate=0.5, minimum_calls=4, open_for=5)
    for _ in range(3):
        one(circuit, call, "failure")
    circuit.circuit.reset()
    one(circuit, call, "failure")
    assert circuit.state == "closed"
    assert circuit.snapshot()["failures"] == 1


@pytest.mark.parametrize("way", ["call", "call_async"])
def test_calls_are_not_admitted_through_pybreaker(way: str):
    """`call` refuses with the reason: admission belongs to the client."""
    breaker = machine().circuit.breaker
    with pytest.raises(NotImplementedError, match="its own clients"):
        getattr(breaker, way)(print)
    with pytest.raises(NotImplementedError):
        breaker.calling()
    with pytest.raises(AttributeError, match="open\\(\\), close\\(\\) and half_open\\(\\)"):
        breaker.state = "open"


def test_circuit_open_is_an_error_of_all_three_trees():
    """`except` of seawall, of httpx and of pybreaker each catch it."""

    async def main() -> Any:
        async with client(ScriptedServer(500), CircuitBreaker(consecutive=1)) as c:
            await c.get(URL)
            return await outcome(c.get(URL))

    error = VirtualRuntime().run(main())
    for kind in (seawall.CircuitOpen, seawall.Rejected, httpx.TransportError, pybreaker.CircuitBreakerError):
        assert isinstance(error, kind)


def test_listeners_of_both_kinds_hear_every_transition_in_order():
    """pybreaker's listeners and ours are told closed -> open -> half-open -> closed, each once, in order."""
    runtime, theirs, ours = VirtualRuntime(), Listener(), Recorder()

    async def main() -> None:
        breaker = CircuitBreaker(consecutive=1, open_for=5, listeners=(theirs,))
        async with client(ScriptedServer(500), breaker, listeners=[ours]) as c:
            await c.get(URL)
            await runtime.sleep(6)
            await c.get(URL)

    runtime.run(main())
    assert theirs.log == ["closed -> open", "open -> half-open", "half-open -> closed"]
    assert [f"{e.old} -> {e.new}" for e in ours.of(seawall.CircuitChanged)] == theirs.log
    assert {e.key for e in ours.of(seawall.CircuitChanged)} == {ORIGIN}


def test_a_client_with_mounts_hears_each_transition_once():
    """A listener is one listener, however many transports of its client it watches."""
    ours, server = Recorder(), ScriptedServer(500)

    async def main() -> None:
        mounts = {"https://other.example.com": server, "http://": server}
        async with client(server, CircuitBreaker(consecutive=1), listeners=[ours], mounts=mounts) as c:
            await c.get(URL)

    VirtualRuntime().run(main())
    assert len(ours.of(seawall.CircuitChanged)) == 1


def test_a_listener_that_raises_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture):
    """Neither the circuit, nor the other listeners, nor the call notice a listener's bug."""
    theirs, ours = Listener(), Recorder()

    def broken(event: seawall.Event) -> None:
        raise RuntimeError("ours is broken as well")

    async def main() -> Any:
        breaker = CircuitBreaker(consecutive=1, listeners=(Raising(), theirs))
        async with client(ScriptedServer(500), breaker, listeners=[broken, ours]) as c:
            response = await c.get(URL)
            return response.status_code, c.state.circuit(ORIGIN).state

    assert VirtualRuntime().run(main()) == (500, "open")
    assert theirs.log == ["closed -> open"]
    assert len(ours.of(seawall.CircuitChanged)) == 1
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) >= 2


def test_listeners_run_outside_every_lock():
    """A listener may look at the circuit, and steer it from another thread, while it is being told."""
    circuit = machine(consecutive=1)
    seen = []

    class Asking(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            assert not circuit._lock.locked()
            thread = threading.Thread(target=lambda: seen.append(circuit.circuit.breaker.current_state))
            thread.start()
            thread.join()

    circuit.circuit.breaker.add_listener(Asking())
    one(circuit, Clock(), "failure")
    assert seen == ["open"]


def test_a_listener_that_steers_the_circuit_does_not_upset_the_order():
    """A transition made by a listener is told after the one it was being told of, to everybody."""
    circuit, log = machine(consecutive=1), []

    class Closing(Listener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            super().state_change(cb, old_state, new_state)
            if new_state.name == "open":
                cb.close()

    circuit.circuit.breaker.add_listeners(Closing(log, "1: "), Listener(log, "2: "))
    one(circuit, Clock(), "failure")
    assert circuit.state == "closed"
    assert log == ["1: closed -> open", "2: closed -> open", "1: open -> closed", "2: open -> closed"]


def test_a_transition_is_logged_as_a_warning(caplog: pytest.LogCaptureFixture):
    """The logger `seawall` says which circuit went from what to what."""
    circuit = machine(consecutive=1)
    circuit.belong(ORIGIN, [])
    with caplog.at_level(logging.WARNING, "seawall"):
        one(circuit, Clock(), "failure")
    assert f"circuit {ORIGIN}: closed -> open" in caplog.text


def test_anything_else_is_no_listener():
    """A plain function is refused at construction, with the type that is wanted."""
    with pytest.raises(TypeError, match="CircuitBreakerListener"):
        CircuitBreaker(listeners=(print,))  # type: ignore[arg-type]


def test_a_circuit_s_repr_tells_its_state():
    """Circuit and breaker show key and state."""
    circuit = machine(consecutive=1)
    circuit.belong(ORIGIN, [])
    one(circuit, Clock(), "failure")
    assert ORIGIN in repr(circuit.circuit)
    assert "open" in repr(circuit.circuit)
    assert "open" in repr(circuit.circuit.breaker)
