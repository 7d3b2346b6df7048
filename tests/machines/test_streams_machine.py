"""Connections that carry several requests: how many, which calls wait, and what becomes of connections that drain."""

from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stepping import Cancelled, Runtime, StubCall
from test_pool_machine import EXPIRY, Home, Job, Network, Transport

from seawall._body import close_all
from seawall._errors import WaitTooLong
from seawall._streams import Stream, Streams
from seawall._ways import Trunk


class StreamsModel(RuleBasedStateMachine):
    """Calls from two event loops to two origins share connections, which learn what they carry, drain and break."""

    @initialize(most=st.integers(1, 3), keepalive=st.integers(0, 3))
    def begin(self, most: int, keepalive: int) -> None:
        self.runtime = Runtime()
        self.homes = [Home(), Home()]
        self.transports: list[Transport] = []
        self.most, self.keepalive = most, keepalive
        self.streams = Streams(self.build, most, keepalive, EXPIRY, wired=False)
        self.ways = self.streams.slots
        self.held: list[Stream] = []
        self.reserving: list[Job] = []  # in line, granted, or closing what had to make room
        self.making_room: list[Job] = []  # the latter
        self.lost: list[Job] = []  # in line on a loop that is closed
        self.closing: list[Job] = []
        self.seen: set[Trunk] = set()
        self.carried: dict[Trunk, int] = {}

    def build(self) -> Transport:
        self.transports.append(Transport(self.runtime))
        return self.transports[-1]

    def draw(self, data: Any, found: Any) -> Any:
        found = list(found)
        return data.draw(st.sampled_from(found)) if found else None

    def trunks(self) -> set[Trunk]:
        """Those in use, as the pool sees it; what was abandoned awaits only its closing."""
        return {trunk for trunk in self.streams._out if trunk not in self.streams.abandoned}

    # -- calls

    @rule(number=st.integers(0, 1), origin=st.sampled_from("ab"), priority=st.integers(-1, 1))
    def arrive(self, number: int, origin: str, priority: int) -> None:
        """A call gets what it can have at once, or stands in line."""
        if self.homes[number].closed:
            return
        self.runtime.place = self.homes[number]
        call = StubCall(self.runtime, origin, priority=priority)
        self.go_on(Job(self.runtime, call, self.streams.reserve(call)))

    def go_on(self, job: Job) -> None:
        """A call arrived, or went on after it was granted something."""
        if job not in self.reserving:
            self.reserving.append(job)
        if not job.done and self.granted(job) and job not in self.making_room:
            self.making_room.append(job)
        if job.done:
            self.forget(job)
            assert job.error is None
            assert isinstance(job.result, Stream)
            assert (job.result.trunk.home, job.result.trunk.origin) == (job.home, job.call.chain.origin)
            self.held.append(job.result)

    def forget(self, job: Job) -> None:
        self.reserving = [other for other in self.reserving if other is not job]
        self.making_room = [other for other in self.making_room if other is not job]

    def granted(self, job: Job) -> bool:
        """Whether it is through the line; it may still be closing others."""
        return job.call.waiter is None or job.call.waiter.woken

    @rule(data=st.data())
    def proceed(self, data: Any) -> None:
        """A call that was granted something goes on."""
        job = self.draw(data, filter(self.granted, self.reserving))
        if job is not None:
            job.step()
            self.go_on(job)

    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        """In line, just granted, or while it closes others: it leaves nothing behind."""
        job = self.draw(data, self.reserving)
        if job is None:
            return
        draining = {trunk for trunk in self.carrying() if trunk.draining}
        unused = job not in self.making_room
        job.cancel()
        while not job.done:
            job.step()
        assert isinstance(job.error, Cancelled)
        self.forget(job)
        if unused:  # nothing was sent: a connection with room for it goes on
            assert {trunk for trunk in self.carrying() if trunk.draining} <= draining

    @rule(data=st.data())
    def give_up(self, data: Any) -> None:
        """Its time in line is over."""
        job = self.draw(data, [job for job in self.reserving if not self.granted(job)])
        if job is not None:
            job.step()
            self.forget(job)
            assert isinstance(job.error, WaitTooLong)

    @rule(data=st.data())
    def throw_away(self, data: Any) -> None:
        """A call is collected with its event loop, in line or just granted."""
        job = self.draw(data, [job for job in self.reserving if job not in self.making_room])
        if job is not None:
            job.coro.close()
            self.forget(job)

    @rule(data=st.data())
    def lose(self, data: Any) -> None:
        """A loop is closed under a call in line: what that is granted goes to another."""
        job = self.draw(data, [job for job in self.reserving if not self.granted(job)])
        if job is not None:
            job.call.waiter.gone = True
            self.lost.append(job)
            self.forget(job)

    @rule(data=st.data())
    def collect(self, data: Any) -> None:
        """It is collected, in line or after it could not be woken."""
        job = self.draw(data, self.lost)
        if job is not None:
            job.coro.close()
            self.lost.remove(job)

    # -- what servers say

    @rule(data=st.data(), width=st.integers(1, 3))
    def learn(self, data: Any, width: int) -> None:
        """A server says how many requests a connection carries, for the first time or again."""
        stream = self.draw(data, self.held)
        if stream is not None and stream.trunk in self.trunks():
            self.ways.learn(stream.trunk, width)

    @rule(data=st.data())
    def wants_no_more(self, data: Any) -> None:
        stream = self.draw(data, [stream for stream in self.held if stream.trunk in self.trunks()])
        if stream is not None:
            stream._learn({3: SimpleNamespace(new_value=0)})
            assert stream.trunk.draining

    @precondition(lambda self: self.streams._idle)
    @rule(data=st.data())
    def server_closes(self, data: Any) -> None:
        self.draw(data, self.streams._idle).network.readable = True

    # -- ends

    @rule(data=st.data(), end=st.sampled_from(["read", "read", "read", "closed", "broken", "failed", "dropped"]))
    def end(self, data: Any, end: Any) -> None:
        """A request ends; one that does not end well drains its connection, which is closed when it is empty."""
        stream = self.draw(data, self.held)
        if stream is None:
            return
        self.held.remove(stream)
        trunk = stream.trunk
        last = sum(other.trunk is trunk for other in self.held) == 0
        if end == "read":
            trunk.used, trunk.network = True, trunk.network or Network()
            if trunk.making:
                self.ways.learn(trunk, 1)
        elif end == "dropped":
            stream.abandon()
            return
        self.runtime.place = trunk.home
        error = ConnectionError() if end == "failed" else Cancelled() if end == "broken" else None
        kind = end if end in ("read", "closed") else "broken"
        self.close_all(stream.settle(SimpleNamespace(runtime=self.runtime), kind, error))
        if end != "read" and trunk.carries:
            assert trunk.draining
        if last and not trunk.carries and not trunk.transport.closed_in_use:
            assert (trunk in self.streams._idle) == (not trunk.draining)

    def close_all(self, resources: list[Any]) -> None:
        job = Job(self.runtime, None, close_all(resources, self.runtime))
        if not job.done:
            self.closing.append(job)

    @rule(data=st.data(), cancelled=st.booleans())
    def go_on_closing(self, data: Any, cancelled: bool) -> None:
        job = self.draw(data, self.closing)
        if job is not None:
            job.cancel() if cancelled else job.step()
            self.closing = [other for other in self.closing if not other.done]

    @rule(data=st.data())
    def close_pool(self, data: Any) -> None:
        """The pool is closed in one loop: nobody gets on what lives there any more."""
        home = self.runtime.place = data.draw(st.sampled_from([home for home in self.homes if not home.closed]))
        mine = [trunk for trunk in self.trunks() if trunk.home is home]
        for trunk in mine:
            trunk.transport.closed_in_use = True
        self.close_all(self.streams.close(home))
        assert all(trunk.draining for trunk in mine)

    @precondition(lambda self: not any(home.closed for home in self.homes))
    @rule(number=st.integers(0, 1))
    def close_loop(self, number: int) -> None:
        """An event loop ends, without its tasks but with responses still open; a collector finds them."""
        home = self.homes[number]
        if any(job.home is home for job in [*self.reserving, *self.closing]):
            return
        home.closed = True
        for stream in [stream for stream in self.held if stream.trunk.home is home]:
            self.held.remove(stream)
            stream.abandon()

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.runtime.time += seconds

    # -- what holds after every step

    def loose(self) -> int:
        """Permits that were granted and not turned into a connection yet."""
        ways = {*self.ways._ways.values(), *(trunk.way for trunk in self.carrying())}
        return sum(way.making for way in ways) - sum(trunk.making for trunk in self.carrying())

    def carrying(self) -> set[Trunk]:
        """Every trunk with a request on it, also one that its pool has closed meanwhile."""
        self.seen |= self.streams._out
        return {trunk for trunk in self.seen if trunk.carries}

    @invariant()
    def nothing_is_lost(self) -> None:
        """Each call that is through the line has room on a connection or a permit; the others are all in line."""
        if not hasattr(self, "ways"):
            return
        through = [job for job in self.reserving if self.granted(job)]
        known = self.carrying()
        assert sum(trunk.carries for trunk in known) + self.loose() == len(self.held) + len(through)
        assert self.ways.in_use == len(known) + self.loose() <= self.most
        waiting = [job for job in self.reserving if not self.granted(job)]
        assert self.ways.waiting == sum(way.calls.waiting for way in self.ways._ways.values())
        assert len(waiting) <= self.ways.waiting <= len(waiting) + len(self.lost)

    @invariant()
    def limits_are_kept(self) -> None:
        """Nobody gets on a connection that carries all it can, that drains, or of which nothing is known."""
        if not hasattr(self, "ways"):
            return
        carried = {trunk: trunk.carries for trunk in self.carrying()}
        for trunk, count in carried.items():
            if count > self.carried.get(trunk, 0):
                assert not (trunk.draining and self.carried.get(trunk))
                assert count <= (1 if trunk.making else trunk.width or 1)
        self.carried = carried

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """Who waits does so for a permit, for the turn of another way, or for a connection in the making."""
        if not hasattr(self, "ways"):
            return
        ways = self.ways
        assert all(way.calls.waiting or way.making or way.trunks for way in ways._ways.values())
        for way in ways._round:
            assert way.calls.waiting
        if ways._round:
            assert ways.in_use >= self.most
            assert not next(iter(ways._round)).roomy
        for way in ways._ways.values():
            if way.calls.waiting and way not in ways._round:
                assert way.making
                assert not way.roomy

    @invariant()
    def one_handshake_at_a_time(self) -> None:
        """Of a way on which nothing is known, one connection at most is in the making."""
        if hasattr(self, "ways"):
            assert all(way.making <= 1 for way in self.ways._ways.values() if way.width is None)

    @invariant()
    def room_is_known(self) -> None:
        """The connections that can carry more are those that the way lists."""
        if not hasattr(self, "ways"):
            return
        for way in self.ways._ways.values():
            for trunk in way.roomy:
                assert trunk.carries
                assert not trunk.draining
                assert not trunk.making
                assert trunk.carries < trunk.width
        for trunk in self.trunks():
            if trunk.carries and not trunk.draining and not trunk.making and trunk.carries < trunk.width:
                assert trunk in trunk.way.roomy

    @invariant()
    def every_connection_is_somewhere(self) -> None:
        """Closed at most once and at home; until then in use, idle, or known to whoever is to close it."""
        if not hasattr(self, "ways"):
            return
        streams = self.streams
        known = {trunk.transport for trunk in (*streams._idle, *streams._out, *streams._condemned, *streams.abandoned)}
        for transport in self.transports:
            assert transport.closings <= 1 or transport.closed_in_use
            busy = any(job.home is transport.home for job in [*self.closing, *self.reserving])
            assert transport.closings or transport.home.closed or busy or transport in known

    def teardown(self) -> None:
        """After all calls have ended and the pool was closed everywhere, each connection was closed exactly once."""
        if not hasattr(self, "ways"):
            return
        while self.reserving:
            job = self.reserving.pop()
            job.cancel()
            while not job.done:
                job.step()
        while self.lost:
            self.lost.pop().coro.close()
        while self.held:
            stream = self.held.pop()
            self.runtime.place = stream.trunk.home
            self.close_all(stream.settle(SimpleNamespace(runtime=self.runtime), "broken", Cancelled()))
        for home in [home for home in self.homes if not home.closed]:
            self.runtime.place = home
            self.close_all(self.streams.trim(home))
            self.close_all(self.streams.close(home))
        for job in self.closing:
            while not job.done:
                job.step()
        assert (self.ways.in_use, self.ways.waiting) == (0, 0)
        assert not self.ways._ways
        assert not self.streams._out
        for transport in self.transports:
            assert transport.closings == 1 or transport.closed_in_use or transport.home.closed


TestStreamsModel = StreamsModel.TestCase
