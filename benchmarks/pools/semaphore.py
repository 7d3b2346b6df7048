"""httpx behind a semaphore: the usual remedy. The pool never sees more requests than it has connections."""

import asyncio

import httpx

from benchmarks.pools import CONNECTIONS, bare


class SemaphoreClient:
    def __init__(self) -> None:
        self._client = bare.client()
        self._semaphore = asyncio.Semaphore(CONNECTIONS)

    async def get(self, url: str, /) -> httpx.Response:
        async with self._semaphore:
            return await self._client.get(url)

    async def aclose(self) -> None:
        await self._client.aclose()


def client() -> SemaphoreClient:
    return SemaphoreClient()
