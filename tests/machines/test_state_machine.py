"""What is remembered: bounded, and never forgotten while that would change anything."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stepping import INF, Runtime, Stepped, StubCall

from seawall import CircuitBreaker, ConcurrencyLimit, Retry, RetryBudget, State, Throttle
from seawall._circuit import CircuitState
from seawall._policy import Chain
from seawall._slots import Slots
from seawall._state import LOOKS
from seawall.policies.retry import BudgetState

IDLE = 50.0
PER = 30.0
ORIGINS = [f"https://h{number}.example.com" for number in range(12)]
OWNERS = ["a", "b", "c"]
POLICIES = [CircuitBreaker(), ConcurrencyLimit(2), Throttle(1, per=PER), Retry(budget=RetryBudget(10))]
EVERYBODY = Retry(budget=RetryBudget(10), key="client", name="shared")
"""One cell that all chains use."""


def matters(state: Any, now: float, started: dict[Any, float]) -> bool:
    """Whether a call could notice that this was forgotten: said here in other words than the states' own."""
    if isinstance(state, CircuitState):
        return state.state != "closed"
    if isinstance(state, Slots):
        return state.in_use > 0 or state.waiting > 0
    if isinstance(state, BudgetState):
        return state.tokens < state.capacity
    return now < max(started.get(state, -INF) + PER, state.pace.paused_until)


