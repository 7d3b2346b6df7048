"""Seawall's transport under a plain httpx client."""

import httpx

import seawall
import seawall.httpx

STACK = seawall.Stack(
    seawall.Timeout(30),
    seawall.Retry(),
    seawall.CircuitBreaker(window=20),  # what it would widen itself to, with a warning, for attempts of 10 s
    seawall.ConcurrencyLimit(100),
    seawall.Throttle(1_000_000),
    seawall.Timeout(10),
)


def async_client(inner: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=seawall.httpx.AsyncTransport(STACK, transport=inner))


def sync_client(inner: httpx.BaseTransport) -> httpx.Client:
    return httpx.Client(transport=seawall.httpx.Transport(STACK, transport=inner))
