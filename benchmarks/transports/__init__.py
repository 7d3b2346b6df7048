"""What `benchmarks.overhead` compares, one module per contender.

A module puts its library around a transport: `async_client(inner)` and, where the library can,
`sync_client(inner)` each return a client ready for use. Limits are generous throughout, so that nothing
ever waits: the figures are what a policy costs while it has nothing to do.

`async_client` runs inside the event loop, because some libraries must be built there.
"""

MODULES = {
    "bare": "bare",
    "empty": "empty",
    "cookies": "cookies",
    "httpx-retries": "httpx_retries",
    "httpx-limiter": "httpx_limiter",
    "httpx-tenacity": "httpx_tenacity",
    "httpx-hedged": "httpx_hedged",
    "hyx": "hyx",
    "stamina": "stamina",
    "naive": "naive",
    "seawall": "seawall",
    "seawall-client": "seawall_client",
}
"""Row of the table → module, in the order of the table."""
