"""httpx-retries: retry alone."""

import httpx
from httpx_retries import Retry, RetryTransport

RETRY = Retry(total=3, backoff_factor=0.5)


def async_client(inner: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=RetryTransport(transport=inner, retry=RETRY))


def sync_client(inner: httpx.BaseTransport) -> httpx.Client:
    return httpx.Client(transport=RetryTransport(transport=inner, retry=RETRY))
