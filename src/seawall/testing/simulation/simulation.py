"""A scenario played with real policies in virtual time."""

from collections.abc import Callable, Iterator
from itertools import count, cycle
from math import fsum

from ..._errors import StackError
from ..._events import CircuitChanged, Event
from ..._state import State
from ..._transport import Policies
from ..virtual import Timer
from .client import Client, Wire
from .result import Result
from .scenario import Scenario
from .schedule import INF
from .serving import Serving
from .streams import stream
from .tally import Tally
from .traffic import Closed, Traffic
from .visit import Visit
from .world import World

CALLS = 10_000_000
"""Calls that a simulation may have: seven hours of 400 a second, of which the columns take 300 MB."""
AT_ONCE = 200_000
"""Calls that may be under way at once: a gigabyte."""


def simulate(scenario: Scenario, policies: Policies = None, *, seed: int = 0) -> Result:
    """Play a scenario to its end.

        result = simulate(SCENARIOS["stall"], Stack(Retry(3), Timeout(1)), seed=1)
        result.recovery(), result.amplification

    `policies` as a client takes them: a `Stack`, `Endpoints`, or None for `seawall.standard()`. The same seed gives the
    same result to the last bit.
    """
    simulation = Simulation(scenario, policies, seed=seed)
    for _ in simulation:
        pass
    return simulation.result()


class Simulation:
    """A scenario that can be watched while it is played.

        simulation = Simulation(scenario, policies, seed=1)
        for second in simulation:         # goes on by one virtual second at a time
            print(f"{second:g} s of at most {simulation.length:g} s")
        simulation.result()

    It may be left at any time; `result()` is then partial, and says so. Ends once every call has ended, at the latest
    `drain` seconds after the scenario's duration. Raises `RuntimeError`, with what to look at, if one call makes more
    than 10,000 attempts, if time does not pass, or beyond ten million calls, or 200,000 of them at once; and whatever a
    policy raises that is no error of a transport.
    """

    def __init__(self, scenario: Scenario, policies: Policies = None, *, seed: int = 0) -> None:
        if not isinstance(scenario, Scenario):
            raise TypeError(f"a simulation plays a Scenario, not {scenario!r}")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seed must be a whole number, not {seed!r}")
        self.scenario = scenario
        self.seed = seed
        self.length = scenario.duration + scenario.drain
        self._world = World(seed=seed)
        self._tally = Tally()
        self._serving = Serving(scenario.server, self._world, self._tally, seed)
        self._worked = self._had = 0.0
        self._clients: list[list[Client]] = []
        self._states: dict[str, State] = {}
        for group, traffic in enumerate(scenario.traffic):
            known, wire = [self._state(traffic, n) for n in range(traffic.clients)], Wire(self._serving)
            try:
                clients = [Client(traffic, group, n, policies, wire, state, seed) for n, state in enumerate(known)]
            except StackError as error:
                error.add_note(f"in the stack of {traffic.name!r}, scenario {scenario.name!r}")
                raise
            self._clients.append(clients)
        for group in range(len(scenario.traffic)):
            self._begin(group)

    @property
    def now(self) -> float:
        """Virtual seconds played so far."""
        return self._world.now()

    def __iter__(self) -> Iterator[float]:
        world, duration = self._world, self.scenario.duration
        while world.now() < self.length and (world.now() < duration or world._alive):
            end = min(float(int(world.now()) + 1), self.length)
            self._tally.open_bin()
            try:
                world.through(end)
            finally:  # also of a second that was interrupted
                self._sample()
            yield end

    def result(self) -> Result:
        """What was measured so far."""
        return Result(self.scenario, self.seed, self.now, self._tally)

    def _state(self, traffic: Traffic, number: int) -> State:
        """The state of a client, which may have been made for another. Changes of its circuits are noted."""
        whose = f"{traffic.name} {number}" if traffic.state is None else traffic.state
        if whose not in self._states:
            state, world, circuits = State(), self._world, self._tally.circuits

            def listen(event: Event) -> None:
                if isinstance(event, CircuitChanged):
                    circuits.append((world.now(), whose, event.old, event.new))

            state.listeners.append(listen)
            self._states[whose] = state
        return self._states[whose]

    def _begin(self, group: int) -> None:
        """Have a group's calls made."""
        traffic: Traffic = self.scenario.traffic[group]
        arrivals, clients = traffic.arrivals, self._clients[group]
        if isinstance(arrivals, Closed):
            think = arrivals.think.draws(stream(self.seed, traffic.name, "thinking"))
            for user in range(arrivals.users):
                self._user(traffic, clients[user % len(clients)], arrivals, think)
            return
        callers = self._callers(traffic, clients)
        times = arrivals.times(stream(self.seed, traffic.name, "arrivals"))
        due = next(times, INF)

        def arrive() -> None:
            nonlocal due
            now = due
            while due == now:
                self._visit(traffic, next(callers))
                due = next(times, INF)
            self._at(due, timer)

        timer = Timer(arrive)
        self._at(due, timer)

    def _callers(self, traffic: Traffic, clients: list[Client]) -> Iterator[Client]:
        """Who makes the next call of a group."""
        if traffic.arrivals.in_turn:
            return cycle(clients)
        chance = stream(self.seed, traffic.name, "clients").random
        return (clients[int(chance() * len(clients))] for _ in count())

    def _user(self, traffic: Traffic, client: Client, closed: Closed, think: Callable[[], float]) -> None:
        """One user, who thinks, calls, and begins again."""

        def think_first(answered: bool) -> None:
            pause = think()
            self._at(self.now + (pause if answered else max(pause, closed.after_failure)), Timer(call))

        def call() -> None:
            self._visit(traffic, client, think_first)

        think_first(True)

    def _visit(self, traffic: Traffic, client: Client, then: Callable[[bool], None] | None = None) -> None:
        """A client makes a call."""
        made, alive = len(self._tally.calls.outcome), len(self._world._alive)
        if made >= CALLS or alive >= AT_ONCE:
            what = f"{AT_ONCE:,} calls at once" if alive >= AT_ONCE else f"{CALLS:,} calls"
            raise RuntimeError(
                f"more than {what} at {self.now:g} s of {self.scenario.name!r}: no more can be simulated; "
                "let the traffic be less, the scenario shorter, or calls time out"
            )
        visit = Visit(self._world, client, self._tally.calls, then)
        self._world.start(visit)
        if traffic.patience is not None:
            self._world.call_at(self.now + traffic.patience, visit.cancel)

    def _at(self, when: float, timer: Timer) -> None:
        """Go on at a time, unless no calls are made any more."""
        if when < self.scenario.duration:
            self._world.set(timer, when)

    def _sample(self) -> None:
        """A second ends: note how things stand."""
        tally, replicas = self._tally, self._serving.replicas
        # exactly: what `sum` makes of floats is not the same on every Python
        worked, had = fsum(replica.worked() for replica in replicas), fsum(replica.had() for replica in replicas)
        tally.busy.append(worked - self._worked)
        tally.slots.append(had - self._had if had < INF else INF)
        self._worked, self._had = worked, had
        tally.waiting.append(sum(replica.waiting for replica in replicas))
        sums: dict[tuple[str, str], float] = {}
        for state in self._states.values():
            for cell, entry in state._snapshots():
                whose = cell.policy.name or type(cell.policy).__name__
                for name, value in entry.items():
                    if type(value) is int or type(value) is float:
                        sums[whose, name] = sums.get((whose, name), 0.0) + value
        tally.states.append({f"{whose}.{name}": value for (whose, name), value in sums.items()})
