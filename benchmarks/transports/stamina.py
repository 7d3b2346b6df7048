"""stamina: retry alone, as its decorator around the inner transport. It sees exceptions, not statuses."""

import httpx
import stamina

on_transport_errors = stamina.retry(on=httpx.TransportError, attempts=4, timeout=30)


class AsyncStaminaTransport(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._send = on_transport_errors(inner.handle_async_request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._send(request)


class StaminaTransport(httpx.BaseTransport):
    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._send = on_transport_errors(inner.handle_request)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._send(request)


def async_client(inner: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AsyncStaminaTransport(inner))


def sync_client(inner: httpx.BaseTransport) -> httpx.Client:
    return httpx.Client(transport=StaminaTransport(inner))
