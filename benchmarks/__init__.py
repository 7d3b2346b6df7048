"""What Seawall costs and what it saves, measured beside its peers.

- `python -m benchmarks.overhead`: microseconds added to a request that succeeds.
- `python -m benchmarks.burst`: thousands of requests started at once over a hundred connections.

`README.md` says how to read the tables and what they do not show.
"""
