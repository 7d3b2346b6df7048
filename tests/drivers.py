"""One exchange with an inner transport, the same for every driver: threads, asyncio, uvloop, trio and virtual time."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx
import trio
import uvloop

import seawall
import seawall.httpx
from seawall.testing import VirtualRuntime

URL = "https://api.example.com/items"
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""One for all clients: to load the certificates for each takes 20 ms."""
DRIVERS = ("threads", "asyncio", "uvloop", "trio", "virtual")


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
    else:
        result.took = run(driver, awaiting, clock=True)
    return result


def run(driver: str, main: Callable[[], Coroutine[Any, Any, Any]], *, clock: bool = False) -> Any:
    """Run a coroutine function in a new loop of the driver; with `clock`, return the virtual seconds it took."""
    runtime = VirtualRuntime()
    if driver == "trio":
        result = trio.run(main)
    else:
        result = {"asyncio": asyncio.run, "uvloop": uvloop.run, "virtual": runtime.run}[driver](main())
    return runtime.now() if clock else result


def known(state: seawall.State, policy: type[seawall.Policy[Any]]) -> dict[str, Any]:
    """What the one policy of this type remembers."""
    [found] = [entry for entry in state.snapshot() if entry["policy"] == policy.__name__]
    return found
