"""Seawall for httpx2: clients, transports and pools.

from seawall.httpx2 import AsyncClient

async with AsyncClient() as client:
    response = await client.get("https://api.example.com/items")
"""

try:
    import httpx2
except ModuleNotFoundError as error:
    if error.name == "httpx2":
        error.add_note("seawall.httpx2 needs httpx2: pip install 'seawall[httpx2]'")
    raise

from . import _clients, _errors, _pools
from ._family import Family
from ._protect import protect, unprotect

__all__ = ["AsyncClient", "AsyncPool", "AsyncTransport", "Client", "Pool", "Transport", "protect", "unprotect"]

FAMILY = Family(httpx2, __name__)

CircuitOpen = FAMILY.errors[_errors.CircuitOpen]
QueueFull = FAMILY.errors[_errors.QueueFull]
WaitTooLong = FAMILY.errors[_errors.WaitTooLong]
TimedOut = FAMILY.errors[_errors.TimedOut]


class AsyncPool(_pools.AsyncPool, httpx2.AsyncBaseTransport):
    family = FAMILY


class Pool(_pools.Pool, httpx2.BaseTransport):
    family = FAMILY


class AsyncTransport(_clients.AsyncTransport, httpx2.AsyncBaseTransport):
    family = FAMILY
    pool_type = AsyncPool


class Transport(_clients.Transport, httpx2.BaseTransport):
    family = FAMILY
    pool_type = Pool


class AsyncClient(_clients.AsyncClient, httpx2.AsyncClient):
    family = FAMILY
    transport_type = AsyncTransport


class Client(_clients.Client, httpx2.Client):
    family = FAMILY
    transport_type = Transport
