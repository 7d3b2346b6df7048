"""httpx alone: its own pool queues what its connections cannot carry yet."""

import httpx

from benchmarks.pools import CONNECTIONS, KEEPALIVE, TIMEOUT


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=KEEPALIVE),
        timeout=httpx.Timeout(TIMEOUT),
        trust_env=False,
    )
