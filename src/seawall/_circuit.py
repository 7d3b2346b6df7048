"""The state machine of one circuit. Plain and synchronous: time comes in, a decision goes out.

    closed --(too many failed, or were slow)--> open --(open time over, a call comes)--> half-open
    half-open --(every probe succeeded)--> closed;   half-open --(a probe failed)--> open, for longer
    isolated: open by an operator's hand until closed or reset by one

- Calls are counted in a window of BUCKETS rotating buckets with running totals, so a verdict is O(1).
- Every admission carries the generation in which it was made. A transition revokes the generation: what an
  earlier one still reports is ignored, and what it still has waiting in line is woken to fail.
- A success is only final with the body: the verdict of an open body is given when it ends, or
  one attempt timeout after its headers, whichever is first. There is no timer: verdicts that have
  fallen due are given when the circuit is next looked at.
- What nearly every call ends with, a success that was neither slow nor a probe's, changes nothing by itself. So it is
  only written down (`finished`), which needs no lock, and counted before anything is decided or shown, in a batch.
- Half-open lets `probes` calls out. A probe that never reports loses its place one lease after it was sent.

`_lock` guards everything but the notices, which are delivered outside it, in order, by one thread at a time.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Literal

from ._admission import ENDED, GENERATION, SETTLED, Admission, Generation, Verdict
from ._call import INF, Call
from ._errors import CircuitOpen, Rejected
from ._listeners import Listener, logger, notify
from ._window import Window
from .runtime import Waiter

if TYPE_CHECKING:
    from ._breaker import Circuit
    from .policies.circuit_breaker import CircuitBreaker

Name = Literal["closed", "open", "half-open", "isolated"]

JITTER = 0.2


class CircuitState:
    """One circuit."""

    def __init__(self, settings: "CircuitBreaker") -> None:
        self.settings = settings
        self.state: Name = "closed"
        self.label: Hashable = None
        self.open_until: float | None = None  # None while open: from whenever the next call comes
        self.reopened = 0
        self._window = Window(settings.window)
        self.failed_in_a_row = 0
        self.probes: list[Admission] = []
        self.probes_succeeded = 0
        self.generation = Generation()
        self.pending: deque[Admission] = deque()  # open bodies, in the order in which their verdicts fall due
        self.finished: list[Admission] = []
        self.orphans: list[Admission] = []
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._notices: list[tuple[Name, Name]] = []
        self._notifying = False
        self._to_wake: list[Waiter] = []
        self._circuit: Circuit | None = None

    def belong(self, label: Hashable, listeners: list[Listener]) -> None:
        """Whose circuit this is, and who is told."""
        self.label = label
        self._listeners = listeners

    @property
    def circuit(self) -> "Circuit":
        """For those who watch and steer it. Made when it is first asked for: of many circuits few are looked at."""
        from ._breaker import Circuit

        with self._lock:
            if self._circuit is None:
                self._circuit = Circuit(self)
            return self._circuit

    # -- admission and verdict

    def admit(self, call: Call) -> Admission:
        """Let a call in, or raise `CircuitOpen`."""
        generation, state = self.generation, self.state  # in this order: a transition in between revokes it
        if state == "closed":
            admission = Admission()  # as `_admission`, which would be a call
            admission.circuit, admission.generation, admission.outer = self, generation, call.guard
            return admission
        now = call.runtime.now()
        with self._lock:
            self._settle_due(now, call.runtime.random)
            if self.state == "open":
                if self.open_until is None:
                    self.open_until = now + self.open_time(call.runtime.random)
                if now >= self.open_until:
                    self._become("half-open")
            probe = self.state == "half-open"
            if probe:
                self._expire_probes(now, call)
                refused = len(self.probes) >= self.settings.probes - self.probes_succeeded
            else:
                refused = self.state != "closed"
            generation = self.generation
            if not refused:
                admission = self._admission(generation, call)
                if probe:
                    admission.probe = True
                    self.probes.append(admission)
        self.deliver()
        if refused:
            if not self.settings.shadow:
                raise self.rejection(call)
            return self._admission(Generation(), call)
        return admission

    def _admission(self, generation: Generation, call: Call) -> Admission:
        admission = Admission()
        admission.circuit, admission.generation, admission.outer = self, generation, call.guard
        return admission

    def rejection(self, call: Call) -> Rejected:
        """The error for a call that this circuit refuses."""
        now, until = call.runtime.now(), self.open_until
        retry_after = None
        if self.state == "open":
            retry_after = self.settings.open_for if until is None else max(0.0, until - now)
        elif self.state == "half-open":
            retry_after = self._lease(call)
        when = "" if retry_after is None else f"; it may close in {retry_after:.3g} s"
        return call.rejected(
            CircuitOpen, f"the circuit for {self.label} is {self.state}{when}", key=self.label, retry_after=retry_after
        )

    def await_body(self, admission: Admission, call: Call, now: float) -> None:
        """Its headers were good: the verdict is its body's, or success when it falls due."""
        wait = call.chain.attempt_timeout
        admission.due = now + (wait if wait < INF else self.settings.open_for)
        self.pending.append(admission)

    def report(
        self,
        admission: Admission,
        verdict: Verdict,
        now: float,
        coin: Callable[[], float],
        retry_after: float | None = None,
    ) -> None:
        """How an admitted call ended. `coin` jitters the open time if that opens the circuit."""
        with self._lock:
            self._count_finished()
            if self._count(admission, verdict, now):
                self._open(now, coin, retry_after)
            self._settle_due(now, coin)
        self.deliver()

    def catch_up(self, now: float, coin: Callable[[], float]) -> None:
        """Count what was written down."""
        with self._lock:
            self._settle_due(now, coin)
        self.deliver()

    @property
    def window(self) -> Window:
        """What was counted lately."""
        with self._lock:
            self._count_finished()
        return self._window

    def _count_finished(self) -> None:
        """Under the lock: count the successes that were written down."""
        finished = self.finished
        batch = finished[:]
        if not batch:
            return
        del finished[: len(batch)]  # others may have added to it meanwhile
        if any(map(SETTLED, batch)) or set(map(GENERATION, batch)) != {self.generation}:
            batch = [a for a in batch if not a.settled and a.generation is self.generation]
        if batch:
            self.failed_in_a_row = 0
            self._window.add_successes(list(map(ENDED, batch)))
        pending = self.pending
        while pending and pending[0].ended is not None:  # bodies mostly end in the order in which they came
            pending.popleft()

    def abandon(self, admission: Admission) -> None:
        """Take an admission back from a collector, which may have interrupted a holder of the lock.

        Then it is for whoever looks at the circuit next.
        """
        self.orphans.append(admission)
        self._drain()

    def _drain(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._take_back()
            finally:
                self._lock.release()

    def _take_back(self) -> None:
        while self.orphans:
            self._count(self.orphans.pop(), "neutral", 0.0)

    def _count(self, admission: Admission, verdict: Verdict, now: float) -> bool:
        """Count a verdict. True if the circuit must open for it."""
        first = not admission.settled
        admission.settled = True
        broke_later = admission.counted and verdict == "failure"
        if admission.generation is not self.generation or not (first or broke_later):
            return False
        if admission.probe:
            return self._count_probe(admission, verdict, first)
        if verdict == "neutral":
            return False
        failed = verdict == "failure"
        slow = admission.slow and first
        self.failed_in_a_row = self.failed_in_a_row + 1 if failed else 0
        self._window.add(now, failed, slow)
        return (failed or slow) and self._tripped()

    def _count_probe(self, admission: Admission, verdict: Verdict, first: bool) -> bool:
        if first:
            if admission not in self.probes:
                return False  # it had lost its place to its lease
            self.probes.remove(admission)
        if verdict == "success":
            self.probes_succeeded += 1
            if self.probes_succeeded >= self.settings.probes:
                self._become("closed")
        return verdict == "failure"

    def _tripped(self) -> bool:
        settings, window = self.settings, self._window
        if settings.consecutive is not None and self.failed_in_a_row >= settings.consecutive:
            return True
        if window.calls < settings.minimum_calls:
            return False
        return window.failures >= settings.failure_rate * window.calls or (
            settings.slow_call is not None and window.slow >= settings.slow_rate * window.calls
        )

    def _settle_due(self, now: float, coin: Callable[[], float]) -> None:
        """Under the lock: give the verdicts that fell due, and take back what was dropped."""
        if self.finished:
            self._count_finished()
        self._take_back()
        pending = self.pending
        while pending:
            admission = pending[0]
            over = admission.settled or admission.ended is not None
            if not over and admission.due > now:
                return
            pending.popleft()  # first: a transition clears them all
            if not over:
                admission.counted = True
                if self._count(admission, "success", now):  # it was slow
                    self._open(now, coin, None)

    def _expire_probes(self, now: float, call: Call) -> None:
        """Take back the places of probes that never reported. One with good headers has until it falls due."""
        lease = self._lease(call)
        self.probes = [p for p in self.probes if p.sent_at is None or now - p.sent_at <= lease or p.due < INF]

    def _lease(self, call: Call) -> float:
        limit = call.chain.attempt_timeout
        return limit if limit < INF else self.settings.open_for

    # -- transitions

    def open_time(self, coin: Callable[[], float]) -> float:
        """How long to stay open: doubling with each failed probe, jittered, bounded."""
        settings = self.settings
        spread = 1 + JITTER * (2 * coin() - 1)
        return min(settings.open_for * 2.0 ** min(self.reopened, 60) * spread, settings.max_open_for)

    def _open(self, now: float, coin: Callable[[], float], retry_after: float | None) -> None:
        if self.state == "half-open":
            self.reopened += 1
        asked = min(retry_after or 0.0, self.settings.max_open_for)
        self._become("open")
        self.open_until = now + max(self.open_time(coin), asked)

    def _become(self, new: Name) -> None:
        """Under the lock: a new state and generation."""
        old, self.state = self.state, new
        previous, self.generation = self.generation, Generation()
        if new in ("open", "isolated") and not self.settings.shadow:
            previous.revoked = True
            self._to_wake += previous.waiters
        self.probes, self.probes_succeeded = [], 0
        self.open_until = None
        self.pending.clear()
        if new == "closed":
            self.reopened = self.failed_in_a_row = 0
            self._window.clear()
        if old != new:
            self._notices.append((old, new))

    def force(self, new: Name) -> None:
        """An operator's transition."""
        with self._lock:
            self._count_finished()
            self._become(new)
        self.deliver()

    def deliver(self) -> None:
        """Outside the lock: wake whom a transition revoked, tell who listens, in order."""
        if self._to_wake:
            with self._lock:
                waiters, self._to_wake = self._to_wake, []
            for waiter in waiters:
                waiter.wake()
        while self._notices:
            with self._lock:
                if self._notifying or not self._notices:
                    return
                self._notifying = True
                old, new = self._notices.pop(0)
            try:
                self._tell(old, new)
            finally:
                self._notifying = False

    def _tell(self, old: Name, new: Name) -> None:
        logger.warning("circuit %s: %s -> %s", self.label, old, new)
        if self._circuit is not None or self.settings.listeners:
            self.circuit.breaker.tell(old, new)
        told = self._listeners.copy()  # several transports may share one listener, which may be a bound method
        once = [listener for place, listener in enumerate(told) if listener not in told[:place]]
        if once:
            from ._events import CircuitChanged

            notify(once, CircuitChanged(endpoint=None, key=self.label, old=old, new=new))

    # -- state

    def idle(self, now: float) -> bool:
        """Whether forgetting it changes nothing that a call could notice soon."""
        with self._lock:
            self._count_finished()
        pending = tuple(self.pending)  # other threads append
        return self.state == "closed" and all(a.settled or a.ended is not None or a.due <= now for a in pending)

    def snapshot(self) -> dict[str, Any]:
        """Plain data."""
        window = self.window
        return {
            "state": self.state,
            "calls": window.calls,
            "failures": window.failures,
            "slow": window.slow,
            "probes": len(self.probes),
        }

    def __repr__(self) -> str:
        window = self._window  # without the lock: one may look while it is held
        return f"<Circuit {self.label} {self.state} {window.failures}/{window.calls} failed>"
