"""httpx behind a semaphore: the usual remedy. The pool never sees more requests than it has connections."""

import asyncio

import httpx

from benchmarks.pools import bare


class SemaphoreClient:
    def __init__(self, connections: int) -> None:
        self._client = bare.client(connections)
        self._semaphore = asyncio.Semaphore(connections)

    async def get(self, url: str, /) -> httpx.Response:
        async with self._semaphore:
            return await self._client.get(url)

    async def aclose(self) -> None:
        await self._client.aclose()


def client(connections: int) -> SemaphoreClient:
    return SemaphoreClient(connections)
