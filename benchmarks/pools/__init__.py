"""What `benchmarks.burst` compares, one module per contender.

`client(connections)` returns a client with that many and with `KEEPALIVE`, httpx's own default, that gives every
request the same generous time: a burst is to be finished, not given up. It is called inside the event loop.

`trust_env=False` keeps a proxy of the environment out of the way to the local server.
"""

from typing import Protocol

CONNECTIONS = 100
KEEPALIVE = 20
TIMEOUT = 120.0

MODULES = {
    "bare": "bare",
    "semaphore": "semaphore",
    "httpx2": "httpx2",
    "httpx-aiohttp": "httpx_aiohttp",
    "seawall-pool": "seawall_pool",
    "seawall-client": "seawall_client",
}
"""Row of the table → module, in the order of the table."""


class Answer(Protocol):
    """What a response of httpx and one of httpx2 have in common here."""

    @property
    def status_code(self) -> int: ...
    @property
    def content(self) -> bytes: ...


class Client(Protocol):
    """What every contender offers: it reads the whole body before it returns."""

    async def get(self, url: str, /) -> Answer: ...
    async def aclose(self) -> None: ...
