"""One request on its way, and what became of it.

A `Call` goes down the chain of policies with one request. What outlives it, across redirect and auth
hops and into the report, is its `Trail`: httpx copies a request's `extensions` from hop to hop, so the
trail rides there (and holds no request or response itself, which would make a cycle of garbage per call). A request
that an auth flow makes anew, such as one for a token, has nothing of it: the client tells what it is `SENDING`.
"""

from collections.abc import Awaitable, Hashable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Protocol

from ._errors import Rejected, TimedOut
from ._listeners import notify
from ._options import Options
from .runtime import Runtime, Waiter

if TYPE_CHECKING:
    from ._body import Hold
    from ._events import Event, Report
    from ._policy import Chain

INF = float("inf")
MARK = "seawall.trail"
SENDING: ContextVar[dict[str, Any] | None] = ContextVar("seawall.sending", default=None)
"""The extensions of the request that a client of ours was asked to send, while it sends it and what goes with it."""


Begun = Token[dict[str, Any] | None]


def begin(request: Any) -> Begun:
    """A client of ours sends a request: a new call, and what goes with it belongs to it. Returns what `end` needs."""
    extensions = request.extensions
    extensions.pop(MARK, None)
    return SENDING.set(extensions)


def end(begun: Begun) -> None:
    """It was sent. Its context is as it was before: a task that is kept for its result keeps no more than that."""
    try:
        SENDING.reset(begun)
    except ValueError:
        return  # thrown away with its event loop, it ends in another context, which is left alone


Sent = tuple[float, float, int | None, Exception | None, float, float | None]
"""An attempt that was sent, cheap enough for every call: when, when it ended, status, error, the wait before, and what
Retry-After asked for. `Attempt` is made of it when asked for."""


class Guard(Protocol):
    """A circuit's word on a call that it let in: still good, or revoked because the circuit opened since."""

    generation: Any
    """What it let in since its last transition; it is `revoked` by one."""
    outer: "Guard | None"
    sent_at: float | None
    """When the attempt that it let in was sent; None while that waits in our own lines."""

    def watch(self, waiter: Waiter) -> None: ...
    def unwatch(self, waiter: Waiter) -> None: ...
    def check(self, call: "Call") -> None: ...


class Trail:
    """What one call leaves behind, over all its attempts and hops.

    Here and in what else is made for each call, attributes that seldom differ are defaults of the class, and there is
    no `__init__`: to run one takes twice as long as to set what does differ.
    """

    chain: "Chain"
    attempts: list[Sent]
    started = 0.0
    ended: float | None = None
    deadline = INF
    request_id = 0
    """Which request object it began with."""
    first: "Trail | None" = None
    """Where this is of another request within a call: the call's own."""
    queued = 0.0
    throttled = 0.0
    gave_up: str | None = None
    idempotency_key: str | None = None

    def hop(self, request_id: int) -> "Trail":
        """Of another request within the same call: its attempts and times are the call's, its outcome is its own."""
        trail = Trail()
        trail.first, trail.request_id = self, request_id
        trail.started, trail.deadline, trail.attempts = self.started, self.deadline, self.attempts
        return trail

    def add_queued(self, seconds: float) -> None:
        """Time was spent in a line."""
        (self.first or self).queued += seconds

    def add_throttled(self, seconds: float) -> None:
        """Time was spent waiting for a throttle."""
        (self.first or self).throttled += seconds

    def broke(self, error: Exception, now: float, asked: float | None) -> None:
        """The answer of the last attempt had its headers, but its body broke within the attempt."""
        if self.attempts:
            at, _, status, _, waited, _ = self.attempts[-1]
            self.attempts[-1] = (at, now, status, error, waited, asked)

    def report(self) -> "Report":
        from ._events import Attempt, Report

        attempts = tuple(
            Attempt(
                number=number,
                started=at - self.started,
                elapsed=ended - at,
                status=status,
                error=error,
                waited=waited,
                retry_after=retry_after,
                hedged=False,
            )
            for number, (at, ended, status, error, waited, retry_after) in enumerate(self.attempts, 1)
        )
        return Report(
            endpoint=self.chain.endpoint,
            key=self.chain.label,
            attempts=attempts,
            queued=(self.first or self).queued,
            throttled=(self.first or self).throttled,
            elapsed=(self.started if self.ended is None else self.ended) - self.started,
            gave_up=self.gave_up,
        )


def report(outcome: Any) -> "Report":
    """What Seawall did for the call that ended in this response or exception.

        response = client.get(url)
        seawall.report(response).attempts

    Raises `LookupError` if the call did not go through Seawall.
    """
    extensions = getattr(outcome, "extensions", None)
    if extensions is None:
        try:
            extensions = outcome.request.extensions
        except (AttributeError, RuntimeError):
            extensions = {}
    trail = extensions.get(MARK)
    if trail is None:
        raise LookupError(f"{outcome!r} is not the outcome of a call made through Seawall")
    return trail.report()  # type: ignore[no-any-return]


