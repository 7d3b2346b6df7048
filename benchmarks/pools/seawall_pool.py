"""Seawall's pool alone, one permit one connection, under a plain httpx client and without policies."""

import httpx

import seawall.httpx
from benchmarks.pools import KEEPALIVE, TIMEOUT


def client(connections: int) -> httpx.AsyncClient:
    pool = seawall.httpx.AsyncPool(max_connections=connections, max_keepalive=KEEPALIVE)
    return httpx.AsyncClient(transport=pool, timeout=httpx.Timeout(TIMEOUT), trust_env=False)
