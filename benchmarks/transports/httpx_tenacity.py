"""httpx-tenacity: retry alone, on tenacity's engine."""

import httpx
from httpx_tenacity.async_tenacious_transport import AsyncTenaciousTransport
from httpx_tenacity.tenacious_transport import TenaciousTransport


def async_client(inner: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AsyncTenaciousTransport.create(max_attempts=4, transport=inner))


def sync_client(inner: httpx.BaseTransport) -> httpx.Client:
    return httpx.Client(transport=TenaciousTransport.create(max_attempts=4, transport=inner))
