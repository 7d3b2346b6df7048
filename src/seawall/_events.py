"""What happened, as small immutable records.

A listener is any callable of one event. It runs where the event happened, outside every lock; one that
raises is logged and changes nothing. Events carry no header values and no URLs.
"""

import logging
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._values import Value

if TYPE_CHECKING:
    from ._call import Report

logger = logging.getLogger("seawall")


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

    report: "Report"
    status: int | None
    error: str | None


Listener = Callable[[Event], object]


def notify(listeners: Iterable[Listener], event: Event) -> None:
    """Tell each listener, isolated from each other and from us."""
    for listener in listeners:
        try:
            listener(event)
        except Exception:
            logger.exception("a seawall listener raised on %s", type(event).__name__)
