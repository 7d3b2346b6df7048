"""A circuit's state machine without clients: a clock to drive it, and calls as verdicts."""

from types import SimpleNamespace
from typing import Any

from seawall import CircuitBreaker
from seawall._circuit import CircuitState

LEASE = 3.0


class Clock:
    """A caller of the machine: its runtime, its chain, and the error it would raise."""

    def __init__(self, coin: float = 0.5, lease: float = LEASE) -> None:
        self.time = 100.0
        self.coin = coin
        self.runtime = SimpleNamespace(now=lambda: self.time, random=lambda: self.coin)
        self.chain = SimpleNamespace(attempt_timeout=lease)
        self.family = SimpleNamespace(failed=lambda error: isinstance(error, OSError))
        self.guard = None

    def rejected(self, kind: type, message: str, *, key: Any, retry_after: float | None) -> Exception:
        error = kind(message)
        error.retry_after = retry_after
        return error


def machine(**options: Any) -> CircuitState:
    """A circuit of these settings."""
    return CircuitState(CircuitBreaker(**options))


def report(circuit: CircuitState, call: Any, admission: Any, verdict: Any, retry_after: float | None = None) -> None:
    circuit.report(admission, verdict, call.runtime.now(), call.runtime.random, retry_after)


def one(circuit: CircuitState, call: Any, verdict: Any) -> None:
    """One call from admission to verdict."""
    report(circuit, call, circuit.admit(call), verdict)
