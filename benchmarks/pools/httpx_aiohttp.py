"""httpx-aiohttp: httpx's interface over aiohttp's connections and its parser, which is written in C."""

import httpx
from httpx_aiohttp import HttpxAiohttpClient

from benchmarks.pools import KEEPALIVE, TIMEOUT


def client(connections: int) -> httpx.AsyncClient:
    return HttpxAiohttpClient(
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=KEEPALIVE),
        timeout=httpx.Timeout(TIMEOUT),
        trust_env=False,
    )
