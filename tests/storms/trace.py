"""What happened in a storm, as the server, the callers and the listeners saw it."""

from dataclasses import dataclass, field
from typing import Any

from .case import Answer

INF = float("inf")


@dataclass
class Sent:
    """One request as the server saw it. `began`, `answered` and `over` are places in the log."""

    visit: int
    host: str
    answer: Answer
    at: float
    began: int
    key: str | None = None
    """Its Idempotency-Key."""
    content: bytes | None = None
    """None if it was not received whole."""
    status: int | None = None
    error: str | None = None
    answered: float = INF
    answered_at: float = INF
    """When its headers or its error left, or it was cut short."""
    over: float = INF
    over_at: float = INF
    """When its body was closed."""


@dataclass
class Ended:
    """How one call went for its caller."""

    started: float
    outcome: Any = None
    """A status, the name of an error, or STRUCK."""
    error: Exception | None = None
    report: Any = None
    content: bytes = b""
    whole: bool = False
    """Whether the body was read to its end."""
    hit: bool = False
    """Whether it was cancelled before it had ended."""
    unbalanced: int = 0
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When the caller waited for us: for the response, for each chunk, for closing."""


@dataclass
class Heard:
    """An event, its place in the log, and in which call's task it happened."""

    place: int
    at: float
    visit: int | None
    event: Any
    known: bool = True
    """Of a circuit's change, whether the State still knows that circuit."""


@dataclass
class Trace:
    """What happened."""

    log: list[tuple[Any, ...]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """What did not hold at the moment of some entry of the log."""
    later: list[int] = field(default_factory=list)
    """How calls ended long after."""
