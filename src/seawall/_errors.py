"""The errors Seawall raises itself; everything else that reaches a caller is the real thing.

    SeawallError
      Rejected            nothing was sent      .endpoint .key .retry_after
        CircuitOpen       also pybreaker.CircuitBreakerError
        QueueFull         the waiting line is full
        WaitTooLong       the wait passes the deadline or max_wait
      TimedOut            a Timeout policy expired
      StackError          also ValueError: the policies do not make a coherent stack
      OptionError         also ValueError: a per-request option is unknown or malformed

An error raised by a call made through `seawall.httpx` also inherits `httpx.TransportError`
(`TimedOut` its `TimeoutException`, `WaitTooLong` its `PoolTimeout`) and has `.request` set, so code
written for httpx keeps working.
"""

from collections.abc import Hashable
from typing import Literal

import pybreaker


class SeawallError(Exception):
    """Base of every error that Seawall raises itself."""


class Rejected(SeawallError):
    """A policy refused the call before anything was sent for it."""

    endpoint: str | None = None
    """The pattern of the endpoint that refused, `"*"` for the default one."""
    key: Hashable = None
    """The key whose state refused, an origin unless the policy says otherwise."""
    retry_after: float | None = None
    """Seconds after which a call has a chance, where that is known."""


class CircuitOpen(Rejected, pybreaker.CircuitBreakerError):
    """The circuit for this key is open: too many of its recent calls failed."""


class QueueFull(Rejected):
    """The line before a `ConcurrencyLimit` already holds as many calls as it may."""


class WaitTooLong(Rejected):
    """The wait for a slot, a token or a connection would pass the deadline or `max_wait`."""


class TimedOut(SeawallError):
    """A `Timeout` policy, or a per-request timeout or deadline, expired."""

    scope: Literal["attempt", "call"] = "call"
    """What ran out of time: one attempt (it may be retried) or the whole call."""


class StackError(SeawallError, ValueError):
    """The policies, or the endpoints, do not make a coherent stack."""


class OptionError(SeawallError, ValueError):
    """A per-request option is unknown, or has a value it cannot have."""


class Expired(Exception):
    """A runtime's deadline passed. Never leaves the library: it becomes `TimedOut` or `WaitTooLong`."""
