"""httpx-hedged: hedging with its circuit breaker and budget.

It learns its delay from the latencies it sees, which over a no-op are microseconds. `min_delay` keeps it
from firing; the learning, a task (or, for threads, a pool's worker) per request and the books are its own.
"""

import httpx
from httpx_hedged import HedgeConfig, HedgedTransport, SyncHedgedTransport  # type: ignore[import-untyped]  # ships no types

NEVER_FIRES = HedgeConfig(min_delay=1.0)


def async_client(inner: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=HedgedTransport(inner, default_config=NEVER_FIRES))


def sync_client(inner: httpx.BaseTransport) -> httpx.Client:
    return httpx.Client(transport=SyncHedgedTransport(inner, default_config=NEVER_FIRES))
