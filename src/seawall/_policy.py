"""The central abstraction: a policy is one coroutine, and a chain is policies around a leaf.

    Next = Callable[[Call], Awaitable[Response]]

Settings, state and I/O stay apart: a policy's fields are frozen and comparable, its state is what
`new_state` returns (one per key), and `handle` does the work, reaching clocks and waiting only through
`call.runtime`. A chain is bound once per endpoint and key and cached in the `State`.
"""

from collections.abc import Awaitable, Callable, Container, Hashable, Sequence
from collections.abc import Set as AbstractSet
from types import CoroutineType
from typing import Any, Generic, Literal, TypeVar

from ._attempts import together
from ._body import Hold
from ._call import INF, Call

S = TypeVar("S")
P = TypeVar("P")
Next = Callable[[Call], Awaitable[Any]]
"""The rest of the chain, as a policy's `handle` gets it: awaits to a response."""
Step = Callable[[Call], Any]
"""A part of a chain: returns a response if it is there at once, or else a coroutine to await for it."""
Key = Literal["origin", "endpoint", "client"] | Callable[[Any], Hashable]
Methods = AbstractSet[str] | list[str] | tuple[str, ...]
Part = Literal["circuit", "limit", "rate"]
Layers = tuple[tuple[P, Any], ...]
"""Policies of a kind, the first outermost, each with its state."""


class Policy(Generic[S]):
    """One capability, for every runtime at once. Subclass it as a frozen dataclass:

        @dataclass(frozen=True, kw_only=True, slots=True)
        class Log(seawall.Policy[None]):
            async def handle(self, call, state, next):
                print("sending", call.request.url.host)
                response = await next(call)
                print("got", response.status_code)
                return response

    `key` and `name` may be fields or class attributes. `key` says how state is partitioned: by "origin"
    (scheme, host, port; the default), by "endpoint" (the pattern), by "client" (one for all), or by what a
    function of the request returns. Keys are shown in reports, events and logs: return a digest of what is secret.
    Policies of one `name` share state across patterns.
    """

    __slots__ = ()
    key: Any = "origin"  # a `Key`; but a subclass may allow fewer, which type checkers refuse for what can be assigned
    name: str | None = None
    not_repeated: str | None = None
    """Why it must stand outside `Retry`; None, the default, if it need not."""

    def new_state(self) -> S:
        """A fresh state for one key. None by default."""
        return None  # type: ignore[return-value]

    async def handle(self, call: Call, state: S, next: Next) -> Any:
        """Do the policy's work around `await next(call)`, and return a response or raise."""
        raise NotImplementedError(f"{type(self).__name__} must define: async def handle(self, call, state, next)")

    def unsupported(self, driver: str) -> str | None:
        """Why this policy cannot run under a driver ("sync", "async"), or None if it can."""
        return None


class Gate(Policy[S]):
    """A policy that decides when an attempt may go and hears how it went, but passes on what it is given.

    Neighbouring gates are run by one coroutine (see `bind`), since a coroutine for each costs more than all that
    they do.
    """

    __slots__ = ()

    def enter(self, call: Call, state: S) -> Awaitable[None] | None:
        """Let the call in, or return what it must wait for. Raise to refuse it, having taken nothing."""
        raise NotImplementedError

    def failed(self, call: Call, state: S, error: BaseException) -> None:
        """No response came, be it for a failure, a rejection further in, or a cancellation."""

    def passed(self, call: Call, state: S, response: Any) -> Hold | None:
        """The response headers are here. Returns what this call must keep until the body ends."""
        return None

    def keeps(self, state: S) -> Hold | None:
        """What every call that passed must keep until its body ends, in the place of what `passed` would return.

        Asked once per endpoint and key.
        """
        return None

    def part(self, state: S) -> Part | None:
        """What it is to a calm call (see `_calm`); None, the default, if it must be asked each time."""
        return None

    @property
    def notable(self) -> AbstractSet[int]:
        """The statuses that it has something to say about. Only asked of one that has a part."""
        return frozenset()

    async def handle(self, call: Call, state: S, next: Next) -> Any:
        return await _awaited(together(((self, state),), next))(call)


