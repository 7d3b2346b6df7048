"""Seawall for httpx: clients, transports and pools.

from seawall.httpx import AsyncClient

async with AsyncClient() as client:
    response = await client.get("https://api.example.com/items")
"""

import httpx

from . import _clients, _errors, _pools
from ._family import Family
from ._protect import protect, unprotect

__all__ = ["AsyncClient", "AsyncPool", "AsyncTransport", "Client", "Pool", "Transport", "protect", "unprotect"]

FAMILY = Family(httpx, __name__)

CircuitOpen = FAMILY.errors[_errors.CircuitOpen]
QueueFull = FAMILY.errors[_errors.QueueFull]
WaitTooLong = FAMILY.errors[_errors.WaitTooLong]
TimedOut = FAMILY.errors[_errors.TimedOut]


class AsyncPool(_pools.AsyncPool, httpx.AsyncBaseTransport):
    family = FAMILY


class Pool(_pools.Pool, httpx.BaseTransport):
    family = FAMILY


class AsyncTransport(_clients.AsyncTransport, httpx.AsyncBaseTransport):
    family = FAMILY
    pool_type = AsyncPool


class Transport(_clients.Transport, httpx.BaseTransport):
    family = FAMILY
    pool_type = Pool


class AsyncClient(_clients.AsyncClient, httpx.AsyncClient):
    family = FAMILY
    transport_type = AsyncTransport


class Client(_clients.Client, httpx.Client):
    family = FAMILY
    transport_type = Transport
