"""Plays a scenario: neighbours, a victim that is struck, and what may not be left of it."""

import gc
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from calls import ORIGIN, outcome
from drivers import TLS

from seawall import RetryScheduled, Stack
from seawall._circuit import CircuitState
from seawall._slots import Slots
from seawall._throttle import LimiterState, ThrottleState
from seawall.httpx import AsyncClient, AsyncPool
from seawall.policies.retry import BudgetState
from seawall.testing import Recorder, ScriptedServer, reply

from .strikes import DRIVERS, STRUCK, Strike, When
from .wires import HANDSHAKE, Cable, Direct

GOOD = reply(after=0.25, body=[b"one", b"two"], every=0.25)
MOST = 100
"""Suspensions of one call: a scenario with more of them goes round in circles."""


async def nothing(stage: "Stage") -> None:
    """No preparations."""


async def get(stage: "Stage") -> Any:
    """A GET that is read in one go."""
    return await stage.get("victim")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A call in its surroundings."""

    stack: Callable[[], Stack]
    script: tuple[Any, ...] = ()
    """What the server answers to the victim; when that is over, and to everybody else, GOOD."""
    act: Callable[["Stage"], Awaitable[Any]] = get
    """What the victim does."""
    ends: Any = 200
    """How it ends if left alone: the status of its answer, or the type of its error."""
    prepare: Callable[["Stage"], Awaitable[None]] = nothing
    mend: Callable[["Stage"], Awaitable[None]] = nothing
    """Run before the later calls."""
    ahead: int = 0
    """Neighbours that start before the victim."""
    behind: int = 0
    """Neighbours that start after it."""
    neighbour: Any = GOOD
    """What the server answers to the first of the neighbours."""
    spared: tuple[Any, ...] = (200,)
    """How neighbours may end: statuses, or types of errors."""
    connections: int | None = None
    """Those of a pool, or None for a transport without one."""
    keepalive: int = 20
    later: int = 3
    """How many calls are started together afterwards: a limit, plus one."""
    cost: float | None = None
    """What one retry takes from the budget."""
    drivers: tuple[str, ...] = tuple(DRIVERS)


@dataclass
class Played:
    """How one run ended."""

    strike: Strike
    outcome: Any = None
    neighbours: list[float] = field(default_factory=list)
    """When each of them had its outcome."""


class Stage:
    """One run: a client over a server, and the clock and tasks of a driver."""

    def __init__(self, driver: Any, scenario: Scenario) -> None:
        self.driver = driver
        self.scenario = scenario
        self.scripts = {"/victim": list(scenario.script), "/neighbour": [scenario.neighbour]}
        self.server = ScriptedServer(then=self._answer)
        self.cable = Cable(self.server)
        self.recorder = Recorder()
        self.neighbours: list[Any] = []
        self.pool: AsyncPool | None = None
        if scenario.connections is not None:
            self.pool = AsyncPool(scenario.connections, max_keepalive=scenario.keepalive, verify=TLS)
            self.pool.shards.build = self.cable.connect
        transport = Direct(self.cable) if self.pool is None else self.pool
        self.client = AsyncClient(scenario.stack(), transport=transport, listeners=[self.recorder])

    def _answer(self, request: Any) -> Any:
        script = self.scripts.get(request.url.path)
        return script.pop(0) if script else GOOD

    async def get(self, name: str, origin: str = ORIGIN, **options: Any) -> Any:
        return await self.client.get(f"{origin}/{name}", **options)

    async def neighbour(self, origin: str = ORIGIN) -> tuple[Any, float]:
        result = await outcome(self.get("neighbour", origin))
        return result, self.driver.now()

    async def turn(self) -> None:
        """Let everybody run who can."""
        await self.driver.sleep(0.001)

    async def play(self, strike: Strike) -> Played:
        scenario, spawn = self.scenario, self.driver.spawn
        played = Played(strike)
        async with self.client:
            await scenario.prepare(self)
            self.neighbours += [spawn(self.neighbour()) for _ in range(scenario.ahead)]
            await self.turn()
            self.recorder.clear()
            strike.locked = self.locked
            victim = self.driver.strike(scenario.act(self), strike)
            self.neighbours += [spawn(self.neighbour()) for _ in range(scenario.behind)]
            played.outcome = await victim
            gc.collect()  # an async generator that was under way goes only now
            for task in self.neighbours:
                result, at = await task
                assert any(_is(ending(result), end) for end in scenario.spared), f"a neighbour ended with {result!r}"
                played.neighbours.append(at)
            if strike.how == "collected":  # what an async generator waits for comes to its end
                await self.driver.sleep(60)
            await self.nothing_left(strike)
            await scenario.mend(self)
            assert (await self.get("later")).status_code == 200
            more = [spawn(self.get("later")) for _ in range(scenario.later)]
            assert [(await task).status_code for task in more] == [200] * scenario.later
            await self.nothing_left(None)
        assert not self.cable.sockets, "connections are open after the client was closed"
        return played

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold every lock. Whoever lets one go looks for what was put down meanwhile."""
        owners = [cell.state for cell in self.client.state._all_cells()]
        owners += [state.line for state in owners if isinstance(state, LimiterState)]
        owners += [self.client.state] + ([self.pool.shards, self.pool.shards.slots] if self.pool else [])
        locks = {owner: owner._lock for owner in owners if hasattr(owner, "_lock")}
        waited: list[Any] = []
        for owner in locks:
            owner._lock = Held(owner, waited)
        try:
            yield
        finally:
            for owner, lock in locks.items():
                owner._lock = lock
                getattr(owner, "_drain", lambda: None)()
            assert not waited, f"a lock was waited for in a collector: that of {waited}"

    async def nothing_left(self, strike: Strike | None) -> None:
        """Nothing held, nothing lost, nothing running."""
        await self.turn()
        assert self.server.open == 0, "a response is still open"
        assert not self.driver.left(), f"a task still runs, or a timer is set: {self.driver.left()}"
        turns = self.client._burst.turns
        if turns._loop is not None:  # in virtual time nobody counts
            assert (turns.under_way, len(turns._waiting)) == (0, 0), "a request is still under way"
        for entry in self.client.state.snapshot():
            busy = {name: entry[name] for name in ("in_use", "waiting", "probes") if entry.get(name)}
            assert not busy, f"{entry['policy']} is not idle: {busy}"
        for cell in self.client.state._all_cells():
            self._settled(cell.state, strike)
        if self.pool is not None and (strike is None or strike.how != "collected"):  # closed by whoever comes next
            self._pooled(self.pool.shards)

    def _settled(self, state: Any, strike: Strike | None) -> None:
        """What a snapshot does not tell."""
        assert not getattr(state, "_orphans", ()), "slots wait to be given back"
        if isinstance(state, Slots | ThrottleState):
            assert len(state._queue) == 0
        if isinstance(state, ThrottleState):
            assert abs(getattr(state.engine, "_airborne", 0.0)) < 1e-6, "a strict start never landed"
        if isinstance(state, CircuitState):
            assert not state.generation.waiters, "a circuit still knows a waiter"
            assert all(admission.settled for admission in state.pending), "a circuit waits for a body's verdict"
        cost = self.scenario.cost
        if isinstance(state, BudgetState) and cost is not None and strike is not None and strike.how != "fault":
            retries = len(self.recorder.of(RetryScheduled))  # all but the last were used up by a failure
            assert state.tokens == state.capacity - cost * max(0, retries - 1), "tokens of a retry were lost"

    def _pooled(self, shards: Any) -> None:
        assert (shards.slots.in_use, shards.slots.waiting) == (0, 0), f"permits are held: {shards!r}"
        assert not [*shards._out, *shards._condemned, *shards.abandoned], "a shard was not given back"
        idle = [shard.transport for shard in shards._idle]
        assert len(idle) <= shards.max_keepalive, "more connections are kept alive than may be"
        assert not any(connection.busy for connection in idle), "a connection was kept whose request was cut short"
        assert set(idle) == set(self.cable.open()), "a connection is open that the pool does not know"
        assert len(self.cable.sockets) == len(idle), "a socket is open that no connection has"


