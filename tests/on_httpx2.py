"""`python -m pytest -p tests.on_httpx2`: every test with `seawall.httpx2` in the place of `seawall.httpx`.

httpx2 stands in the place of httpx too: respx, for one, drives only what is called httpx.
"""

import sys

import httpx2

httpx2.alias_httpx()

import seawall.httpx2  # noqa: E402 - httpx must not be imported before it is aliased

sys.modules["seawall.httpx"] = seawall.httpx = seawall.httpx2
