"""The thread runtime: runs the same coroutine without ever suspending it.

`run` sends one None into what a chain returns; everything that would await blocks the thread inside instead. A
coroutine that suspends all the same is a policy that awaited something foreign, and is told so by name.

A blocking read cannot be interrupted from outside, and a socket timeout starts anew with each byte that
drips in. So a deadline is made real by a watchdog thread that shuts down the attempt's socket; the socket is
learned from httpcore's `trace` extension when it connects, or from the response's `network_stream`.
"""

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Hashable
from types import CoroutineType
from typing import Any, TypeVar

from .._errors import Expired
from .._fork import tell_of_forks
from .._listeners import logger

T = TypeVar("T")
INF = float("inf")
TIMEOUTS = ("connect", "read", "write", "pool")


def run(chain: Callable[[Any], Any], call: Any) -> Any:
    """Run a call through a chain of policies, to its end in this thread."""
    try:
        outcome = chain(call)
        if type(outcome) is not CoroutineType:
            return outcome
        outcome.send(None)
    except StopIteration as done:
        return done.value
    except Escaped as escaped:
        raise escaped.original from escaped.original.__cause__
    culprit = _suspended(outcome)
    outcome.close()
    raise RuntimeError(
        f"{culprit} suspended in a sync client: a policy may only await `next(call)` and what "
        "`call.runtime` and `call.wait` offer"
    )


def _suspended(chain: Any) -> str:
    """The innermost policy on the way to where a coroutine hangs."""
    from .._policy import Policy

    name, step = "a policy", chain
    while step is not None:
        frame = getattr(step, "cr_frame", None)
        owner = frame.f_locals.get("self") if frame is not None else None
        if isinstance(owner, Policy):
            name = repr(owner)
        step = getattr(step, "cr_await", None)
    return name


class Escaped(Exception):
    """Carries a StopIteration (say, of an exhausted mock) out of the coroutines, which cannot raise it."""

    def __init__(self, original: StopIteration) -> None:
        self.original = original


class ThreadWaiter:
    """A bare lock, released to wake. It takes no Python-level lock, so a collector's `__del__` may wake too."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> bool:
        with contextlib.suppress(RuntimeError):  # it was woken before
            self._lock.release()
        return True

    async def wait(self, until: float) -> bool:
        if until == INF:
            return self._lock.acquire()
        return self._lock.acquire(timeout=min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX))


class Wire:
    """One attempt's connection, as far as it is known, and the time at which to cut it; watched once it is known."""

    deadline = INF
    watched = False
    """By the watchdog, which sets it."""
    fired = False
    socket: Any = None
    handshake: "socket.socket | None" = None

    def learn(self, stream: Any) -> None:
        """Take the socket of one of httpcore's network streams."""
        self.socket = None if stream is None else stream.get_extra_info("socket")
        if self.fired:
            self.cut()
        elif self.deadline < INF and not self.watched:
            WATCHDOG.watch(self)

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's `trace` extension, listening for connections.

        A TLS handshake takes the file descriptor away from the plain socket, so while it lasts a duplicate stands in.
        """
        phase = event.partition(".")[2]
        if phase in ("connect_tcp.complete", "connect_unix_socket.complete"):
            self.learn(info["return_value"])
        elif phase == "start_tls.started" and self.socket is not None and self.socket.fileno() >= 0:
            self.handshake = socket.socket(fileno=os.dup(self.socket.fileno()))
            if self.fired:
                self.cut()
        elif phase in ("start_tls.complete", "start_tls.failed"):
            if self.handshake is not None:
                self.handshake.close()
                self.handshake = None
            self.learn(info.get("return_value"))

    def hang_up(self) -> None:
        """Close a connection that failed while it was made: httpcore forgets one that a SOCKS proxy refuses."""
        if self.socket is not None:
            self.socket.close()

    def let_go(self) -> None:
        """In a forked child: leave the connection to the parent. Closing a socket says nothing to its peer."""
        for known in (self.handshake, self.socket):
            if known is not None:
                known.close()

    def cut(self) -> None:
        """Shut the connection down; whatever blocks on it returns at once."""
        self.fired = True
        for known in (self.handshake, self.socket):
            try:
                if known is not None:
                    socket.socket.shutdown(known, socket.SHUT_RDWR)  # not SSLSocket's, which drops its state
            except (OSError, TypeError):  # already gone, or not a real socket
                pass


class Watchdog:
    """One daemon thread that cuts wires at their deadlines.

    `_lock` guards `_watched` and `_next`. The thread is only woken for a deadline earlier than the one it
    already sleeps for; it looks at every wire in flight when it does wake, which is rarely.
    """

    def __init__(self) -> None:
        self.after_fork()
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Start afresh: there is no thread."""
        self._lock = threading.Lock()
        self._bell = threading.Lock()  # released to wake the thread: cheaper than a Condition, which is Python code
        self._bell.acquire()
        self._watched: set[Wire] = set()
        self._next = INF
        self._thread: threading.Thread | None = None

    def watch(self, wire: Wire) -> None:
        """Cut this wire at its deadline."""
        with self._lock:
            self._watched.add(wire)
            wire.watched = True
            if wire.deadline < self._next:
                self._next = wire.deadline
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="seawall-watchdog", daemon=True)
                    self._thread.start()
                elif self._bell.locked():
                    self._bell.release()

    def forget(self, wire: Wire) -> None:
        """It came through in time, or was cut."""
        with self._lock:
            self._watched.discard(wire)
            wire.watched = False

    def _run(self) -> None:
        while True:
            with self._lock:
                now = time.monotonic()
                due = [wire for wire in self._watched if wire.deadline <= now]
                self._watched.difference_update(due)
                self._next = min((wire.deadline for wire in self._watched), default=INF)
                for wire in due:  # under the lock: a wire that was forgotten is never cut
                    wire.watched = False
                    wire.cut()
                wait = self._next - now
            self._bell.acquire(timeout=-1 if wait == INF else min(wait, threading.TIMEOUT_MAX))


