"""What a circuit gives to each call that it lets in, and what the end of that call says about the server."""

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from ._body import End
from ._call import INF, Call
from ._errors import TimedOut
from .runtime import Waiter

if TYPE_CHECKING:
    from ._circuit import CircuitState

Verdict = Literal["success", "failure", "neutral"]

BATCH = 32
"""How many successes may be written down before they are counted."""

GENERATION, SETTLED, ENDED = map(attrgetter, ("generation", "settled", "ended"))
"""Of an admission. A batch is looked at with these, without running Python for each of them."""


class Generation:
    """The calls let in between two transitions, as far as they still wait in line."""

    __slots__ = ("revoked", "waiters")

    def __init__(self) -> None:
        self.revoked = False
        self.waiters: dict[Waiter, None] = {}  # in order: they are woken as they came


class Admission:
    """One call let in by a circuit. Doubles as the hold on its body, whose end may be the verdict."""

    circuit: "CircuitState"
    generation: Generation
    outer: Any = None
    probe = False
    sent_at: float | None = None
    slow = False
    settled = False
    counted = False
    """Settled as a success because it fell due, with the body still open."""
    due = INF
    ended: float | None = None
    """When its body ended; -INF if it was dropped, whenever that was."""

    def watch(self, waiter: Waiter) -> None:
        with self.circuit._lock:
            self.generation.waiters[waiter] = None
            revoked = self.generation.revoked
        if revoked:
            waiter.wake()

    def unwatch(self, waiter: Waiter) -> None:
        self.generation.waiters.pop(waiter, None)

    def check(self, call: Call) -> None:
        if self.generation.revoked:
            raise self.circuit.rejection(call)

    def settle(self, call: Call, end: End, error: BaseException | None) -> None:
        circuit = self.circuit
        self.ended = now = call.runtime.now()
        if end == "broken" or self.probe or self.slow:
            verdict: Verdict = judged(call, self, error) if end == "broken" else "success"
            circuit.report(self, verdict, now, call.runtime.random)
            return
        finished, pending = circuit.finished, circuit.pending
        finished.append(self)
        if len(finished) >= BATCH or (pending and pending[0].due <= now):
            circuit.catch_up(now, call.runtime.random)

    def abandon(self) -> None:
        self.ended = -INF
        self.circuit.abandon(self)


def judged(call: Call, admission: Admission, error: BaseException | None) -> Verdict:
    """What an error says about the server. Nothing, if it came before anything was sent."""
    if admission.sent_at is None:
        return "neutral"
    if isinstance(error, TimedOut) and error.scope == "call":
        on_the_wire = call.runtime.now() - admission.sent_at
        limit = call.chain.attempt_timeout
        if limit == INF:
            limit = (min(call.deadline, call.trail.deadline) - call.trail.started) / 2
        return "failure" if on_the_wire >= limit else "neutral"
    return "failure" if call.family.failed(error) else "neutral"
