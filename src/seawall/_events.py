"""What is told of calls, as small immutable records: reports, and what listeners hear of.

They are for who asks or listens. Until then nothing imports this module: to make its classes takes a tenth of the time
to import Seawall. Records carry no header values and no URLs.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from ._values import Value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Attempt(Value):
    """One try at sending the request. All times in seconds."""

    number: int
    """From 1."""
    started: float
    """When it was sent, after the start of the call."""
    elapsed: float
    """From send to response headers, or to the error. Attempts that were cancelled are not listed."""
    status: int | None
    """Of its answer; None without one."""
    error: Exception | None
    """What it raised, if it did."""
    waited: float
    """The backoff before it."""
    retry_after: float | None
    """What the server asked for in its answer."""
    hedged: bool
    """Whether it ran beside another attempt. No policy does that yet."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Report(Value):
    """What Seawall did for one call. All times in seconds."""

    endpoint: str | None
    """The pattern of the endpoint that handled it, `"*"` for the default one."""
    key: Hashable
    """The origin it was sent to."""
    attempts: tuple[Attempt, ...]
    """Those that were sent, in order, of every redirect and authentication hop."""
    queued: float
    """Time in waiting lines: for a slot, or for a connection."""
    throttled: float
    """Time waiting for a throttle."""
    elapsed: float
    """From the start of the call to its answer."""
    gave_up: str | None
    """Why a failure was not retried: "attempts", "budget", "deadline", "method", "body", "retry-after" or
    "stop"; None where the answer needed no retry."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Event(Value):
    """Something that happened, at one endpoint and key."""

    endpoint: str | None
    key: Hashable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RetryScheduled(Event):
    """An attempt failed and another follows after `wait` seconds."""

    attempt: int
    wait: float
    status: int | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class GaveUp(Event):
    """A failed attempt is not followed by another; `reason` as in `Report.gave_up`."""

    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CallRejected(Event):
    """A policy refused a call before anything was sent; `reason` is the error's name."""

    reason: str
    retry_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Paused(Event):
    """The server asked for a pause of `seconds`; every call of the key waits for it."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CircuitChanged(Event):
    """A circuit went from state `old` to state `new`."""

    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CallEnded(Event):
    """The call has its answer: response headers, or an error. `report` tells the whole story."""

    report: Report
    status: int | None
    error: str | None


for _record in (Attempt, Report, Event, RetryScheduled, GaveUp, CallRejected, Paused, CircuitChanged, CallEnded):
    _record.__module__ = __package__  # they show the name by which they are public
del _record
