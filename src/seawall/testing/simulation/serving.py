"""A simulated server at work: replicas with slots and a line, driven by the virtual runtime's timers alone.

A job is one attempt at the server. It is at once what its client's task waits for, and the timer of the end of its
service, so that serving a request costs one object and one place among the timers.
"""

import heapq
from collections import deque
from typing import Any, Literal

from ..virtual import Park
from .quota import Meter
from .schedule import INF, Schedule
from .server import Server
from .streams import stream
from .tally import Tally
from .world import World


class Job(Park):
    """One attempt at the server."""

    __slots__ = ("answer", "arrived", "begun", "gone", "headers", "replica", "service", "state")
    replica: "Replica"
    begun: float
    """When its service began."""
    service: float
    """What it takes."""
    state: Literal["waiting", "served", "done", "dropped"]

    def __init__(self, arrived: float) -> None:
        self.task = None
        self.arrived = arrived
        self.gone = False
        """Whether its client has left."""
        self.answer: int | str | None = None
        """A status, or the name of an exception; None while there is none."""
        self.headers: dict[str, str] | None = None

    def callback(self) -> None:
        """As a timer: its service is over."""
        if self.state != "served":  # dropped meanwhile
            return
        self.state = "done"
        replica = self.replica
        if not self.gone:
            self.answer = 200
            world, tally = replica.world, replica.tally
            tally.round_trips[-1] += world._now - self.arrived
            tally.answers[-1] += 1
            world.resume(self)
        replica.finish(self, self.service)


class Replica:
    """One copy of the server."""

    def __init__(self, server: Server, serving: "Serving", seed: int, number: int) -> None:
        self.world = serving.world
        self.tally = serving.tally
        self.draw = server.service.draws(stream(seed, "server", number, "service"))
        self.per_concurrent = server.per_concurrent
        self.bound = server.bound
        self.lifo = server.discipline == "lifo"
        self.serves_the_gone = server.serves_the_gone
        self.line: deque[Job] = deque()
        self.waiting = 0  # of those in line, the ones that will be served
        self.busy = 0
        self.slots = INF
        self.slowdown = 1.0
        self._worked = 0.0  # slot-seconds of what was served
        self._begun = 0.0  # when what is being served began, all together
        self._had = 0.0  # slot-seconds until `_resized`
        self._resized = 0.0

    def worked(self) -> float:
        """Slot-seconds in which it was busy until now."""
        return self._worked + self.busy * self.world.now() - self._begun

    def had(self) -> float:
        """Slot-seconds that it had until now."""
        return self._had + self.slots * (self.world.now() - self._resized)

    def submit(self, job: Job) -> bool:
        """Take a job. False if the line is full."""
        job.replica = self
        job.service = self.draw()
        if self.busy < self.slots:
            self._start(job)
        elif self.waiting < self.bound:
            job.state = "waiting"
            self.line.append(job)
            self.waiting += 1
        else:
            return False
        return True

    def leave(self, job: Job) -> None:
        """A job's client has gone."""
        job.gone = True
        job.task = None  # a line of the dead need not keep all that their calls were made of
        if self.serves_the_gone:
            return
        if job.state == "waiting":
            self.waiting -= 1
        elif job.state == "served":
            self.finish(job, self.world.now() - job.begun)
        job.state = "dropped"

    def finish(self, job: Job, service: float) -> None:
        """A slot is done with a job, which took so many seconds of it."""
        self.busy -= 1
        self._begun -= job.begun
        self._worked += service
        (self.tally.wasted if job.gone else self.tally.useful)[-1] += service
        if self.line:
            self._refill()

    def resize(self, slots: float) -> None:
        """Another number of slots. What is being served stays."""
        if self.slots < INF:
            self._had = self.had()
        self._resized = self.world.now()
        self.slots = slots
        self._refill()

    def _start(self, job: Job) -> None:
        job.state = "served"
        world = self.world
        now = job.begun = world._now
        self._begun += now
        busy = self.busy = self.busy + 1
        service = job.service = job.service * self.slowdown + self.per_concurrent * busy
        heapq.heappush(world._timers, (now + service, next(world._order), job))  # type: ignore[misc]

    def _refill(self) -> None:
        line = self.line
        while line and self.busy < self.slots:
            job = line.pop() if self.lifo else line.popleft()
            if job.state == "waiting":
                self.waiting -= 1
                self._start(job)


class Serving:
    """The replicas behind one address, and what fails or is refused before it reaches them."""

    def __init__(self, server: Server, world: World, tally: Tally, seed: int) -> None:
        self.world = world
        self.tally = tally
        self.replicas = [Replica(server, self, seed, number) for number in range(server.replicas)]
        self._only = self.replicas[0] if server.replicas == 1 else None
        self.failing = 0.0
        self._failure = server.failure
        self._fails = stream(seed, "server", "failures").random
        self._balance = server.balance
        self._chance = stream(seed, "server", "balance").random
        self._turn = 0
        self._meter = None if server.quota is None else Meter(server.quota)
        self._follow(Schedule.of(server.failing), self._fail)
        self._follow(Schedule.of(server.slowdown), self._slow)
        if server.slots is not None:
            self._follow(Schedule.of(server.slots), self._resize)

    def submit(self, job: Job) -> None:
        """Take an attempt. It has its answer at once if it fails or is refused."""
        self.tally.attempts[-1] += 1
        if self._meter is not None:
            now = self.world._now
            admitted = self._meter.admit(now)
            job.headers = self._meter.headers(now, admitted)
            if not admitted:
                job.answer = self._meter.quota.status
                return
        if self.failing and self._fails() < self.failing:
            job.answer = self._failure
        elif not (self._only or self._choose()).submit(job):
            job.answer = 503

    def _choose(self) -> Replica:
        replicas = self.replicas
        if self._balance == "random":
            return replicas[int(self._chance() * len(replicas))]
        if self._balance == "in turn":
            self._turn = (self._turn + 1) % len(replicas)
            return replicas[self._turn]
        return min(replicas, key=lambda replica: replica.busy + replica.waiting)

    def _follow(self, schedule: Schedule, change: Any) -> None:
        change(schedule.value)
        for at, value in schedule.changes:
            self.world.call_at(at, lambda value=value: change(value))  # type: ignore[misc]

    def _fail(self, share: float) -> None:
        self.failing = share

    def _slow(self, factor: float) -> None:
        for replica in self.replicas:
            replica.slowdown = factor

    def _resize(self, slots: float) -> None:
        for replica in self.replicas:
            replica.resize(slots)
