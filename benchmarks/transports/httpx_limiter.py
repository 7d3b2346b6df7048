"""httpx-limiter: a rate limit alone, here on its aiolimiter engine. Async only."""

import httpx
from httpx_limiter import AsyncRateLimitedTransport, Rate
from httpx_limiter.aiolimiter import AiolimiterAsyncLimiter


def async_client(inner: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    limiter = AiolimiterAsyncLimiter.create(Rate.create(magnitude=1_000_000, duration=1))
    return httpx.AsyncClient(transport=AsyncRateLimitedTransport(limiter=limiter, transport=inner))
