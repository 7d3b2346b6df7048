"""Edges of pybreaker's view of a circuit: what cannot be written or called, what its listeners get, what is logged."""

from typing import Any

import pybreaker
import pytest
from circuits import Clock, machine, one

from seawall import CircuitBreaker


def opened(**options: Any) -> Any:
    """A circuit that one failure has just opened, of the key "it"."""
    circuit = machine(consecutive=1, **options)
    circuit.belong("it", [])
    one(circuit, Clock(), "failure")
    return circuit


def test_the_state_of_pybreaker_s_storage_cannot_be_written() -> None:
    """Tools that write to pybreaker's storage are told how a circuit is steered instead."""
    breaker = machine().circuit.breaker
    with pytest.raises(AttributeError, match=r"open\(\), close\(\) and half_open\(\)"):
        breaker._state_storage.state = "open"
    assert breaker.current_state == "closed"


def test_pybreaker_s_success_counter_tells_the_probes_that_succeeded() -> None:
    """While half-open, what pybreaker calls the success counter is the number of good probes."""
    circuit = opened(probes=3)
    assert machine().circuit.breaker.success_counter == 0
    circuit.force("half-open")
    for _ in range(2):
        one(circuit, Clock(), "success")
    assert circuit.circuit.breaker.success_counter == 2


def test_the_states_that_pybreaker_s_listeners_get_are_of_their_breaker() -> None:
    """Each one knows the breaker that it is a state of, as pybreaker's own do."""
    seen: list[Any] = []

    class Listener(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            seen.append((old_state._breaker is cb, old_state.name, new_state._breaker is cb, new_state.name))

    circuit = machine(listeners=[Listener()])
    circuit.force("open")
    circuit.force("isolated")
    circuit.force("half-open")
    assert seen == [
        (True, *names) for names in [("closed", True, "open"), ("open", True, "open"), ("open", True, "half-open")]
    ]


def test_transitions_and_listeners_that_raise_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A transition is a warning that names the circuit; what a listener raised is an error that names the change."""

    class Broken(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            raise ValueError("mine")

    opened(listeners=[Broken()])
    assert [record.getMessage() for record in caplog.records] == [
        "circuit it: closed -> open",
        "a circuit listener raised on closed -> open",
    ]


def test_a_call_through_pybreaker_is_refused_with_the_reason() -> None:
    """However it is called, and whatever with."""
    breaker = machine().circuit.breaker
    for way in (breaker.call, breaker.call_async, breaker.calling):
        with pytest.raises(NotImplementedError) as refused:
            way(print, 1, end="")
        assert str(refused.value) == (
            "a Seawall circuit admits the calls of its own clients; send the request through one, or use a "
            "pybreaker.CircuitBreaker of your own for other work"
        )


def test_what_is_no_listener_is_refused_by_name() -> None:
    """The error says what would be one."""
    with pytest.raises(TypeError) as refused:
        CircuitBreaker(listeners=["mine"])  # type: ignore[list-item]
    assert str(refused.value) == (
        "CircuitBreaker: listeners must be pybreaker.CircuitBreakerListener objects, not 'mine'"
    )
