"""Pools as transports: options of the HTTP library, turned into shards of a single connection each."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

from . import _check
from ._body import close_all
from ._call import INF
from ._family import Member
from ._pool import Shards
from ._single import single
from ._stack import EMPTY
from ._transport import Core, current
from .runtime.threads import THREADS


class Connections(Member):
    """What sync and async pools share."""

    def __init__(
        self,
        max_connections: int | None = 100,
        *,
        max_keepalive: int | None = 20,
        keepalive_expiry: float | None = 5.0,
        http1: bool = True,
        http2: bool = False,
        verify: Any = True,
        cert: Any = None,
        trust_env: bool = True,
        proxy: Any = None,
        uds: str | None = None,
        local_address: str | None = None,
        retries: int = 0,
        socket_options: Iterable[Any] | None = None,
    ) -> None:
        owner, library = type(self).__name__, self.family.library
        _check.integer(owner, "max_connections", max_connections, least=1, optional=True)
        _check.integer(owner, "max_keepalive", max_keepalive, least=0, optional=True)
        _check.number(owner, "keepalive_expiry", keepalive_expiry, least=0, optional=True)
        _check.integer(owner, "retries", retries, least=0)
        for name, value in (("http1", http1), ("http2", http2), ("trust_env", trust_env)):
            _check.flag(owner, name, value)
        if isinstance(proxy, str | library.URL):
            proxy = library.Proxy(proxy)
        elif proxy is not None and not isinstance(proxy, library.Proxy):
            raise TypeError(f"{owner}: proxy must be a URL, a {library.__name__}.Proxy or None, not {proxy!r}")
        if socket_options is not None:
            socket_options = _check.collection(owner, "socket_options", socket_options, "socket options")
        options = {
            # one context for all: it takes 20 ms and most of a megabyte to make
            "verify": library.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env),
            "trust_env": trust_env,
            "http1": http1,
            "http2": http2,
            "limits": library.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=keepalive_expiry),
            "proxy": proxy,
            "uds": uds,
            "local_address": local_address,
            "retries": retries,
            "socket_options": socket_options,
        }
        transport = library.HTTPTransport if self.driver == "sync" else library.AsyncHTTPTransport
        build: Callable[[], Any] = functools.partial(transport, **options)
        build()  # what it refuses is refused now, not at the first request
        if not http2:  # over HTTP/2 a connection can be used up, and httpcore's pool knows what to do then
            build = functools.partial(single, build, self.driver)
        kind = Shards
        if http2 and self.driver == "async":  # sync requests do not share connections: a deadline there cuts one
            from ._streams import Streams

            kind = Streams
        self.shards = kind(
            build,
            INF if max_connections is None else max_connections,
            INF if max_keepalive is None else max_keepalive,
            INF if keepalive_expiry is None else keepalive_expiry,
            wired=self.driver == "sync",
        )
        self.core = Core(
            EMPTY,
            family=self.family,
            body=self.family.sync_body if self.driver == "sync" else self.family.async_body,
            transport=None,
            shards=self.shards,
            state=None,
            listeners=(),
            driver=self.driver,
            traced=False,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shards!r}>"


class AsyncPool(Connections):
    """An async httpx transport in which one permit is one connection.

        httpx.AsyncClient(transport=AsyncPool(max_connections=50))

    - `max_connections` (default 100, at least 1, None for no bound): also the number of requests in flight.
    - `max_keepalive` (default 20, at least 0, None for no bound): idle connections kept.
    - `keepalive_expiry` (default 5 s, at least 0, None for never): how long an idle one is kept.
    - `http1`, `http2`, `verify`, `cert`, `trust_env`, `proxy`, `uds`, `local_address`, `retries`,
      `socket_options`: as in `httpx.AsyncHTTPTransport`. With `http2=True` a connection carries as many requests as its
      server allows, in an async pool, and a permit is one that is in use.

    A call that waits longer than httpx's `pool` timeout for a connection gets `WaitTooLong`, a `httpx.PoolTimeout`.
    Waiting calls are served first come, first served within a priority, origins taking turns.
    """

    driver = "async"

    def handle_async_request(self, request: Any) -> Any:
        return self.core.handle_async(request)

    async def aclose(self) -> None:
        """Close every connection that lives in the running loop."""
        runtime = current()
        await close_all(self.shards.close(runtime.home()), runtime)


class Pool(Connections):
    """A sync httpx transport in which one permit is one connection; see `AsyncPool`. Shared freely by threads."""

    driver = "sync"

    def handle_request(self, request: Any) -> Any:
        return self.core.handle_sync(request)

    def close(self) -> None:
        """Close every connection."""
        for transport in self.shards.close(THREADS.home()):
            transport.close()
