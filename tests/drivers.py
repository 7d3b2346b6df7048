"""One exchange with an inner transport, the same for every driver: threads, asyncio and virtual time."""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

import httpx

import seawall
import seawall.httpx
from seawall.testing import VirtualRuntime

URL = "https://api.example.com/items"
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""One for all clients: to load the certificates for each takes 20 ms."""
DRIVERS = ("threads", "asyncio", "virtual")


@dataclass
class Exchange:
    """How one call ended."""

    response: httpx.Response | None = None
    error: Exception | None = None
    took: float = 0.0
    """Virtual seconds, 0 for the other drivers."""
    state: seawall.State = field(default_factory=seawall.State)

    @property
    def outcome(self) -> Any:
        """The response, or the error."""
        return self.error if self.response is None else self.response

    @property
    def status(self) -> int | None:
        return None if self.response is None else self.response.status_code

    @property
    def report(self) -> seawall.Report:
        return seawall.report(self.outcome)


def exchange(
    driver: str,
    server: Any,
    *policies: seawall.Policy[Any],
    method: str = "GET",
    url: str = URL,
    state: seawall.State | None = None,
    **options: Any,
) -> Exchange:
    """Send one request through a client of the driver around `server` (None: a real pool) and read its answer."""
    result = Exchange(state=seawall.State() if state is None else state)
    stack = seawall.Stack(*policies)
    extensions = {"extensions": {"seawall": options.pop("seawall")}} if "seawall" in options else {}

    def sync() -> None:
        with seawall.httpx.Client(stack, transport=server, state=result.state, verify=TLS) as client:
            try:
                result.response = client.request(method, url, **options, **extensions)
            except Exception as error:
                result.error = error

    async def awaiting() -> None:
        async with seawall.httpx.AsyncClient(stack, transport=server, state=result.state, verify=TLS) as client:
            try:
                result.response = await client.request(method, url, **options, **extensions)
            except Exception as error:
                result.error = error

    if driver == "threads":
        sync()
    elif driver == "asyncio":
        asyncio.run(awaiting())
    else:
        runtime = VirtualRuntime()
        runtime.run(awaiting())
        result.took = runtime.now()
    return result


def known(state: seawall.State, policy: type[seawall.Policy[Any]]) -> dict[str, Any]:
    """What the one policy of this type remembers."""
    [found] = [entry for entry in state.snapshot() if entry["policy"] == policy.__name__]
    return found
