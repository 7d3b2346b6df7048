"""What every transport of Seawall does for a request: find its chain, make a call, run it, keep the trail."""

import functools
import sys
from collections.abc import Hashable, Iterable
from types import CoroutineType
from typing import Any

from . import _check, _leaf
from ._call import INF, MARK, SENDING, Call, Trail
from ._endpoints import Endpoint, Endpoints
from ._errors import StackError
from ._listeners import Listener
from ._options import CONTEXT, DEFAULTS, effective
from ._policy import Chain, bind
from ._pool import Shards
from ._stack import Stack, standard
from ._state import State
from .runtime import Runtime
from .runtime.threads import THREADS, run

Policies = Stack | Endpoints | None

TRIO = "trio.lowlevel"
virtual: list[Runtime] = []
"""The virtual runtime that runs in this process now, if any: last is innermost."""


class Core:
    """The part of a transport that is the same for every HTTP library and driver."""

    def __init__(
        self,
        policies: Policies,
        *,
        family: Any,
        body: type,
        transport: Any,
        shards: Shards | None,
        state: State | None,
        listeners: Iterable[Listener],
        driver: str,
        traced: bool = True,
    ) -> None:
        if state is not None and not isinstance(state, State):
            raise TypeError(f"state must be a seawall.State or None, not {state!r}")
        self.listeners = _check.callables("a client or transport", "listeners", listeners)
        self.endpoints = _endpoints(policies)
        self.state = State() if state is None else state
        for endpoint in self.endpoints:
            for policy in endpoint.stack:
                if reason := policy.unsupported(driver):
                    raise StackError(f"{type(policy).__name__}: {reason}")
            self.state.adopt(endpoint.stack)
        self.state.listeners += self.listeners
        self.family = family
        self._origin = family.origin
        self._body = body
        self._transport = transport
        self._shards = shards
        self._traced = traced
        self.owned = False
        """Whether a client of ours sends the requests, and so ends the trail of one that is sent again."""
        # A request is routed by its origin alone if no pattern looks at methods and paths and no key at requests.
        self._by_origin = all(e.whole_host and not _keyed_by_request(e.stack) for e in self.endpoints)

    def call(self, request: Any, runtime: Runtime) -> Call:
        """A request on its way, its chain found and its options read."""
        call = Call()
        call.request = request
        call.runtime = runtime
        call.guard = None
        call.waited = 0.0
        extensions = request.extensions
        now = runtime.now()
        given = extensions.get("seawall")
        options = call.options = CONTEXT.get() if given is None else effective(given)
        plain = options is DEFAULTS
        if self._by_origin and (plain or not options.skip):
            key = self, self._origin(request.url)
            chain = self.state.chains.get(key)
            if chain is None:
                chain = self._new_chain(key, request, options.skip, now)
        else:
            chain = self._route(request, options.skip, now)
        chain.used = now
        call.chain = chain
        if MARK in extensions or not self._traced or (self.owned and SENDING.get() is not extensions):
            trail = self._trail(request, now)
            deadline = trail.deadline
        else:
            trail = extensions[MARK] = Trail()
            trail.started = now
            trail.request_id = id(request)
            trail.attempts = []
            deadline = INF
        trail.chain = chain
        call.trail = trail
        if deadline == INF:  # the first hop: later ones keep to it
            deadline = trail.deadline = now + (chain.timeout if plain else options.timeout or chain.timeout)
        if not plain and options.deadline is not None and options.deadline < deadline:
            deadline = options.deadline
        call.deadline = deadline
        return call

    def _trail(self, request: Any, now: float) -> Trail:
        """Where a request may be a hop of a call that began before."""
        extensions = request.extensions
        trail: Trail | None = extensions.get(MARK) if self._traced else None
        if trail is not None and (self.owned or trail.request_id != id(request)):
            return trail
        first = SENDING.get() if self.owned else None
        call: Trail | None = None if first is None else first.get(MARK)
        if call is None:
            trail = Trail()
            trail.started, trail.request_id, trail.attempts = now, id(request), []
        else:
            trail = call.hop(id(request))
        if self._traced:
            extensions[MARK] = trail
        return trail

    def answered(self, call: Call, response: Any) -> None:
        """The call has a response."""
        trail, chain = call.trail, call.chain
        trail.ended = call.runtime.now()
        if self._traced:
            response.extensions[MARK] = trail
            if chain.timeout_covers_body:
                body, deadline = response.stream, call.deadline
                if type(body) is not chain.body:
                    call.bound(response, deadline)
                elif deadline < body.deadline:
                    body.deadline = deadline
            if chain.listeners:
                self._tell(call, response.status_code, None)

    def failed(self, call: Call, error: Exception) -> None:
        """The call has none."""
        call.trail.ended = call.runtime.now()
        if self._traced:
            if isinstance(error, self.family.transport_error):
                self.family.set_request(error, call.request)
            if call.chain.listeners:
                self._tell(call, None, type(error).__name__)

    def _tell(self, call: Call, status: int | None, error: str | None) -> None:
        from ._events import CallEnded

        report = call.trail.report()
        call.emit(CallEnded(endpoint=call.endpoint, key=call.key, report=report, status=status, error=error))

    async def handle_async(self, request: Any) -> Any:
        """One request through an async transport."""
        call = self.call(request, current() if virtual or TRIO in sys.modules else _asyncio())
        try:
            response = call.chain.enter(call)
            if type(response) is CoroutineType:  # what is answered at once is not awaited
                response = await response
        except Exception as error:
            self.failed(call, error)
            raise
        self.answered(call, response)
        return response

    def handle_sync(self, request: Any) -> Any:
        """One request through a sync transport: the same chain, driven by this thread."""
        call = self.call(request, THREADS)
        try:
            response = run(call.chain.enter, call)
        except Exception as error:
            self.failed(call, error)
            raise
        self.answered(call, response)
        return response

    def close(self, runtime: Runtime) -> None:
        """Forget this transport's chains and listeners."""
        self.state.forget(self, runtime.now())
        for listener in self.listeners:
            if listener in self.state.listeners:
                self.state.listeners.remove(listener)

    def _route(self, request: Any, skip: frozenset[str], now: float) -> Chain:
        """The chain of a request whose path, method, options or content have a say."""
        url = request.url
        candidates = self.endpoints.candidates(url.scheme, url.host, url.port)
        endpoint = next(e for e in candidates if e.takes(request.method, url.path))
        keys = tuple(_key(policy, request) if callable(policy.key) else None for policy in endpoint.stack)
        key = (self, url.scheme, url.host, url.port, endpoint.pattern, skip, keys)
        chain = self.state.chains.get(key)
        if chain is None:
            return self._new_chain(key, request, skip, now, endpoint, keys)
        chain.used = now
        return chain

    def _new_chain(
        self,
        key: Hashable,
        request: Any,
        skip: frozenset[str],
        now: float,
        endpoint: Endpoint | None = None,
        keys: tuple[Hashable, ...] = (),
    ) -> Chain:
        url = request.url
        origin = (url.scheme, url.host, url.port)
        if endpoint is None:
            endpoint = next(e for e in self.endpoints.candidates(*origin) if e.takes(request.method, url.path))
        found = endpoint
        return self.state.add_chain(key, now, lambda: self._bind(found, origin, skip, keys))

    def _bind(self, endpoint: Endpoint, origin: Any, skip: frozenset[str], keys: tuple[Hashable, ...]) -> Chain:
        """The policies of an endpoint around the leaf, each with its state. The state's lock is held.

        `keys`: what key functions gave, at the place of each policy that has one.
        """
        names = {"origin": origin, "endpoint": endpoint.pattern, "client": "client"}
        plan = endpoint.stack.plan(skip)
        cells = []
        for place, policy in plan.layers:
            slot = (type(policy), policy.name) if policy.name else (endpoint.pattern, place, policy)
            key = keys[place] if callable(policy.key) else names[policy.key]
            cells.append(self.state.cell(policy, slot, key))
        return Chain(
            enter=bind(
                [(policy, cell.state) for (_, policy), cell in zip(plan.layers, cells, strict=True)],
                _leaf.send if self._shards is None else self._shards.leaf,
            ),
            endpoint=endpoint.pattern,
            origin=origin,
            family=self.family,
            body=self._body,
            transport=self._transport,
            shards=self._shards,
            listeners=self.listeners,
            timeout=plan.timeout,
            timeout_covers_body=plan.timeout_covers_body,
            attempt_timeout=plan.attempt_timeout,
            cells=tuple(cells),
        )


