"""A transport that only calls the next one: the least that any wrapping transport can cost."""

import httpx


class AsyncEmpty(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._inner.handle_async_request(request)


class Empty(httpx.BaseTransport):
    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._inner.handle_request(request)


def async_client(inner: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AsyncEmpty(inner))


def sync_client(inner: httpx.BaseTransport) -> httpx.Client:
    return httpx.Client(transport=Empty(inner))
