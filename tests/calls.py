"""What tests of policies share: clients over scripted servers, outcomes as values, tickers of virtual time."""

from collections.abc import Awaitable
from typing import Any

import seawall
from seawall.httpx import AsyncClient
from seawall.testing import ScriptedServer, VirtualRuntime

URL = "https://api.example.com/items"
ORIGIN = "https://api.example.com"


def client(server: Any, *policies: Any, **options: Any) -> AsyncClient:
    """An async client with these policies over a scripted server."""
    return AsyncClient(seawall.Stack(*policies), transport=server, **options)


async def outcome(awaitable: Awaitable[Any]) -> Any:
    """What it returned, or the exception that it raised."""
    try:
        return await awaitable
    except Exception as error:
        return error


async def burst(runtime: VirtualRuntime, of: AsyncClient, count: int, **options: Any) -> list[Any]:
    """Start `count` GETs together; their outcomes, in the order in which they were started."""
    tasks = [runtime.spawn(of.get(URL, **options)) for _ in range(count)]
    return [await outcome(task) for task in tasks]


def starts(server: ScriptedServer) -> list[float]:
    """When each request reached the server, in virtual seconds."""
    return [round(request.at, 6) for request in server.requests]


def asking(**options: Any) -> dict[str, Any]:
    """Per-request options, as httpx carries them."""
    return {"extensions": {"seawall": options}}
