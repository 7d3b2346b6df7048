"""Seawall for httpx: clients, transports and pools.

from seawall.httpx import AsyncClient

async with AsyncClient() as client:
    response = await client.get("https://api.example.com/items")
"""

import httpx

from . import _clients, _errors
from ._family import Family

__all__ = ["AsyncClient", "AsyncPool", "AsyncTransport", "Client", "Pool", "Transport"]

FAMILY = Family(httpx, __name__)

CircuitOpen = FAMILY.errors[_errors.CircuitOpen]
QueueFull = FAMILY.errors[_errors.QueueFull]
WaitTooLong = FAMILY.errors[_errors.WaitTooLong]
TimedOut = FAMILY.errors[_errors.TimedOut]


class AsyncPool(_clients.AsyncPool, httpx.AsyncBaseTransport):
    """An async httpx transport in which one permit is one connection.

        httpx.AsyncClient(transport=AsyncPool(max_connections=50))

    - `max_connections` (default 100, at least 1, None for no bound): also the number of requests in flight.
    - `max_keepalive` (default 20, at least 0, None for no bound): idle connections kept.
    - `keepalive_expiry` (default 5 s, at least 0, None for never): how long an idle one is kept.
    - `http1`, `http2`, `verify`, `cert`, `trust_env`, `proxy`, `uds`, `local_address`, `retries`,
      `socket_options`: as in `httpx.AsyncHTTPTransport`. With `http2=True` a connection carries one request at a time.

    A call that waits longer than httpx's `pool` timeout for a connection gets `WaitTooLong`, a `httpx.PoolTimeout`.
    Waiting calls are served first come, first served within a priority, origins taking turns.
    """

    family = FAMILY
    library = httpx


class Pool(_clients.Pool, httpx.BaseTransport):
    """A sync httpx transport in which one permit is one connection; see `AsyncPool`. Shared freely by threads."""

    family = FAMILY
    library = httpx


class AsyncTransport(_clients.AsyncTransport, httpx.AsyncBaseTransport):
    """Policies around an async httpx transport.

        httpx.AsyncClient(transport=AsyncTransport(Stack(Retry()), transport=MyTransport()))

    - `policies`: a `Stack`, `Endpoints`, or None for `seawall.standard()`.
    - `transport`: what sends; None for an `AsyncPool()` of httpx's own defaults.
    - `state`: a `State` to share with other clients; None for one of its own (`transport.state`).
    - `listeners`: functions told of events.
    """

    family = FAMILY

    def new_pool(self) -> AsyncPool:
        return AsyncPool()


class Transport(_clients.Transport, httpx.BaseTransport):
    """Policies around a sync httpx transport; see `AsyncTransport`. Shared freely by threads."""

    family = FAMILY

    def new_pool(self) -> Pool:
        return Pool()


class AsyncClient(_clients.AsyncClient, httpx.AsyncClient):
    """An `httpx.AsyncClient` that survives the network.

        async with AsyncClient() as client:
            response = await client.get("https://api.example.com/items")

    - `policies`: a `Stack`, `Endpoints`, or None for `seawall.standard()`.
    - `state`: a `State` to share with other clients; None for one of its own (`client.state`).
    - `listeners`: functions told of events.

    Every option of `httpx.AsyncClient` keeps its meaning, environment proxies and `mounts` included: each of its
    transports is protected. `limits.max_connections` is the size of the pool.
    """

    library = httpx
    transport_type = AsyncTransport
    pool_type = AsyncPool


class Client(_clients.Client, httpx.Client):
    """An `httpx.Client` that survives the network; see `AsyncClient`. Shared freely by threads."""

    library = httpx
    transport_type = Transport
    pool_type = Pool
