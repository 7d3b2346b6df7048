"""httpx with nothing of Seawall's but the cookies of its clients: what these take back by themselves."""

from typing import TypeVar

import httpx

from seawall.httpx import FAMILY

C = TypeVar("C", httpx.AsyncClient, httpx.Client)


def _sparing(client: C) -> C:
    client._cookies = FAMILY.cookies(client.cookies.jar)
    return client


def async_client(inner: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return _sparing(httpx.AsyncClient(transport=inner))


def sync_client(inner: httpx.BaseTransport) -> httpx.Client:
    return _sparing(httpx.Client(transport=inner))
