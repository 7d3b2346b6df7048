"""The pool's permits and connections, over transports that only count how often they were closed, and where."""

from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stepping import Cancelled, Runtime, Stepped, StubCall, park

from seawall._body import close_all
from seawall._pool import Shards

EXPIRY = 5.0


class Home:
    """An event loop."""

    def __init__(self) -> None:
        self.closed = False

    def is_closed(self) -> bool:
        return self.closed


class Transport:
    """One connection; closing it takes a while."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.home = runtime.place
        self.closings = 0
        self.closed_in_use = False  # with its pool, while a response was open: it may come back, and be closed again

    async def aclose(self) -> None:
        assert self.runtime.place is self.home
        assert not self.home.closed
        self.closings += 1
        await park()


class Network:
    """A connection as httpcore shows it: readable while idle means that the server has closed it."""

    readable = False

    def get_extra_info(self, name: str) -> bool:
        assert name == "is_readable"
        return self.readable


class Job(Stepped):
    """A task of some home: a call that reserves its connection, or a closing."""

    def __init__(self, runtime: Runtime, call: StubCall | None, coro: Any) -> None:
        self.runtime = runtime
        self.home = runtime.place
        self.call = call
        super().__init__(coro)

    def _run(self, run: Any) -> None:
        self.runtime.place = self.home
        super()._run(run)


class PoolModel(RuleBasedStateMachine):
    """Calls from two event loops to three origins reserve, keep, break and drop connections; loops and pools close."""

    @initialize(most=st.integers(1, 4), keepalive=st.integers(0, 4))
    def begin(self, most: int, keepalive: int) -> None:
        self.runtime = Runtime()
        self.homes = [Home(), Home()]
        self.transports: list[Transport] = []
        self.most, self.keepalive = most, keepalive
        self.shards = Shards(self.build, most, keepalive, EXPIRY, wired=False)
        self.held: list[Any] = []
        self.reserving: list[Job] = []  # in line, or closing what had to make room
        self.taking: list[Job] = []  # the latter
        self.closing: list[Job] = []

    def build(self) -> Transport:
        self.transports.append(Transport(self.runtime))
        return self.transports[-1]

    def draw(self, data: Any, found: list[Any]) -> Any:
        return data.draw(st.sampled_from(found)) if found else None

    # -- calls

    def check_taken(self, idle: list[Any], out: set[Any], call: StubCall) -> None:
        """The most recently used live connection of its home and origin, else a new one."""
        (shard,) = self.shards._out - out
        place = self.runtime.place, call.chain.origin
        fit = [one for one in idle if (one.home, one.origin) == place and not one.network.readable]
        fit = [one for one in fit if self.runtime.time - one.idle_since <= EXPIRY]
        assert (shard.home, shard.origin) == place
        assert shard is fit[-1] if fit else shard not in idle
        self.check_expiry()

    def check_expiry(self) -> None:
        for shard in self.shards._idle:
            assert self.runtime.time - shard.idle_since <= EXPIRY

    def step(self, job: Job, idle: list[Any], out: set[Any]) -> None:
        """After a call had a step: it is in line, or has taken a shard, which it may have to make room for first."""
        granted = job not in self.taking and (job.done or job.call.waiter is None or job.call.waiter.woken)
        if granted:
            self.check_taken(idle, out, job.call)
            self.taking.append(job)
        if job.done:
            assert job.error is None
            self.taking.remove(job)
            self.held.append(job.result)
        elif job not in self.reserving:
            self.reserving.append(job)
        if job.done and job in self.reserving:
            self.reserving.remove(job)

    @rule(data=st.data(), origin=st.sampled_from("abc"))
    def reserve(self, data: Any, origin: str) -> None:
        self.runtime.place = data.draw(st.sampled_from([home for home in self.homes if not home.closed]))
        idle, out = list(self.shards._idle), set(self.shards._out)
        free = self.shards.slots.in_use < self.most and not self.shards.slots.waiting
        call = StubCall(self.runtime, origin)
        job = Job(self.runtime, call, self.shards.reserve(call))
        assert (job.done or call.waiter is None) == free
        self.step(job, idle, out)

    @rule(data=st.data())
    def proceed(self, data: Any) -> None:
        """A call that was granted a permit, or that makes room, goes on."""
        job = self.draw(data, [job for job in self.reserving if job in self.taking or job.call.waiter.woken])
        if job is not None:
            idle, out = list(self.shards._idle), set(self.shards._out)
            job.step()
            self.step(job, idle, out)

    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        """In line, just granted, or while it makes room: it leaves nothing behind."""
        job = self.draw(data, self.reserving)
        if job is not None:
            job.cancel()
            while not job.done:
                job.step()
            assert isinstance(job.error, Cancelled)
            self.reserving.remove(job)
            self.taking = [other for other in self.taking if other is not job]

    @rule(data=st.data(), end=st.sampled_from(["read", "read", "read", "closed", "broken", "dropped"]))
    def end(self, data: Any, end: Any) -> None:
        """A response ends."""
        shard = self.draw(data, self.held)
        if shard is None:
            return
        self.held.remove(shard)
        shard.used = True
        shard.network = shard.network or Network()
        if end == "dropped":
            shard.abandon()
            return
        self.runtime.place = shard.home
        self.close_all(shard.settle(SimpleNamespace(runtime=self.runtime), end, None))
        assert (shard in self.shards._idle) == (end == "read")
        self.check_expiry()

    @precondition(lambda self: self.shards._idle)
    @rule(data=st.data())
    def server_closes(self, data: Any) -> None:
        self.draw(data, list(self.shards._idle)).network.readable = True

    # -- closing

    def close_all(self, resources: list[Any]) -> None:
        job = Job(self.runtime, None, close_all(resources, self.runtime))
        if not job.done:
            self.closing.append(job)

    @rule(data=st.data(), cancelled=st.booleans())
    def go_on_closing(self, data: Any, cancelled: bool) -> None:
        """A closing that is cancelled still closes the rest."""
        job = self.draw(data, self.closing)
        if job is not None:
            job.cancel() if cancelled else job.step()
            self.closing = [other for other in self.closing if not other.done]

    @rule(data=st.data())
    def close_pool(self, data: Any) -> None:
        """The pool is closed in one loop: what lives there is closed, responses that are open included."""
        home = self.runtime.place = data.draw(st.sampled_from([home for home in self.homes if not home.closed]))
        for shard in [*self.held, *(shard for shard in self.shards._out if shard.home is home)]:
            shard.transport.closed_in_use |= shard.home is home
        self.close_all(self.shards.close(home))
        assert not self.shards._idle

    @precondition(lambda self: not any(home.closed for home in self.homes))
    @rule(number=st.integers(0, 1))
    def close_loop(self, number: int) -> None:
        """An event loop ends, without its tasks but with responses still open; a collector finds them."""
        home = self.homes[number]
        if any(job.home is home for job in [*self.reserving, *self.closing]):
            return
        home.closed = True
        for shard in [shard for shard in self.held if shard.home is home]:
            self.held.remove(shard)
            shard.abandon()

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.runtime.time += seconds

    # -- what holds after every step

    @invariant()
    def permits_are_conserved(self) -> None:
        """Each permit in use is held, granted, or making room; and nobody waits while one is free."""
        if hasattr(self, "shards"):
            slots = self.shards.slots
            granted = sum(job in self.taking or job.call.waiter.woken for job in self.reserving)
            assert slots.in_use == len(self.held) + granted <= self.most
            assert slots.in_use == self.most or not slots.waiting
            assert slots.waiting == len(self.reserving) - granted

    @invariant()
    def connections_are_bounded(self) -> None:
        """No more are in use or idle than are allowed, and the idle ones are found by where they lead to."""
        if hasattr(self, "shards"):
            shards = self.shards
            living = [shard for shard in {*shards._idle, *shards._out} if shard not in shards.abandoned]
            assert sum(not shard.transport.closed_in_use for shard in living) <= self.most
            places = {place: [] for place in shards._by_place}
            for shard in shards._idle:
                places[shard.home, shard.origin].append(shard)
            assert {place: list(mine) for place, mine in shards._by_place.items()} == places

    @invariant()
    def every_connection_is_somewhere(self) -> None:
        """Closed at most once and at home; until then in use, idle, or known to whoever is to close it."""
        if not hasattr(self, "shards"):
            return
        shards = self.shards
        places = [*shards._idle, *shards._out, *shards._condemned, *shards.abandoned]
        known = {shard.transport for shard in places}
        for transport in self.transports:
            assert transport.closings <= 1 or transport.closed_in_use
            being_closed = any(job.home is transport.home for job in [*self.closing, *self.taking])
            assert transport.closings or transport.home.closed or being_closed or transport in known

    @invariant()
    def few_stay_idle(self) -> None:
        """Once nothing is about to happen, no more are idle than `max_keepalive` and the calls in use allow."""
        if hasattr(self, "shards") and not self.closing and not self.reserving and not self.held:
            assert len(self.shards._idle) <= self.keepalive

    def teardown(self) -> None:
        """After all calls have ended and the pool was closed everywhere, each connection was closed exactly once."""
        if not hasattr(self, "shards"):
            return
        for job in self.reserving:
            job.cancel()
            while not job.done:
                job.step()
        while self.held:
            shard = self.held.pop()
            self.runtime.place = shard.home
            self.close_all(shard.settle(SimpleNamespace(runtime=self.runtime), "broken", None))
        for home in [home for home in self.homes if not home.closed]:
            self.runtime.place = home
            self.close_all(self.shards.trim(home))  # what was dropped is reclaimed by whoever next uses the pool
            self.close_all(self.shards.close(home))
        for job in self.closing:
            while not job.done:
                job.step()
        assert self.shards.slots.in_use == 0
        assert not self.shards._out
        for transport in self.transports:
            assert transport.closings == 1 or transport.closed_in_use or transport.home.closed


TestPoolModel = PoolModel.TestCase
