"""Clients and transports, written once for every HTTP library.

A family module (`seawall.httpx`) joins each of these with the base class of its library:

    class AsyncTransport(_clients.AsyncTransport, httpx.AsyncBaseTransport):
        family = FAMILY
        pool_type = AsyncPool
"""

import functools
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from . import _check
from ._call import INF, begin, end
from ._endpoints import Endpoints
from ._family import Member
from ._listeners import Listener
from ._pools import Connections
from ._proxies import environment_proxies
from ._stack import Stack
from ._state import State
from ._transport import Core, Policies, current
from .runtime.threads import THREADS

if TYPE_CHECKING:
    from .runtime._turns import Burst

CROWD = 2
"""As many requests per connection may be under way before a burst slows down."""


class Protected(Member):
    """What sync and async transports share."""

    pool_type: type[Connections]
    core: Core
    inner: Any

    def __init__(
        self,
        policies: Policies = None,
        *,
        transport: Any = None,
        state: State | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        handler = "handle_request" if self.driver == "sync" else "handle_async_request"
        if transport is not None and (isinstance(transport, type) or not hasattr(transport, handler)):
            article = "a" if self.driver == "sync" else "an"
            raise TypeError(
                f"{type(self).__name__}: transport must be {article} {self.driver} transport of {self.family.name} "
                f"(something with {handler}), not {transport!r}"
            )
        self.inner = self.pool_type() if transport is None else transport
        pooled = isinstance(self.inner, Connections)
        self.core = Core(
            policies,
            family=self.family,
            body=self.family.sync_body if self.driver == "sync" else self.family.async_body,
            transport=self.inner,
            shards=self.inner.shards if pooled else None,
            state=state,
            listeners=listeners,
            driver=self.driver,
        )

    @property
    def state(self) -> State:
        """What the policies remember: circuits, limits, throttles, budgets."""
        return self.core.state

    def __repr__(self) -> str:
        return f"<{type(self).__name__} around {self.inner!r}>"


class AsyncTransport(Protected):
    """Policies around an async httpx transport.

        httpx.AsyncClient(transport=AsyncTransport(Stack(Retry()), transport=MyTransport()))

    - `policies`: a `Stack`, `Endpoints`, or None for `seawall.standard()`.
    - `transport`: what sends; None for an `AsyncPool()` of httpx's own defaults.
    - `state`: a `State` to share with other clients; None for one of its own (`transport.state`).
    - `listeners`: functions told of events.
    """

    driver = "async"

    def handle_async_request(self, request: Any) -> Any:
        return self.core.handle_async(request)

    async def aclose(self) -> None:
        """Close the inner transport."""
        self.core.close(current())
        await self.inner.aclose()

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.core.close(current())
        await self.inner.__aexit__(exc_type, exc_value, traceback)


class Transport(Protected):
    """Policies around a sync httpx transport; see `AsyncTransport`. Shared freely by threads."""

    driver = "sync"

    def handle_request(self, request: Any) -> Any:
        return self.core.handle_sync(request)

    def close(self) -> None:
        """Close the inner transport."""
        self.core.close(THREADS)
        self.inner.close()

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.core.close(THREADS)
        self.inner.__exit__(exc_type, exc_value, traceback)


class FrontDoor(Member):
    """What sync and async clients share: the library's own options, turned into protected transports."""

    transport_type: type[Protected]

    def __init__(
        self,
        policies: Policies = None,
        *,
        state: State | None = None,
        listeners: Iterable[Listener] = (),
        verify: Any = True,
        cert: Any = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        proxy: Any = None,
        mounts: Mapping[str, Any] | None = None,
        limits: Any = None,
        transport: Any = None,
        **options: Any,
    ) -> None:
        if not isinstance(policies, Stack | Endpoints | None):
            raise TypeError(f"{type(self).__name__}: policies must be a Stack, Endpoints or None, not {policies!r}")
        library = self.family.library
        if limits is None:
            limits = library.Limits(max_connections=100, max_keepalive_connections=20)
        elif not isinstance(limits, library.Limits):
            raise TypeError(f"{type(self).__name__}: limits must be {library.__name__}.Limits, not {limits!r}")
        if mounts is not None and not isinstance(mounts, Mapping):
            raise TypeError(f"{type(self).__name__}: mounts must map patterns to transports, not {mounts!r}")
        self._shared_state = State() if state is None else state
        self._crowd = CROWD * (INF if limits.max_connections is None else limits.max_connections)
        listeners = _check.callables(type(self).__name__, "listeners", listeners)
        context: Any = None

        def pool(proxy: Any = None) -> Connections:
            nonlocal context
            if context is None:
                context = library.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)
            return self.transport_type.pool_type(
                limits.max_connections,
                max_keepalive=limits.max_keepalive_connections,
                keepalive_expiry=limits.keepalive_expiry,
                http1=http1,
                http2=http2,
                verify=context,
                trust_env=trust_env,
                proxy=proxy,
            )

        def protected(inner: Any) -> Protected:
            wrapped = self.transport_type(policies, transport=inner, state=self._shared_state, listeners=listeners)
            wrapped.core.owned = True
            return wrapped

        routes: dict[str, Any] = {}
        if proxy is not None:
            routes["all://"] = pool(proxy)
        elif trust_env and transport is None:
            routes = {pattern: url and pool(url) for pattern, url in environment_proxies(library).items()}
        routes.update(mounts or {})
        super().__init__(
            transport=protected(pool() if transport is None else transport),
            mounts={pattern: None if inner is None else protected(inner) for pattern, inner in routes.items()},
            http1=http1,
            http2=http2,
            trust_env=trust_env,
            **options,
        )  # type: ignore[call-arg]  # the library's client comes next in the order of bases
        self._own_cookies = self.family.cookies(super().cookies.jar)  # type: ignore[misc]

    @property
    def state(self) -> State:
        """What the policies remember: circuits, limits, throttles, budgets."""
        return self._shared_state

    if not TYPE_CHECKING:  # type checkers see the library's own

        @property
        def cookies(self) -> Any:
            """As the library's own, but not looked for in responses that set none."""
            return self._own_cookies

        @cookies.setter
        def cookies(self, cookies: Any) -> None:
            self._own_cookies = self.family.cookies(cookies)


