"""Seawall makes an httpx client survive the network it talks to.

from seawall.httpx import AsyncClient

async with AsyncClient() as client:                 # timeouts, retries, circuit breaking, limits
    response = await client.get("https://api.example.com/items")
    print(seawall.report(response).attempts)
"""

import importlib
from typing import TYPE_CHECKING, Any

from ._call import Call, report
from ._endpoints import Endpoints
from ._errors import (
    CircuitOpen,
    OptionError,
    QueueFull,
    Rejected,
    SeawallError,
    StackError,
    TimedOut,
    WaitTooLong,
)
from ._options import options
from ._policy import Next, Policy
from ._stack import Stack, standard
from ._state import State
from .backoff import full_jitter
from .policies.circuit_breaker import CircuitBreaker
from .policies.concurrency_limit import ConcurrencyLimit
from .policies.retry import Retry, RetryBudget
from .policies.throttle import Throttle
from .policies.timeout import Timeout

if TYPE_CHECKING:
    from . import httpx as httpx
    from . import httpx2 as httpx2
    from ._breaker import Circuit
    from ._events import Attempt, CallEnded, CallRejected, CircuitChanged, Event, GaveUp, Paused, Report, RetryScheduled
    from ._protect import protect as protect
    from ._protect import unprotect as unprotect
    from .policies.idempotency_key import IdempotencyKey
    from .policies.read_body import ReadBody

__version__ = "0.1.0"

__all__ = [
    "Attempt",
    "Call",
    "CallEnded",
    "CallRejected",
    "Circuit",
    "CircuitBreaker",
    "CircuitChanged",
    "CircuitOpen",
    "ConcurrencyLimit",
    "Endpoints",
    "Event",
    "GaveUp",
    "IdempotencyKey",
    "Next",
    "OptionError",
    "Paused",
    "Policy",
    "QueueFull",
    "ReadBody",
    "Rejected",
    "Report",
    "Retry",
    "RetryBudget",
    "RetryScheduled",
    "SeawallError",
    "Stack",
    "StackError",
    "State",
    "Throttle",
    "TimedOut",
    "Timeout",
    "WaitTooLong",
    "full_jitter",
    "options",
    "report",
    "standard",
]

_LATER = {
    "Circuit": "._breaker",
    "IdempotencyKey": ".policies.idempotency_key",
    "ReadBody": ".policies.read_body",
}
"""Where that is which few programs need; the records, which are imported as late, are all in one place."""

for _thing in [globals().get(_name) for _name in __all__]:  # tracebacks and documentation show the public names
    if isinstance(_thing, type) or hasattr(_thing, "__code__"):
        _thing.__module__ = __name__
del _thing

if not TYPE_CHECKING:  # type checkers know the names, and so find the misspelt ones

    def __getattr__(name: str) -> Any:
        """What is imported when it is asked for, and kept: a listener may ask for records with every event."""
        if name in ("httpx", "httpx2"):
            return importlib.import_module(f".{name}", __name__)
        if name in ("protect", "unprotect"):
            return getattr(importlib.import_module("._protect", __name__), name)
        if name in __all__:
            thing = globals()[name] = getattr(importlib.import_module(_LATER.get(name, "._events"), __name__), name)
            return thing
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
