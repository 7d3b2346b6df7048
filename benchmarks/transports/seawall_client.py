"""Seawall by its front door, a client of its own, with the same stack.

It would mount the environment's proxies, as httpx does, around the transport that answers: `trust_env=False`.
"""

import httpx

import seawall.httpx
from benchmarks.transports.seawall import STACK


def async_client(inner: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return seawall.httpx.AsyncClient(STACK, transport=inner, trust_env=False)


def sync_client(inner: httpx.BaseTransport) -> httpx.Client:
    return seawall.httpx.Client(STACK, transport=inner, trust_env=False)