class AsyncClient(FrontDoor):
    """An `httpx.AsyncClient` that survives the network.

        async with AsyncClient() as client:
            response = await client.get("https://api.example.com/items")

    - `policies`: a `Stack`, `Endpoints`, or None for `seawall.standard()`.
    - `state`: a `State` to share with other clients; None for one of its own (`client.state`).
    - `listeners`: functions told of events.

    Every option of `httpx.AsyncClient` keeps its meaning, environment proxies and `mounts` included: each of its
    transports is protected. `limits.max_connections` is the size of the pool.
    """

    driver = "async"

    @functools.cached_property
    def _burst(self) -> "Burst":
        from .runtime._turns import Burst  # with asyncio, which takes 15 ms to import

        return Burst(self._crowd)

    if not TYPE_CHECKING:  # type checkers see the library's own signatures

        async def request(self, method: str, url: Any, **options: Any) -> Any:
            """As the library's own. Of a burst only some start in one turn of the loop, so that answers get through."""
            turns = self._burst.turns
            turn = turns.enter()
            if turn is not None:
                await turn
                turn = None  # or it would be kept, and walked through by every collection, until the answer is here
            turns.under_way += 1
            try:
                return await super().request(method, url, **options)
            finally:
                turns.under_way -= 1

        async def send(self, request: Any, **options: Any) -> Any:
            """As the library's own. A request that is sent again is a new call, with a deadline of its own."""
            begun = begin(request)
            try:
                return await super().send(request, **options)
            finally:
                end(begun)


class Client(FrontDoor):
    """An `httpx.Client` that survives the network; see `AsyncClient`. Shared freely by threads."""

    driver = "sync"

    if not TYPE_CHECKING:

        def send(self, request: Any, **options: Any) -> Any:
            """As the library's own. A request that is sent again is a new call, with a deadline of its own."""
            begun = begin(request)
            try:
                return super().send(request, **options)
            finally:
                end(begun)