class Held:
    """A lock that this thread holds: waiting for it would last for ever."""

    def __init__(self, owner: Any, waited: list[Any]) -> None:
        self.owner = type(owner).__name__
        self.waited = waited

    def acquire(self, blocking: bool = True) -> bool:
        if blocking:
            self.waited.append(self.owner)
            raise AssertionError(f"the lock of {self.owner} is held")
        return False

    def release(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


def ending(result: Any) -> Any:
    """A status, or the type of an error."""
    return getattr(result, "status_code", type(result))


def run(driver: str, scenario: Scenario, strike: Strike) -> Played:
    """Play a scenario once, and see that nothing was dropped on the floor."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # who stops reading leaves the generators of httpx and of a bare transport; trio says so without Seawall, too
        warnings.filterwarnings(
            "ignore", message="Async generator '(httpx|cancellation|seawall.testing)", category=ResourceWarning
        )
        try:
            playing = DRIVERS[driver]()
            played: Played = playing.run(Stage(playing, scenario).play(strike))
        except BaseException as error:
            error.add_note(f"{driver}: {strike}")
            raise
        played.outcome = played.outcome if played.outcome is STRUCK else ending(played.outcome)
        del playing
        gc.collect()
    assert not caught, f"{strike}: {caught[0].message}"
    return played


def every_point(driver: str, scenario: Scenario, how: str, when: When) -> int:
    """Strike at the 1st, 2nd, 3rd, ... suspension until the call ends unstruck. Returns how many there were."""
    # for a connection in the place of one that was cut short
    slack = 0.001 if scenario.connections is None else 2 * HANDSHAKE
    struck: list[Played] = []
    for number in range(1, MOST):
        played = run(driver, scenario, Strike(how, when, number))
        strike, end = played.strike, played.outcome
        assert not strike.complaints, f"{strike}: {strike.complaints[0]}"
        assert strike.unbalanced == 0, f"{strike}: cancellations of the task are out of balance"
        if not strike.hit:
            break
        # a fault may be handled, as one that breaks a response which is being discarded;
        # and trio tells of a cancellation at the next checkpoint, which may never come
        handled = (how == "fault" or driver == "trio") and _is(end, scenario.ends)
        assert handled or end == STRUCK, f"{strike}: the call ended with {end}"
        struck.append(played)
    assert _is(end, scenario.ends), f"left alone, the call ended with {end}"
    assert strike.suspensions == len(struck)
    for other in struck if how != "collected" else ():  # an async generator goes when it likes
        late = [(a, b) for a, b in zip(other.neighbours, played.neighbours, strict=True) if a > b + slack]
        assert not late, f"{other.strike}: neighbours ended later than if the call had been left alone: {late}"
    return len(struck)


def _is(outcome: Any, expected: Any) -> bool:
    """Errors of ours come in a flavour for each HTTP library."""
    if isinstance(outcome, type) and isinstance(expected, type):
        return issubclass(outcome, expected)
    return bool(outcome == expected)
