"""hyx: timeout, retry, breaker, bulkhead and rate limit, put together as a transport. Async only.

`timeout` is used as a context manager: as a decorator it starts a task per call. Retry is a decorator in
hyx, the rest are the context managers of its documentation. hyx sees exceptions, so no status is retried.
"""

import httpx
from hyx.bulkhead import bulkhead
from hyx.circuitbreaker import consecutive_breaker
from hyx.ratelimit import tokenbucket
from hyx.retry import retry
from hyx.timeout import timeout


class HyxTransport(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._breaker = consecutive_breaker(exceptions=httpx.TransportError)
        self._bulkhead = bulkhead(max_concurrency=100, max_capacity=1_000_000)
        self._bucket = tokenbucket(max_executions=1_000_000, per_time_secs=1)
        self._send = retry(on=httpx.TransportError, attempts=3, backoff=0.5)(self._attempt)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with timeout(30):
            response: httpx.Response = await self._send(request)
            return response

    async def _attempt(self, request: httpx.Request) -> httpx.Response:
        async with self._breaker, self._bulkhead, self._bucket:
            return await self._inner.handle_async_request(request)


def async_client(inner: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=HyxTransport(inner))
