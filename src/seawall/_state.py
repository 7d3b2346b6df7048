"""What Seawall remembers between calls: one cell of state per policy and key, bounded.

A chain is the policies of one endpoint and key, bound to their cells. Chains are cached here, and a cell stays
at least as long as a chain uses it, cached or held by a call under way: two cells for one key would make two
limits. If such a call made it of consequence, it is taken back afterwards. Eviction is second chance: a new chain
makes the oldest ones show that they were used since they were last looked at, or that forgetting them would change
something (an open circuit, a call in flight, a spent quota); the others go. So a look-up is one dict access and one
time stamp.
"""

import bisect
import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from . import _check
from ._breaker import Circuit
from ._circuit import CircuitState
from ._errors import StackError
from ._fork import tell_of_forks
from ._listeners import Listener
from ._policy import Chain, Policy, label

LOOKS = 4
"""How many old chains a new one examines."""

NEAR = 100
"""How many keys on either side, in order, are compared with one that is not known."""


class Cell:
    """One policy's state for one key, and how many cached chains use it."""

    __slots__ = ("__weakref__", "chains", "freed", "key", "policy", "remains", "slot", "state")

    def __init__(self, slot: Hashable, key: Hashable, policy: Policy[Any], state: Any) -> None:
        self.slot = slot
        self.key = key
        self.policy = policy
        self.state = state
        self.chains = 0
        self.freed = 0.0
        self.remains: deque[Remains] | None = None
        """Once it is evicted: where what it knows goes when the last call that holds it is over."""

    def __del__(self) -> None:  # may strike anywhere, even while the lock is held
        if self.remains is not None:
            self.remains.append((self.slot, self.key, self.policy, self.state))


Remains = tuple[Hashable, Hashable, Policy[Any], Any]
"""All that a cell consists of."""


