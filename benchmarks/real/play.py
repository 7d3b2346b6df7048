"""A scenario played in real time: real clients of Seawall's, a real server, the clock of the machine."""

import asyncio
import time
from dataclasses import dataclass
from itertools import cycle
from statistics import fmean

import httpx

from benchmarks.real.server import RealServer
from seawall import Stack
from seawall.httpx import AsyncClient
from seawall.testing.simulation import Bursts, Closed, Constant, Result, Scenario, Server, Tally, Traffic
from seawall.testing.simulation.streams import stream
from seawall.testing.simulation.visit import outcome

WARM = Scenario(
    name="warm",
    server=Server(service=Constant(0)),
    traffic=[Traffic(arrivals=Bursts(size=1), clients=1)],
    duration=0.1,
    drain=5.0,
)
"""Played first: what is imported and built with the first request would make it late."""
STEP = 0.01
"""Seconds between two looks at how late the event loop is."""


@dataclass(frozen=True)
class Real:
    """What came of it, and what the machine was not fit for: how late the event loop was, in seconds."""

    result: Result
    late: float
    """At most."""
    strain: float
    """In the mean."""


async def play(scenario: Scenario, stack: Stack, *, seed: int = 0) -> Real:
    """Play a scenario in as much time as it takes: its duration, and its drain at most."""
    await _Run(WARM, stack, seed).play()
    return await _Run(scenario, stack, seed).play()


class _Run:
    def __init__(self, scenario: Scenario, stack: Stack, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self.lags = [0.0]
        self.tally = Tally()
        self.begun = time.perf_counter()
        self.server = RealServer(scenario.server, seed, self.tally, self.now)
        self.clients = [
            [AsyncClient(stack, trust_env=False) for _ in range(traffic.clients)] for traffic in scenario.traffic
        ]
        self.calls: set[asyncio.Task[None]] = set()

    def now(self) -> float:
        return time.perf_counter() - self.begun

    async def play(self) -> Real:
        for _ in range(int(self.scenario.duration + self.scenario.drain) + 2):
            self.tally.open_bin()
        self.begun = time.perf_counter()
        url = await self.server.start()
        watch = asyncio.create_task(self.watch())
        try:
            await asyncio.gather(*(self.traffic(group, url) for group in range(len(self.clients))))
            if self.calls:
                await asyncio.wait(self.calls, timeout=self.scenario.duration + self.scenario.drain - self.now())
        finally:
            watch.cancel()
            for call in self.calls:
                call.cancel()
            await self.server.close()
            for client in (client for group in self.clients for client in group):
                await client.aclose()
        played = max(self.now(), self.scenario.duration)
        return Real(Result(self.scenario, self.seed, played, self.tally), max(self.lags), fmean(self.lags))

    async def traffic(self, group: int, url: str) -> None:
        """Make a group's calls when the simulation would make them, by the clients that would."""
        traffic, clients = self.scenario.traffic[group], list(enumerate(self.clients[group]))
        if isinstance(traffic.arrivals, Closed):
            raise ValueError("real traffic comes at given times, and not in a closed loop")
        in_turn, chance = cycle(clients), stream(self.seed, traffic.name, "clients").random
        for at in traffic.arrivals.times(stream(self.seed, traffic.name, "arrivals")):
            if at >= self.scenario.duration:
                break
            await asyncio.sleep(max(0.0, at - self.now()))
            number, client = next(in_turn) if traffic.arrivals.in_turn else clients[int(chance() * len(clients))]
            task = asyncio.create_task(self.call(group, number, client, url))
            self.calls.add(task)
            task.add_done_callback(self.calls.discard)

    async def call(self, group: int, number: int, client: AsyncClient, url: str) -> None:
        """One call, and how it ends."""
        calls = self.tally.calls
        place, response, error = calls.begin(self.now(), group, number), None, None
        try:
            response = await client.get(url)
        except httpx.TransportError as raised:
            error = raised
        calls.ended[place] = self.now()
        calls.outcome[place] = outcome(response, error)

    async def watch(self) -> None:
        """Note how late the loop is."""
        while True:
            due = self.now() + STEP
            await asyncio.sleep(STEP)
            self.lags.append(self.now() - due)
