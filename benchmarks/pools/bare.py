"""httpx alone: its own pool queues what its connections cannot carry yet."""

import httpx

from benchmarks.pools import KEEPALIVE, TIMEOUT


def client(connections: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=KEEPALIVE),
        timeout=httpx.Timeout(TIMEOUT),
        trust_env=False,
    )
