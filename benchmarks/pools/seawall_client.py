"""Seawall by its front door, with the standard stack, whose total timeout is made as generous as the rest."""

import httpx

import seawall
import seawall.httpx
from benchmarks.pools import KEEPALIVE, TIMEOUT

STACK = seawall.standard().replace(seawall.Timeout(TIMEOUT, body=False))


def client(connections: int) -> httpx.AsyncClient:
    return seawall.httpx.AsyncClient(
        STACK,
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=KEEPALIVE),
        timeout=httpx.Timeout(TIMEOUT),
        trust_env=False,
    )
