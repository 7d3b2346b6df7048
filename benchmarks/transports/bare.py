"""httpx alone: the cost that everything else is added to."""

import httpx


def async_client(inner: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=inner)


def sync_client(inner: httpx.BaseTransport) -> httpx.Client:
    return httpx.Client(transport=inner)
