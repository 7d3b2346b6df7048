"""HTTP/2 in the pool: one connection carries as many requests at once as its server allows.

What a server allows it says in its SETTINGS, which httpcore tells its `trace` extension of; the first thing that is
said in HTTP/1.1 tells that it is a connection of one request at a time. Both come before the first response. So
each request listens, and while it is not known what a connection carries, others wait in our line (see `_ways`),
never in httpcore's.

Sync pools have no part in this: see `docs/decisions.md`.
"""

import contextlib
from types import CoroutineType
from typing import Any

from ._body import End, close_all
from ._call import Call
from ._errors import WaitTooLong
from ._leaf import send
from ._pool import Shards, last_moment
from ._queue import AGEING
from ._ways import Grant, Trunk, Ways
from .runtime import Runtime
from .runtime._awaiting import Making

MOST = 100
"""As many requests at once httpcore sends on one connection, however many the server allows."""
MAX_CONCURRENT_STREAMS = 3  # RFC 9113, section 6.5.2


async def reserve_and_stream(call: Call) -> Any:
    """Send through a pool of trunks: wait for room on one, send on it, and keep the room until the body ends."""
    streams: Streams = call.chain.shards
    request, runtime = call.request, call.runtime
    stream = await streams.reserve(call)
    call.reused = stream.trunk.used
    own = request.extensions
    stream.also = own.get("trace")
    request.extensions = {**own, "trace": stream.trace}
    try:
        response = send(call, stream.trunk.transport, stream.line)
        if type(response) is CoroutineType:
            response = await response
    except GeneratorExit:  # thrown away by a collector: nothing can be awaited there, and no lock
        stream.abandon()
        raise
    except BaseException as error:
        await close_all(stream.settle(call, "broken", error), runtime)
        raise
    finally:
        request.extensions = own
    stream.answered(response)
    if response.is_closed:
        await close_all(stream.settle(call, "read", None), runtime)
    else:
        call.body(response).add(call, [stream])
    return response


class Stream:
    """One request's room on a trunk. Held until its response's body ends."""

    __slots__ = ("also", "line", "runtime", "streams", "trunk", "ways")

    def __init__(self, streams: "Streams", trunk: Trunk, runtime: Runtime) -> None:
        self.streams = streams
        self.ways: Ways = trunk.slots
        self.trunk = trunk
        self.runtime = runtime
        self.line = Making()  # each has one: httpcore may connect anew for any request
        self.also: Any = None
        """The caller's own `trace`."""

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's `trace` extension, heard for as long as the response is read."""
        if event == "http2.receive_remote_settings.complete":
            self._learn(info["return_value"].changed_settings)
        elif event.endswith((".connect_tcp.complete", ".connect_unix_socket.complete", ".start_tls.complete")):
            self._reach(info["return_value"])
        elif event == "http2.send_connection_init.started":
            self._connected()
            tame(self.trunk, self.runtime)
        elif event == "http11.send_request_headers.started" and info["request"].method != b"CONNECT":
            self._connected()
            self.ways.learn(self.trunk, 1)
        if self.also is not None:
            await self.also(event, info)

    def answered(self, response: Any) -> None:
        """The response headers are here."""
        trunk = self.trunk
        trunk.used = True
        network = response.extensions.get("network_stream")
        if network is not trunk.network:
            self._reach(network)
        if trunk.making:  # nothing was told of it
            self.ways.learn(trunk, 1)

    def settle(self, call: Call, end: End, error: BaseException | None) -> list[Any]:
        """Give it back."""
        if self.ways is not self.streams.slots:  # of a call that was under way at a fork, and is another process's
            return []
        return self.streams.leave(self.trunk, call.runtime, keep=end == "read", failed=isinstance(error, Exception))

    def abandon(self) -> None:
        """Give it back from a collector."""
        if self.ways is self.streams.slots:
            self.ways.drop(self.trunk)

    def _reach(self, network: Any) -> None:
        self.trunk.network = network
        self.trunk.wire.learn(network)

    def _connected(self) -> None:
        self.line.learn(None)  # from now on the transport closes it, when nobody needs it any more

    def _learn(self, settings: Any) -> None:
        trunk = self.trunk
        most = settings.get(MAX_CONCURRENT_STREAMS)
        if most is not None:
            self.ways.learn(trunk, max(1, min(most.new_value, MOST)))
            if most.new_value == 0:
                self.ways.drain([trunk])
        elif trunk.making:  # httpcore sends one at a time to a server that states no limit
            self.ways.learn(trunk, 1)

    def __repr__(self) -> str:
        return f"<Stream on {self.trunk!r}>"


