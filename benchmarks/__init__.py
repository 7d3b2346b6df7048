"""What Seawall costs and what it saves, measured beside its peers.

- `python -m benchmarks.overhead`: microseconds added to a request that succeeds.
- `python -m benchmarks.burst`: thousands of requests started at once over a hundred connections.

`README.md` says how to read the tables and what they do not show.

With `--library httpx2` on the command line httpx2 stands in the place of httpx, and `seawall.httpx2` in that of
`seawall.httpx`, for all that is imported from here on.
"""

import argparse
import sys

_parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
_parser.add_argument("--library", choices=("httpx", "httpx2"), default="httpx")
LIBRARY: str = _parser.parse_known_args()[0].library
"""What `httpx` is."""

if LIBRARY == "httpx2":
    import httpx2

    httpx2.alias_httpx()

    import seawall.httpx2

    sys.modules["seawall.httpx"] = seawall.httpx = seawall.httpx2
