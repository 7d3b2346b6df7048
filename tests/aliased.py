"""`python -m pytest -p tests.aliased`: every test with httpx2 in the place of httpx, as in a program that migrates."""

import httpx2

httpx2.alias_httpx()  # before anything imports httpx: pytest loads this plugin first