class Streams(Shards):
    """The permits and connections of a pool in which a connection may carry several requests at once."""

    slots: Ways
    shard_type = Trunk
    leaf = staticmethod(reserve_and_stream)

    def new_slots(self) -> Ways:
        return Ways(self.max_connections)

    async def reserve(self, call: Call) -> Stream:  # type: ignore[override]
        """Wait in line for room on a trunk, or for a permit to make one."""
        ways, runtime, origin = self.slots, call.runtime, call.chain.origin
        home = runtime.home()
        grant = ways.try_enter((home, origin)) or await self._wait(call, home)
        if isinstance(grant, Trunk):
            return Stream(self, grant, runtime)
        try:
            trunk, closing = self._take(home, origin, runtime.now())
        except BaseException:
            ways.forgo(grant)
            raise
        ways.board(grant, trunk)
        if closing:
            try:
                await close_all(closing, runtime)
            except GeneratorExit:
                ways.drop(trunk)
                raise
            except BaseException:
                await close_all(self.leave(trunk, runtime, keep=trunk.used), runtime)
                raise
        return Stream(self, trunk, runtime)

    async def _wait(self, call: Call, home: Any) -> Grant:
        ways, runtime = self.slots, call.runtime
        arrived = runtime.now()
        turn = ways.line_up((home, call.chain.origin), runtime.waiter(), arrived - AGEING * call.options.priority)
        if turn.grant is None:
            try:
                await call.wait(turn.waiter, last_moment(call))
            except GeneratorExit:  # thrown away with its event loop: nothing can be closed there
                ways.drop(turn)
                raise
            except BaseException:
                closing = self._give_back(ways.leave_line(turn), runtime)
                await close_all(closing + self.trim(home), runtime)
                raise
            finally:
                call.trail.add_queued(runtime.now() - arrived)
        grant = ways.leave_line(turn)
        if grant is None:
            waited = runtime.now() - arrived
            raise call.rejected(WaitTooLong, f"pool: no connection within {waited:.3g} s of waiting in line")
        return grant

    def _give_back(self, grant: Grant | None, runtime: Runtime) -> list[Any]:
        """Nothing was sent with it."""
        if isinstance(grant, Trunk):
            return self.leave(grant, runtime, keep=True)
        if grant is not None:
            self.slots.forgo(grant)
        return []

    def leave(self, trunk: Trunk, runtime: Runtime, *, keep: bool, failed: bool = False) -> list[Any]:
        """A request on a trunk has ended. Returns what is to be closed here."""
        if self.slots.leave(trunk, keep=keep, failed=failed):
            return self.put(trunk, runtime, keep=not trunk.draining)
        return self.tend(trunk.home, runtime.now())

    def close(self, home: Any) -> list[Any]:
        """Take every idle trunk out, and those in use at this home. Returns the transports to be closed there."""
        with self._lock:
            used: list[Any] = [trunk for trunk in self._out if trunk.home is home]
        self.slots.drain(used)
        return super().close(home)


class Nothing(bytes):
    """What was read when there was nothing to read. It is empty, but to httpcore not the end of a connection."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = bytes.__hash__


NOTHING = Nothing()


def tame(trunk: Trunk, runtime: Any) -> None:
    """Have a connection read and write so that those who share it do not harm each other.

    - Whoever reads, reads for all; then the others look one by one whether there is something for them, and the first
      for whom there is not reads on, before all who come after it have looked. So once nothing more is there to be
      read, each is passed by once, and only then is anything waited for.
    - A write that was cut short is lost to httpcore and anyio, even if it was done: the TLS stream is given up, and
      with it every request that the connection carries. So no cancellation falls into a write.
    """
    network: Any = trunk.network
    read, write = network.read, network.write
    passes = 0

    async def read_or_pass(max_bytes: int, timeout: float | None = None) -> bytes:
        nonlocal passes
        if passes and trunk.alive():  # there is nothing to read
            passes -= 1
            return NOTHING
        data: bytes = await read(max_bytes, timeout)
        passes = trunk.carries
        return data

    def write_all(buffer: bytes, timeout: float | None = None) -> Any:
        return runtime.whole(write(buffer, timeout))

    with contextlib.suppress(AttributeError):  # should they ever be fixed
        network.read, network.write = read_or_pass, write_all
