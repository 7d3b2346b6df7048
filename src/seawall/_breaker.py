"""How a circuit is seen and steered: as a real `pybreaker.CircuitBreaker`, and as Seawall's own `Circuit`.

Admission stays with the state machine: pybreaker's own `call` holds its lock across the call, lets every
half-open call through under asyncio and counts cancellations as failures. So the breaker shown here is a
subclass whose state, `open()`, `close()` and `half_open()` go to the machine, and whose `call` refuses.
"""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import pybreaker

from ._listeners import logger

if TYPE_CHECKING:
    from ._circuit import CircuitState


class Storage(pybreaker.CircuitMemoryStorage):
    """pybreaker's view of the counts, read from the machine."""

    def __init__(self, machine: "CircuitState") -> None:
        super().__init__(pybreaker.STATE_CLOSED)
        self._machine = machine

    @property
    def state(self) -> str:
        return "open" if self._machine.state == "isolated" else self._machine.state

    @state.setter
    def state(self, state: str) -> None:
        raise AttributeError("the state of a Seawall circuit changes through open(), close() and half_open()")

    @property
    def counter(self) -> int:
        return self._machine.window.failures

    @property
    def success_counter(self) -> int:
        return self._machine.probes_succeeded


class Breaker(pybreaker.CircuitBreaker):
    """A Seawall circuit in pybreaker's clothes: for dashboards, listeners and operators that know pybreaker."""

    def __init__(self, machine: "CircuitState") -> None:
        self._machine = machine
        settings = machine.settings
        super().__init__(
            fail_max=settings.consecutive or settings.minimum_calls,
            reset_timeout=settings.open_for,
            success_threshold=settings.probes,
            listeners=settings.listeners,
            state_storage=Storage(machine),
            name=settings.name or str(machine.label),
        )

    @property
    def state(self) -> Any:
        """The state as one of pybreaker's state objects."""
        return _shown(self, self._state_storage.state)

    @state.setter
    def state(self, state: str) -> None:
        raise AttributeError("the state of a Seawall circuit changes through open(), close() and half_open()")

    def open(self) -> bool:
        """Open the circuit now; it goes half-open by itself after its open time."""
        self._machine.force("open")
        return self._throw_new_error_on_trip

    def close(self) -> None:
        """Close the circuit now."""
        self._machine.force("closed")

    def half_open(self) -> None:
        """Let the next calls through as probes."""
        self._machine.force("half-open")

    def call(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: calls are admitted by the client that owns the circuit."""
        raise NotImplementedError(
            "a Seawall circuit admits the calls of its own clients; send the request through one, or use a "
            "pybreaker.CircuitBreaker of your own for other work"
        )

    call_async = calling = call

    def tell(self, old: str, new: str) -> None:
        """Tell pybreaker's listeners of a transition, each isolated from the others."""
        before, after = (_shown(self, "open" if name == "isolated" else name) for name in (old, new))
        for listener in self.listeners:
            try:
                listener.state_change(self, before, after)
            except Exception:
                logger.exception("a circuit listener raised on %s -> %s", old, new)

    def __repr__(self) -> str:
        return f"<Breaker {self.name} {self.current_state}>"


def _shown(breaker: Breaker, name: str) -> pybreaker.CircuitBreakerState:
    """One of pybreaker's state objects, made without notifying anybody."""
    kinds: dict[str, Any] = {
        pybreaker.STATE_CLOSED: pybreaker.CircuitClosedState,
        pybreaker.STATE_OPEN: pybreaker.CircuitOpenState,
        pybreaker.STATE_HALF_OPEN: pybreaker.CircuitHalfOpenState,
    }
    state: pybreaker.CircuitBreakerState = kinds[name](breaker, None)
    return state


class Circuit:
    """One circuit, for those who watch and steer it. Got from `State.circuits()` or `State.circuit(key)`."""

    def __init__(self, machine: "CircuitState") -> None:
        self._machine = machine
        self.breaker = Breaker(machine)
        """The circuit as a `pybreaker.CircuitBreaker`, for tools that know those."""

    @property
    def key(self) -> Hashable:
        """What it guards: an origin such as `https://api.example.com`, unless the policy's `key` says otherwise."""
        return self._machine.label

    @property
    def name(self) -> str | None:
        """The policy's name, if it has one."""
        return self._machine.settings.name

    @property
    def state(self) -> Literal["closed", "open", "half-open", "isolated"]:
        """What it does with a call now. An open circuit becomes half-open when a call comes after its open time."""
        return self._machine.state

    def open(self) -> None:
        """Reject calls, for one open time."""
        self._machine.force("open")

    def close(self) -> None:
        """Let every call through."""
        self._machine.force("closed")

    def half_open(self) -> None:
        """Let probes through; their outcome decides."""
        self._machine.force("half-open")

    def isolate(self) -> None:
        """Reject every call until `close()` or `reset()`."""
        self._machine.force("isolated")

    def reset(self) -> None:
        """Close it and forget what it counted."""
        self._machine.force("closed")

    def __repr__(self) -> str:
        return repr(self._machine)


Circuit.__module__ = __package__  # its public name, however it is come by
