"""Environment proxies, as httpx reads them. httpx mounts them itself only for a client without `transport=`."""

import ipaddress
from urllib.request import getproxies


def environment_proxies() -> dict[str, str | None]:
    """Proxy URLs by httpx URL pattern; None where NO_PROXY says to go directly."""
    found = getproxies()
    proxies: dict[str, str | None] = {}
    for scheme in ("http", "https", "all"):
        if url := found.get(scheme):
            proxies[f"{scheme}://"] = url if "://" in url else f"http://{url}"
    for host in (part.strip() for part in found.get("no", "").split(",")):
        if host == "*":
            return {}
        if host:
            proxies[_pattern(host)] = None
    return proxies


def _pattern(host: str) -> str:
    """What a NO_PROXY entry means: a domain stands for everything below it too."""
    if "://" in host:
        return host
    try:
        version = ipaddress.ip_address(host.split("/")[0]).version
    except ValueError:
        return f"all://{host}" if host.lower() == "localhost" else f"all://*{host}"
    return f"all://{host}" if version == 4 else f"all://[{host}]"