class State:
    """The state of one or several clients: circuits, limits, throttles, budgets.

        state = seawall.State()
        client = seawall.httpx.Client(state=state)
        state.circuit("https://api.example.com").isolate()

    Pass one State to several clients, sync and async, to share what they know. `max_keys` (default 10,000, at
    least 1) bounds how many endpoints and keys are kept; `idle` (default 600 s, above 0) how long an unused one
    is. Never evicted: an open or half-open circuit, a limit with calls in flight or waiting, a throttle that
    would admit sooner if forgotten. A forked child starts afresh.
    """

    def __init__(self, max_keys: int = 10_000, idle: float = 600.0) -> None:
        _check.integer("State", "max_keys", max_keys, least=1)
        _check.number("State", "idle", idle, above=0)
        self.max_keys = max_keys
        self.idle = idle
        self.listeners: list[Listener] = []
        self._named: dict[tuple[type, str], Policy[Any]] = {}
        self._begin()
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Start afresh in a forked child."""
        for cell in (*self._cells.values(), *self._evicted.values()):
            if hasattr(cell.state, "_lock"):  # a call that was under way here gives back to it what it held
                cell.state._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self.chains: dict[Hashable, Chain] = {}
        self._cells: dict[tuple[Hashable, Hashable], Cell] = {}
        self._loose: dict[tuple[Hashable, Hashable], Cell] = {}  # cells whose clients were closed
        # evicted, and kept alive by the chain of a call under way (in a backoff, say), which may come back to it
        self._evicted: weakref.WeakValueDictionary[tuple[Hashable, Hashable], Cell] = weakref.WeakValueDictionary()
        self._remains: deque[Remains] = deque()  # of evicted cells that nobody holds any more
        self._now = 0.0  # of the latest sweep

    # -- for operators

    def circuits(self) -> Iterator[Circuit]:
        """Every circuit that is known now."""
        for machine in self._machines():
            yield machine.circuit

    def circuit(self, key: Hashable) -> Circuit:
        """The circuit of a key: an origin such as `https://api.example.com`, or what the policy's key gives.

        Raises `KeyError`, listing the near ones, if no call has made it yet.
        """
        wanted = str(key).rstrip("/") if isinstance(key, str) else key
        known = self._machines()
        for machine in known:
            if wanted == machine.label or (machine.settings.name is not None and wanted == machine.settings.name):
                return machine.circuit
        names = sorted(str(machine.label) for machine in known)
        place = bisect.bisect(names, str(key))
        alike = names[max(0, place - NEAR) : place + NEAR]  # comparing with each of very many takes seconds
        import difflib  # for this error alone; it takes 1 ms to import

        near = difflib.get_close_matches(str(key), alike, n=3, cutoff=0.4) or names[:3]
        raise KeyError(
            f"no circuit {key!r}; " + (f"there is {', '.join(map(repr, near))}" if near else "there is none")
        )

    def snapshot(self) -> list[dict[str, Any]]:
        """Plain data of every live key: circuits, permits in use, queue lengths, tokens, budgets."""
        return [
            {"policy": type(cell.policy).__name__, "name": cell.policy.name, "key": label(cell.key)} | shown
            for cell, shown in self._snapshots()
        ]

    # -- for transports

    def adopt(self, policies: Iterable[Policy[Any]]) -> None:
        """Check names against those already in use. Raises `StackError` for one name with two settings."""
        with self._lock:
            for policy in policies:
                if policy.name is None:
                    continue
                known = self._named.setdefault((type(policy), policy.name), policy)
                if known != policy:
                    raise StackError(
                        f"the name {policy.name!r} is used for two different {type(policy).__name__}: "
                        f"{known!r} and {policy!r}"
                    )

    def add_chain(self, key: Hashable, now: float, build: Callable[[], Chain]) -> Chain:
        """The chain for a key, built now if nobody else just did."""
        with self._lock:
            chain = self.chains.get(key)
            if chain is None:
                self._now = now
                self._recall()
                chain = build()
                chain.used = chain.seen = now
                for cell in chain.cells:
                    cell.chains += 1
                self.chains[key] = chain
                self._sweep()
            return chain

    def cell(self, policy: Policy[Any], slot: Hashable, key: Hashable) -> Cell:
        """A policy's state for a key. Only while a chain is built: the lock is held."""
        place = slot, key
        found = self._cells.get(place)
        if found is None:
            found = self._evicted.pop(place, None)
            if found is not None:
                found.remains = None
            else:
                state = policy.new_state()
                if hasattr(state, "belong"):
                    state.belong(label(key), self.listeners)
                found = Cell(slot, key, policy, state)
            self._cells[place] = found
        self._loose.pop(place, None)
        return found

    def forget(self, owner: object, now: float) -> None:
        """Drop the chains of a transport that was closed. What their cells know stays, for the next client."""
        with self._lock:
            for key in [key for key in self.chains if isinstance(key, tuple) and key[0] is owner]:
                for cell in self._unhook(key):
                    cell.freed = now
                    self._loose[cell.slot, cell.key] = cell

    def _recall(self) -> None:
        """Under the lock: take back what a call changed after its key was evicted, if that is of consequence.

        Its circuit may have opened, or its throttle been told to pause.
        """
        while self._remains:
            cell = Cell(*self._remains.popleft())
            if (cell.slot, cell.key) not in self._evicted:
                self._take_back(cell)

    def _take_back(self, cell: Cell) -> None:
        place = cell.slot, cell.key
        if place not in self._cells and not _idle(cell.state, self._now):
            self._evicted.pop(place, None)
            cell.remains, cell.freed = None, self._now
            self._cells[place] = self._loose[place] = cell

    def _sweep(self) -> None:
        """Under the lock: evict what is old, unused and of no consequence; what closed clients left goes first."""
        now = self._now
        for _ in range(min(LOOKS, len(self._loose))):
            place, cell = next(iter(self._loose.items()))
            full = len(self.chains) + len(self._loose) > self.max_keys
            if not full and now - cell.freed <= self.idle:
                break
            del self._loose[place]
            if _disposable((cell,), now):
                self._evict(cell)
            else:
                cell.freed = now
                self._loose[place] = cell
        for looks in reversed(range(min(LOOKS, len(self.chains) - 1))):
            key, chain = next(iter(self.chains.items()))
            full = len(self.chains) + len(self._loose) > self.max_keys
            if not full and now - chain.seen <= self.idle:
                break
            spared = chain.used > chain.seen and looks > 0  # the last look spares nobody, which keeps the bound
            if (now - chain.used > self.idle or (full and not spared)) and _disposable(chain.cells, now):
                for cell in self._unhook(key):
                    self._evict(cell)
            else:
                chain.seen = now
                self.chains[key] = self.chains.pop(key)

    def _evict(self, cell: Cell) -> None:
        place = cell.slot, cell.key
        cell.remains = self._remains
        self._evicted[place] = self._cells.pop(place)

    def _unhook(self, key: Hashable) -> list[Cell]:
        """Take a chain out. Returns the cells that no chain uses any more."""
        cells = self.chains.pop(key).cells
        for cell in cells:
            cell.chains -= 1
        return [cell for cell in cells if not cell.chains]

    def _machines(self) -> list[CircuitState]:
        return [cell.state for cell in self._all_cells() if isinstance(cell.state, CircuitState)]

    def _snapshots(self) -> Iterator[tuple[Cell, dict[str, Any]]]:
        for cell in self._all_cells():
            if hasattr(cell.state, "snapshot"):
                yield cell, cell.state.snapshot()

    def _all_cells(self) -> list[Cell]:
        with self._lock:
            self._recall()
            for cell in list(self._evicted.values()):
                self._take_back(cell)
            return list(self._cells.values())

    def __repr__(self) -> str:
        return f"<State keys={len(self.chains)}/{self.max_keys} circuits={len(self._machines())}>"


def _disposable(cells: Iterable[Cell], now: float) -> bool:
    """Whether forgetting these cells changes nothing."""
    return all(cell.chains > 1 or _idle(cell.state, now) for cell in cells)


def _idle(state: Any, now: float) -> bool:
    return not hasattr(state, "idle") or state.idle(now)