class Repeater(Policy[S]):
    """A policy that may have all that is inside of it done again.

    The gates next to it are run by the same coroutine, which asks it only for what may not be the end. Its states have
    a `full`: whether they need not hear of one more success.
    """

    __slots__ = ()

    @property
    def doubtful(self) -> Container[int]:
        """The statuses that it wants to be asked about."""
        raise NotImplementedError

    def remember(self, call: Call) -> Any:
        """What must be known of a body that is no plain bytes before the first attempt, to be able to make another."""
        raise NotImplementedError

    def succeeded(self, state: S, tries: Any) -> None:
        """An attempt was not in doubt. `tries` is what it remembers of the earlier ones."""
        raise NotImplementedError

    def cancelled(self, state: S, tries: Any) -> None:
        """An attempt was cut short by the caller."""
        raise NotImplementedError

    async def again(self, call: Call, state: S, tries: Any, response: Any, error: Exception | None) -> Any:
        """What to remember for another attempt, which is due now; None to end with this outcome; or raise."""
        raise NotImplementedError

    async def handle(self, call: Call, state: S, next: Next) -> Any:
        return await _awaited(together((), next, (self, state)))(call)


def bind(layers: Sequence[tuple[Policy[Any], Any]], leaf: Step) -> Step:
    """Policies around a leaf, each with its state, the first outermost. Done once per endpoint and key."""
    chain, awaited = leaf, False
    gates: Layers[Gate[Any]] = ()
    for policy, state in reversed(layers):
        handle = type(policy).handle
        if handle is Gate.handle and isinstance(policy, Gate):
            gates = (policy, state), *gates
        elif handle is Repeater.handle and isinstance(policy, Repeater):
            chain, gates, awaited = together(gates, chain, (policy, state)), (), False
        else:
            if gates:
                chain, gates, awaited = together(gates, chain), (), False
            chain, awaited = _around(policy, state, chain if awaited else _awaited(chain)), True
    return together(gates, chain) if gates else chain


def _awaited(step: Step) -> Next:
    async def awaited(call: Call) -> Any:
        response = step(call)
        return await response if type(response) is CoroutineType else response

    return awaited


def _around(policy: Policy[S], state: S, next: Next) -> Next:
    handle = policy.handle

    def bound(call: Call) -> Awaitable[Any]:
        steps: Any = handle(call, state, next)
        return steps if type(steps) is CoroutineType else _steps(steps)

    return bound


async def _steps(awaitable: Awaitable[Any]) -> Any:
    """As a coroutine, which is told from a response, what a `handle` that is no coroutine function gives."""
    return await awaitable


class Chain:
    """The policies of one endpoint and key, bound and ready."""

    __slots__ = (
        "attempt_timeout", "body", "bytes_stream", "cells", "endpoint", "enter", "family", "label",
        "listeners", "origin", "seen", "shards", "timeout", "timeout_covers_body", "transport", "used",
    )  # fmt: skip

    def __init__(
        self,
        *,
        enter: Step,
        endpoint: str,
        origin: Hashable,
        family: Any,
        body: Any,
        transport: Any,
        shards: Any = None,
        listeners: tuple[Any, ...] = (),
        timeout: float = INF,
        timeout_covers_body: bool = True,
        attempt_timeout: float = INF,
        cells: tuple[Any, ...] = (),
    ) -> None:
        self.enter = enter
        self.endpoint = endpoint
        self.origin = origin
        self.label = label(origin)
        self.family = family
        self.bytes_stream = None if family is None else family.bytes_stream
        self.body = body
        self.transport = transport
        self.shards = shards
        self.listeners = listeners
        self.timeout = timeout
        self.timeout_covers_body = timeout_covers_body
        self.attempt_timeout = attempt_timeout
        self.cells = cells
        self.used = 0.0
        self.seen = 0.0

    def __repr__(self) -> str:
        return f"<Chain {self.endpoint!r} for {self.label}>"


def label(key: Hashable) -> Hashable:
    """An origin as people write it; any other key as it is."""
    if isinstance(key, tuple) and len(key) == 3 and isinstance(key[0], str) and isinstance(key[1], str):
        scheme, host, port = key
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}"
    return key