class Call:
    """One request on its way through the policies."""

    request: Any
    """The HTTP library's request."""
    runtime: Runtime
    """The clock, the coin and what can be waited for."""
    chain: "Chain"
    options: Options
    """This request's options: `.priority`, `.cost`, `.tenant` and the others."""
    trail: Trail
    deadline: float
    """When it must be over, on the runtime's clock; `inf` without a `Timeout`."""
    guard: Guard | None
    waited: float
    """The backoff before the current attempt."""
    reused = False
    """Whether the current attempt goes out on a connection that already served a request."""

    @property
    def family(self) -> Any:
        """The HTTP library of this call: its exception tree and stream classes."""
        return self.chain.family

    @property
    def endpoint(self) -> str | None:
        """The pattern of the endpoint that handles this call."""
        return self.chain.endpoint

    @property
    def key(self) -> Hashable:
        """The origin of the request, such as `https://api.example.com`."""
        return self.chain.label

    def fork(self) -> "Call":
        """A copy for a branch that races this call: its own deadline, guard and clock, the same trail."""
        branch = Call()
        vars(branch).update(vars(self), reused=False)
        return branch

    def wait(self, waiter: Waiter, until: float) -> Awaitable[bool]:
        """Wait in a line. True if woken, False at time `until`; `CircuitOpen` once its circuit has opened."""
        return waiter.wait(until) if self.guard is None else self._guarded(waiter, until)

    async def _guarded(self, waiter: Waiter, until: float) -> bool:
        self._each_guard("watch", waiter)
        try:
            woken = await waiter.wait(until)
        finally:
            self._each_guard("unwatch", waiter)
        self.check()
        return woken

    def check(self) -> None:
        """Raise `CircuitOpen` if a circuit that let this call in has opened since."""
        guard = self.guard
        while guard is not None:
            guard.check(self)
            guard = guard.outer

    def hold(self, response: Any, holds: "list[Hold]") -> None:
        """Keep these until the response's body is read, closed, broken or dropped."""
        stream, chain = response.stream, self.chain
        kind = type(stream)
        if kind is chain.body:
            stream.add(self, holds)
        elif kind is chain.bytes_stream or response.is_closed:
            # nothing more comes over the network; read before it reached us (by a mock, a cache), it never closes
            for hold in holds:
                hold.settle(self, "read", None)
        else:
            body = response.stream = chain.body()
            body.stream, body.call, body.extensions, body._holds = stream, self, response.extensions, holds

    def bound(self, response: Any, deadline: float) -> None:
        """Let a deadline bound the reading of the response's body."""
        if deadline == INF:
            return
        self.hold(response, [])
        stream = response.stream
        if type(stream) is self.chain.body and deadline < stream.deadline:
            stream.deadline = deadline

    def body(self, response: Any) -> Any:
        """The body of an open response that keeps our holds; wrapped now if it is not yet."""
        stream = response.stream
        if type(stream) is self.chain.body:
            return stream
        body = response.stream = self.chain.body()
        body.stream, body.call, body.extensions, body._holds = stream, self, response.extensions, []
        return body

    def rejected(
        self, kind: type[Rejected], message: str, *, key: Hashable = None, retry_after: float | None = None
    ) -> Rejected:
        """An error of the caller's HTTP library for a call of which nothing was sent."""
        error: Rejected = self.family.errors[kind](message)
        error.endpoint = self.endpoint
        error.key = self.key if key is None else key
        error.retry_after = retry_after
        error.request = self.request  # type: ignore[attr-defined]  # httpx's attribute, by inheritance
        if self.chain.listeners:
            from ._events import CallRejected

            self.emit(
                CallRejected(endpoint=self.endpoint, key=error.key, reason=kind.__name__, retry_after=retry_after)
            )
        return error

    def timed_out(self, message: str, scope: str) -> TimedOut:
        """A timeout error of the caller's HTTP library."""
        error: TimedOut = self.family.errors[TimedOut](message)
        error.scope = scope  # type: ignore[assignment]
        error.request = self.request  # type: ignore[attr-defined]
        return error

    def emit(self, event: "Event") -> None:
        """Tell the client's listeners."""
        notify(self.chain.listeners, event)

    def _each_guard(self, action: str, waiter: Waiter) -> None:
        guard = self.guard
        while guard is not None:
            getattr(guard, action)(waiter)
            guard = guard.outer

    def __repr__(self) -> str:
        return f"<Call {self.request.method} {self.key} attempts={len(self.trail.attempts)}>"
