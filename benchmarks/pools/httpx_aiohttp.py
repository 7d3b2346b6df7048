"""httpx-aiohttp: httpx's interface over aiohttp's connections and its parser, which is written in C."""

import httpx
from httpx_aiohttp import HttpxAiohttpClient

from benchmarks.pools import CONNECTIONS, KEEPALIVE, TIMEOUT


def client() -> httpx.AsyncClient:
    return HttpxAiohttpClient(
        limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=KEEPALIVE),
        timeout=httpx.Timeout(TIMEOUT),
        trust_env=False,
    )
