"""What every runtime that awaits does the same way."""

from typing import Any

from .._events import logger


class Awaiting:
    """Sending, closing and draining, for runtimes in which I/O is awaited."""

    def now(self) -> float:
        raise NotImplementedError

    async def within(self, awaitable: Any, deadline: float) -> Any:
        raise NotImplementedError

    async def send(self, transport: Any, request: Any, deadline: float, line: Any) -> Any:
        return await self.within(transport.handle_async_request(request), deadline)

    async def close(self, resource: Any) -> None:
        await resource.aclose()

    async def drain(self, body: Any, limit: int, seconds: float) -> None:
        body.deadline = min(body.deadline, self.now() + seconds)
        try:
            async for chunk in body:
                limit -= len(chunk)
                if limit < 0:
                    break
        except Exception:
            logger.debug("a discarded response broke while it was drained", exc_info=True)
        finally:
            await body.aclose()
