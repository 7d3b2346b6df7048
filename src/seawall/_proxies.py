"""Environment proxies, as the HTTP library reads them, which mounts them itself only for a client without `transport=`.

httpx2 reads more of NO_PROXY than httpx: networks (`10.0.0.0/8`), `[::1]` and `*.example.com`; and it leaves out what
it cannot parse, over which httpx raises.
"""

import ipaddress
from typing import Any
from urllib.request import getproxies


def environment_proxies(library: Any) -> dict[str, str | None]:
    """Proxy URLs by URL pattern; None where NO_PROXY says to go directly."""
    found = getproxies()
    proxies: dict[str, str | None] = {}
    for scheme in ("http", "https", "all"):
        if url := found.get(scheme):
            proxies[f"{scheme}://"] = url if "://" in url else f"http://{url}"
    networks = library.__name__ != "httpx"
    for host in (part.strip() for part in found.get("no", "").split(",")):
        if host == "*":
            return {}
        pattern = _pattern(host, networks=networks)
        if host and (not networks or _parses(pattern, library)):
            proxies[pattern] = None
    return proxies


def _pattern(host: str, *, networks: bool) -> str:
    """What a NO_PROXY entry means: a domain stands for everything below it too."""
    if "://" in host:
        return host
    if host.lower() == "localhost" or (networks and host.startswith(("[", "*."))):
        return f"all://{host}"
    address, slash, prefix = host.partition("/")
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return f"all://*{host}"
    if version == 4:
        return f"all://{host}"
    return f"all://[{address}]/{prefix}" if networks and slash else f"all://[{host}]"


def _parses(pattern: str, library: Any) -> bool:
    """Whether httpx2 would not leave a pattern out: one that it cannot parse, or a domain with a path."""
    if pattern.startswith("all://*") and "/" in pattern[6:]:
        return False
    try:
        library.Client(transport=library.BaseTransport(), mounts={pattern: None}).close()
    except library.InvalidURL:
        return False
    return True
