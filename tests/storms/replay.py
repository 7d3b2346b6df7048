"""Everything that the code of a case needs: `from storms.replay import *`, in tests/, then `replay(Case(...))`."""

import httpx

from seawall import (
    CircuitBreaker,
    ConcurrencyLimit,
    IdempotencyKey,
    ReadBody,
    Retry,
    RetryBudget,
    Throttle,
    Timeout,
    full_jitter,
)

from . import laws_of_accounts, laws_of_bounds, laws_of_calls  # noqa: F401 - each adds its laws
from .case import Answer, Case, Cut, Fixed, Visit
from .law import check
from .storm import play
from .trace import Trace

__all__ = [
    "Answer", "Case", "CircuitBreaker", "ConcurrencyLimit", "Cut", "Fixed", "IdempotencyKey", "ReadBody", "Retry",
    "RetryBudget", "Throttle", "Timeout", "Visit", "full_jitter", "httpx", "replay", "script",
]  # fmt: skip


def replay(case: Case) -> Trace:
    """Play a case and see that everything holds."""
    trace = play(case)
    check(case, trace)
    return trace


def script(case: Case) -> str:
    """A program that replays a case."""
    return f"from storms.replay import *\n\nreplay({case!r})\n"