def current() -> Runtime:
    """The runtime of the async code that runs now.

    asyncio, unless a virtual one runs or this is a task of trio's, which somebody else must have imported. Whether a
    loop of asyncio really is running shows where one is needed: to ask costs a system call for each request, since
    asyncio looks for a fork.
    """
    if virtual:
        return virtual[-1]
    trio = sys.modules.get(TRIO)
    return _asyncio() if trio is None or not trio.in_trio_task() else _trio()


@functools.cache  # imported by who runs under it: to import asyncio takes 15 ms, which sync programs need not spend
def _asyncio() -> Runtime:
    from .runtime.asyncio import ASYNCIO

    return ASYNCIO


@functools.cache
def _trio() -> Runtime:
    from .runtime.trio import TrioRuntime

    return TrioRuntime()


def _endpoints(policies: Policies) -> Endpoints:
    if policies is None:
        return Endpoints({}, default=standard())
    if isinstance(policies, Stack):
        return Endpoints({}, default=policies)
    if isinstance(policies, Endpoints):
        return policies
    raise StackError(f"policies must be a Stack, Endpoints or None, not {policies!r}")


def _keyed_by_request(stack: Stack) -> bool:
    return any(callable(policy.key) for policy in stack)


def _key(policy: Any, request: Any) -> Hashable:
    """What a policy's key function gives for a request."""
    given: Hashable = policy.key(request)
    try:
        hash(given)
    except TypeError:
        raise TypeError(f"{type(policy).__name__}: key must return something hashable, not {given!r}") from None
    return given
