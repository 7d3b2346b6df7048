"""httpx2, the maintained successor of httpx, with the same limits."""

import httpx2

from benchmarks.pools import KEEPALIVE, TIMEOUT


def client(connections: int) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=KEEPALIVE),
        timeout=httpx2.Timeout(TIMEOUT),
        trust_env=False,
    )
