"""Seawall's pool alone, one permit one connection, under a plain httpx client and without policies."""

import httpx

import seawall.httpx
from benchmarks.pools import CONNECTIONS, KEEPALIVE, TIMEOUT


def client() -> httpx.AsyncClient:
    pool = seawall.httpx.AsyncPool(max_connections=CONNECTIONS, max_keepalive=KEEPALIVE)
    return httpx.AsyncClient(transport=pool, timeout=httpx.Timeout(TIMEOUT), trust_env=False)