class StateModel(RuleBasedStateMachine):
    """Clients of several owners call many origins, leave traces there, wait, and are closed and made again."""

    @initialize(max_keys=st.integers(1, 6))
    def begin(self, max_keys: int) -> None:
        self.runtime = Runtime()
        self.max_keys = max_keys
        self.state = State(max_keys, idle=IDLE)
        self.known: dict[Any, Any] = {}  # what each place of a cell holds, as far as the model has seen
        self.started: dict[Any, float] = {}
        self.waiting: list[Stepped] = []
        self.most = 0  # of how many chains something mattered at once

    def cells(self, chain: Chain) -> dict[type, Any]:
        return {type(cell.policy): cell.state for cell in chain.cells if cell.policy is not EVERYBODY}

    def call(self, owner: str, origin: str) -> dict[type, Any]:
        """A call looks its chain up, which makes it if need be."""
        state, now = self.state, self.runtime.time
        key = owner, "*", origin
        chain = state.chains.get(key)
        if chain is None:
            before = {key: (one.used, one.seen, one.cells) for key, one in state.chains.items()}
            surplus = len(before) + 1 + len(state._loose) - self.max_keys
            chain = state.add_chain(key, now, lambda: self.build(origin))
            self.check_evicted(before, surplus)
        chain.used = now
        return self.cells(chain)

    def build(self, origin: str) -> Chain:
        places = [(policy, (index, policy), origin) for index, policy in enumerate(POLICIES)]
        places.append((EVERYBODY, EVERYBODY.name, None))
        cells = tuple(self.state.cell(*place) for place in places)
        nothing: Any = None
        return Chain(
            enter=nothing, endpoint="*", origin=origin, family=None, body=None, transport=None, cells=cells
        )  # fmt: skip

    def check_evicted(self, before: dict[Any, Any], surplus: int) -> None:
        """Who went was old or unused since it was last looked at; the last look alone may take another one."""
        now, kept = self.runtime.time, self.state.chains
        looks = min(LOOKS, len(before))
        gone = [key for key in before if key not in kept]
        spared = [key for key in gone if before[key][0] > before[key][1] and now - before[key][0] <= IDLE]
        assert len(gone) <= looks
        assert len(spared) <= 1
        if spared:
            assert list(before).index(spared[0]) >= looks - 1
        assert sum(now - before[key][0] <= IDLE for key in gone) <= max(0, surplus)
        oldest = next(iter(before), None)
        if oldest is not None and now - before[oldest][0] > IDLE and now - before[oldest][1] > IDLE:
            alone = [cell for cell in before[oldest][2] if cell.chains <= (oldest in kept)]
            if not any(matters(cell.state, now, self.started) for cell in alone):
                assert oldest in gone

    # -- what calls leave behind

    @rule(owner=st.sampled_from(OWNERS), first=st.integers(0, 11), count=st.integers(1, 8))
    def pass_through(self, owner: str, first: int, count: int) -> None:
        """Calls to so many origins that leave no trace."""
        for number in range(first, first + count):
            self.call(owner, ORIGINS[number % len(ORIGINS)])
            self.remembers()

    @rule(owner=st.sampled_from(OWNERS), origin=st.sampled_from(ORIGINS), way=st.sampled_from(["open", "isolate"]))
    def trip(self, owner: str, origin: str, way: str) -> None:
        getattr(self.call(owner, origin)[CircuitBreaker].circuit, way)()

    @rule(owner=st.sampled_from(OWNERS), origin=st.sampled_from(ORIGINS))
    def half_open(self, owner: str, origin: str) -> None:
        self.call(owner, origin)[CircuitBreaker].circuit.half_open()

    @rule(owner=st.sampled_from(OWNERS), origin=st.sampled_from(ORIGINS), queue=st.booleans())
    def hold(self, owner: str, origin: str, queue: bool) -> None:
        """Take a slot; or a place in line for one."""
        slots = self.call(owner, origin)[ConcurrencyLimit]
        if not slots.try_enter() and queue:
            call = StubCall(self.runtime)
            self.waiting.append(Stepped(slots.enter(call, INF, owner="it", key=None, flow=None)))

    @rule(owner=st.sampled_from(OWNERS), origin=st.sampled_from(ORIGINS))
    def start(self, owner: str, origin: str) -> None:
        throttle = self.call(owner, origin)[Throttle]
        if throttle.try_start(self.runtime.time, 1):
            self.started[throttle] = self.runtime.time

    @rule(owner=st.sampled_from(OWNERS), origin=st.sampled_from(ORIGINS), status=st.sampled_from([500, 503]))
    def retry(self, owner: str, origin: str, status: int) -> None:
        self.call(owner, origin)[Retry].withdraw(status)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def settle(self, data: Any) -> None:
        """What mattered somewhere matters no more."""
        state = self.known[data.draw(st.sampled_from(sorted(self.known, key=repr)))]
        if isinstance(state, CircuitState):
            state.circuit.close()
        elif isinstance(state, Slots):
            for _ in range(state.in_use):
                state.release()
        elif isinstance(state, BudgetState):
            state.deposit(10)

    @rule(seconds=st.sampled_from([0.0, 1.0, 20.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.runtime.time += seconds

    @rule(owner=st.sampled_from(OWNERS))
    def close(self, owner: str) -> None:
        """A client is closed: its chains go, and what they knew stays for the next one."""
        before = dict(self.state._cells)
        self.state.forget(owner, self.runtime.time)
        assert not [key for key in self.state.chains if key[0] == owner]
        assert self.state._cells == before

    # -- what holds after every step

    @invariant()
    def remembers(self) -> None:
        """What is not there any more did not matter, and no place ever has another state while it does."""
        if not hasattr(self, "state"):
            return
        now = self.runtime.time
        cells = {place: cell.state for place, cell in self.state._cells.items()}
        for place, state in self.known.items():
            if cells.get(place) is not state:
                assert not matters(state, now, self.started)
        self.known = cells
        chains = self.state.chains.values()
        held = [one for one in chains if any(matters(cell.state, now, self.started) for cell in one.cells)]
        self.most = max(self.most, len(held))

    @invariant()
    def each_place_has_one_cell(self) -> None:
        """Whoever holds a chain for a key holds the very cells that the next one will get; the rest are loose."""
        if not hasattr(self, "state"):
            return
        state, used = self.state, dict.fromkeys(self.state._cells, 0)
        for chain in state.chains.values():
            for cell in chain.cells:
                assert state._cells[cell.slot, cell.key] is cell
                used[cell.slot, cell.key] += 1
        for place, cell in state._cells.items():
            assert cell.chains == used[place]
            assert (place in state._loose) == (cell.chains == 0)

    @invariant()
    def is_bounded(self) -> None:
        """Besides the chains that matter only those outlast the bound that no new one has looked at yet."""
        if hasattr(self, "state"):
            lasting = self.max_keys + self.most
            assert len(self.state.chains) <= lasting + 2 * (lasting // LOOKS + 1) * (self.most > 0)

    def teardown(self) -> None:
        """No coroutine is left behind."""
        for one in getattr(self, "waiting", ()):
            if not one.done:
                one.coro.close()


TestStateModel = StateModel.TestCase