WATCHDOG = Watchdog()


class ThreadRuntime:
    """Everything a policy may not do itself, by blocking."""

    __slots__ = ("now",)
    name = "threads"
    random = staticmethod(random.random)
    waiter = ThreadWaiter

    def __init__(self) -> None:
        self.now = time.monotonic  # a slot, as in `Awaiting`

    def home(self) -> Hashable:
        return None

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def within(self, awaitable: Awaitable[T], deadline: float) -> T:
        return await awaitable

    def send(self, transport: Any, request: Any, deadline: float, line: Wire | None) -> Any:
        if line is None and deadline == INF:
            return _handle(transport, request)
        wire = line or Wire()
        own = request.extensions  # changed in place for as long as this lasts: httpcore keeps this very mapping
        timeouts = own.get("timeout")
        clipped = None if deadline == INF else _clip(timeouts or {}, deadline - time.monotonic())
        if clipped is not None:
            own["timeout"] = clipped
        new = wire.socket is None
        if new:
            trace = own.get("trace")
            own["trace"] = wire.trace if trace is None else _both(trace, wire.trace)
        wire.deadline, wire.fired = deadline, False
        if not new and deadline < INF:
            WATCHDOG.watch(wire)
        try:
            response = _handle(transport, request)
        except BaseException as error:
            if new:
                wire.hang_up()
            if isinstance(error, Exception) and (wire.fired or time.monotonic() >= deadline):
                raise Expired from error
            raise
        finally:
            wire.deadline = INF
            if wire.watched:
                WATCHDOG.forget(wire)
            if clipped is not None:
                _put_back(own, "timeout", timeouts)
            if new:
                _put_back(own, "trace", trace)
        if wire.fired or time.monotonic() >= deadline:
            response.close()
            raise Expired
        return response

    def read(self, chunks: Any, deadline: float, body: Any) -> bytes | None:
        """The next chunk of a body; None at its end, `Expired` at the deadline."""
        wire = body.wire
        if wire is None:
            network = body.extensions.get("network_stream")
            if network is None:  # a mock's or a foreign transport's: there is nothing to cut, only a clock to look at
                try:
                    chunk: bytes | None = next(chunks, None)
                except Exception as error:  # of a timeout of the transport's own, more often than not
                    if time.monotonic() >= deadline:
                        raise Expired from error
                    raise
                if chunk is not None and time.monotonic() >= deadline:
                    raise Expired
                return chunk
            wire = body.wire = Wire()
            wire.learn(network)
        if wire.deadline != deadline:
            wire.deadline = deadline
            WATCHDOG.watch(wire)  # until the body ends
        if wire.fired:
            raise Expired
        try:
            chunk = next(chunks, None)
        except Exception as error:
            if wire.fired:
                raise Expired from error
            raise
        if wire.fired:  # then what looks like the body's end may be none
            raise Expired
        return chunk

    def forget(self, wire: Wire) -> None:
        """A body ended that had a deadline."""
        WATCHDOG.forget(wire)

    async def close(self, resource: Any) -> None:
        resource.close()

    async def drain(self, body: Any, limit: int, seconds: float) -> None:
        body.deadline = min(body.deadline, time.monotonic() + seconds)
        try:
            for chunk in body:
                limit -= len(chunk)
                if limit < 0:
                    break
        except Exception as error:  # only its type is told: what it says may quote a header
            logger.debug("a discarded response broke while it was drained (%s)", type(error).__name__)
        finally:
            body.close()

    def __repr__(self) -> str:
        return "<seawall thread runtime>"


def _handle(transport: Any, request: Any) -> Any:
    try:
        return transport.handle_request(request)
    except StopIteration as stop:
        raise Escaped(stop) from None


def _clip(timeouts: dict[str, float | None], remaining: float) -> dict[str, float | None] | None:
    """httpx's own timeouts, none beyond what remains: the strictest wins. None if that changes nothing."""
    most = max(remaining, 0.001)  # 0 would mean "non-blocking" to a socket
    if len(timeouts) == len(TIMEOUTS):
        given: Any = timeouts.values()
        if None not in given and max(given) <= most:
            return None
    return {name: most if (value := timeouts.get(name)) is None else min(value, most) for name in TIMEOUTS}


def _put_back(extensions: dict[str, Any], name: str, own: Any) -> None:
    if own is None:
        del extensions[name]
    else:
        extensions[name] = own


def _both(theirs: Any, ours: Any) -> Any:
    def trace(event: str, info: dict[str, Any]) -> Any:
        ours(event, info)
        return theirs(event, info)

    return trace


THREADS = ThreadRuntime()
