"""Locks that let others in at the worst moments, and look after what they guard.

They yield just before they are taken and just after they were let go. A state is looked at each time that its lock is
let go, and whoever changes it must hold the lock: so every step that any thread takes is checked.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from seawall import State
from seawall._circuit import CircuitState
from seawall._queue import Queue, Ticket
from seawall._slots import Slots
from seawall._throttle import ThrottleState
from seawall.policies.retry import BudgetState


class Lock:
    """A lock before which, and after which, others may run."""

    def __init__(self, nap: Callable[[], None], broken: list[str]) -> None:
        self.owner: Any = None
        self._holder: int | None = None
        self._lock = threading.Lock()
        self._nap = nap
        self._broken = broken

    def acquire(self, blocking: bool = True) -> bool:
        self._nap()
        taken = self._lock.acquire(blocking)
        if taken:
            self._holder = threading.get_ident()
        return taken

    def release(self) -> None:
        if self.owner is not None and (what := wrong(self.owner)):
            self._broken.append(what)
        self._holder = None
        self._lock.release()
        self._nap()

    def check(self, what: str) -> None:
        """Something that it guards is changed."""
        if self._holder != threading.get_ident():
            self._broken.append(f"{what} changed without the lock")

    def guard(self, state: Any) -> None:
        """Look after a state that was made just now: at each change, and each time that the lock is let go."""
        self.owner = state
        names = GUARDED.get(type(state))
        if names is not None:
            state.__class__ = _guarded(type(state), names)
        if isinstance(state, Slots | ThrottleState):
            state._queue = GuardedQueue(self)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class GuardedQueue(Queue):
    """A line that is changed under its owner's lock only."""

    def __init__(self, lock: Lock) -> None:
        super().__init__()
        self.lock = lock

    def push(self, ticket: Ticket) -> None:
        self.lock.check("a line")
        super().push(ticket)

    def pop(self) -> Ticket | None:
        self.lock.check("a line")
        return super().pop()

    def discard(self, ticket: Ticket) -> None:
        self.lock.check("a line")
        super().discard(ticket)


GUARDED: dict[type, frozenset[str]] = {
    Slots: frozenset({"in_use"}),
    BudgetState: frozenset({"tokens"}),
    CircuitState: frozenset(
        {"state", "generation", "probes", "probes_succeeded", "failed_in_a_row", "open_until", "_to_wake"}
    ),
}
"""What may only be set under the lock."""


def _guarded(kind: type, names: frozenset[str]) -> type:
    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807 - it is one
        if name in names:
            self._lock.check(f"{name} of {self!r}")
        object.__setattr__(self, name, value)

    return type(kind.__name__, (kind,), {"__setattr__": __setattr__})


def wrong(state: Any) -> str | None:
    """What does not hold of a state that no other thread changes now."""
    good = True
    if isinstance(state, Slots):
        good = 0 <= state.in_use <= state.limit and 0 <= state.waiting <= state.bound
        good = good and not (state.waiting and state.in_use < state.limit)
    elif isinstance(state, BudgetState):
        good = 0 <= state.tokens <= state.capacity
    elif isinstance(state, CircuitState):
        window, probes = state._window, state.probes
        good = len(probes) + state.probes_succeeded <= state.settings.probes
        good = good and (state.state == "half-open" or not probes)
        good = good and all(probe.generation is state.generation for probe in probes)
        totals = [sum(bucket[i] for bucket in window._buckets) for i in range(3)]
        good = good and totals == [window.calls, window.failures, window.slow]
    elif isinstance(state, ThrottleState):
        good = state._queue.waiting >= 0 and getattr(state.engine, "_left", 0.0) > -1e-6
    elif isinstance(state, State):
        uses = Counter(id(cell) for chain in state.chains.values() for cell in chain.cells)
        good = all(cell.chains == uses[id(cell)] for cell in state._cells.values())
        good = good and set(state._loose) <= set(state._cells)
    return None if good else f"{state!r} {state.snapshot() if not isinstance(state, State) else ''}"
