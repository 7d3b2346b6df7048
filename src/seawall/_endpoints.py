"""Which stack handles a request: patterns of method, host and path, the most specific wins.

    Endpoints({
        "https://api.example.com": Stack(...),
        "https://api.example.com/search/*": Stack(...),
        "GET https://api.example.com/items/*": Stack(...),
        "*.example.com": Stack(...),
    }, default=seawall.standard())

A pattern is `[METHOD ][scheme://]host[:port][/path]`, or `*` for everything.

- host: exact, or `*.` and a domain for all hosts below it, or `*` for any.
- Without a scheme, any scheme and (unless given) any port; with one, that scheme's default port unless given.
- path: exact; `*` as a whole segment stands for one segment, at the end for everything below. Without a path,
  every path.

Most specific means: an exact host before a wildcard (and a longer domain before a shorter), then the longest
path, then one with a method.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ._errors import StackError
from ._stack import Stack, standard

DEFAULT_PORTS = {"http": 80, "https": 443}
PATTERN = (
    r"(?:(?P<method>[^\s/:]+)\s+)?"
    r"(?:(?P<scheme>[^\s/:]+)://)?"
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s/:?#@]+)"
    r"(?::(?P<port>[^\s/]*))?"
    r"(?P<path>/\S*)?"
)


class Endpoint(NamedTuple):
    """One pattern and its stack."""

    pattern: str
    stack: Stack
    host: str = "*"
    scheme: str | None = None
    port: int | None = None
    method: str | None = None
    path: str | None = None
    regex: "re.Pattern[str] | None" = None

    @property
    def whole_host(self) -> bool:
        """Whether it takes every request to its host, whatever the method and path."""
        return self.method is None and self.path is None

    def identity(self) -> tuple[object, ...]:
        """What must differ between two patterns of one Endpoints."""
        return self.method, self.scheme, self.host, self.port, self.path

    def specificity(self) -> tuple[object, ...]:
        """Sorts the most specific first."""
        wild = self.host.startswith("*")
        literal = 0 if self.path is None else 1 + len(self.path.replace("*", ""))
        exact = self.path is not None and "*" not in self.path
        return (
            wild,
            -len(self.host),
            -literal,
            not exact,
            self.method is None,
            self.scheme is None,
            self.port is None,
        )

    def serves(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether requests to this origin may be its own."""
        if self.scheme is not None:
            if scheme != self.scheme or (port or DEFAULT_PORTS.get(scheme)) != self.port:
                return False
        elif self.port is not None and (port or DEFAULT_PORTS.get(scheme)) != self.port:
            return False
        return self.host == "*" or self.host == host or (self.host[:2] == "*." and host.endswith(self.host[1:]))

    def takes(self, method: str, path: str) -> bool:
        """Whether it takes this method and path of its host."""
        return (self.method is None or self.method == method) and (
            self.regex is None or self.regex.fullmatch(path) is not None
        )


class Endpoints:
    """Stacks by pattern, and a default for the rest (`seawall.standard()` unless given).

    Raises `StackError` for a pattern that cannot be read or that stands twice.
    """

    __slots__ = ("_by_host", "_default", "_wild", "stacks")

    def __init__(self, stacks: Mapping[str, Stack], default: Stack | None = None) -> None:
        if not isinstance(stacks, Mapping):
            raise StackError(f"Endpoints takes a mapping of patterns to Stacks, not {stacks!r}")
        self.stacks = dict(stacks)
        endpoints = [parse(pattern, stack) for pattern, stack in self.stacks.items()]
        seen: dict[tuple[object, ...], str] = {}
        for endpoint in endpoints:
            if (twin := seen.setdefault(endpoint.identity(), endpoint.pattern)) != endpoint.pattern:
                raise StackError(f"the patterns {twin!r} and {endpoint.pattern!r} mean the same")
        endpoints.sort(key=Endpoint.specificity)
        catch_all = [e for e in endpoints if e.whole_host and e.host == "*" and e.scheme is None and e.port is None]
        if catch_all and default is not None:
            raise StackError('give either the pattern "*" or default=, not both')
        fallback = standard() if default is None else _stack("default", default)
        self._default = catch_all[0] if catch_all else Endpoint("*", fallback)
        self._by_host: dict[str, list[Endpoint]] = {}
        self._wild: list[Endpoint] = []
        for endpoint in endpoints:
            if endpoint.host.startswith("*"):
                self._wild.append(endpoint)
            else:
                self._by_host.setdefault(endpoint.host, []).append(endpoint)

    def candidates(self, scheme: str, host: str, port: int | None) -> tuple[Endpoint, ...]:
        """The endpoints that may handle requests to this origin, the most specific first."""
        found: list[Endpoint] = []
        for endpoint in (*self._by_host.get(host, ()), *self._wild, self._default):
            if endpoint.serves(scheme, host, port):
                found.append(endpoint)
                if endpoint.whole_host:
                    break
        return tuple(found)

    def __iter__(self) -> Any:
        """Every endpoint, the default one last."""
        for endpoints in self._by_host.values():
            yield from endpoints
        yield from (endpoint for endpoint in self._wild if endpoint is not self._default)
        yield self._default

    def __repr__(self) -> str:
        return f"Endpoints({self.stacks!r}, default={self._default.stack!r})"


def parse(pattern: str, stack: Stack) -> Endpoint:
    """Read one pattern. Raises `StackError` that shows the pattern and what is wrong with it."""

    def wrong(reason: str) -> StackError:
        return StackError(
            f"endpoint pattern {_shown(pattern)}: {reason}. A pattern is [METHOD ][scheme://]host[:port][/path], "
            f'such as "GET https://api.example.com/items/*", "*.example.com" or "*"'
        )

    if not isinstance(pattern, str):
        raise wrong("it is not a string")
    _stack(pattern, stack)
    if "?" in pattern or "#" in pattern:
        raise wrong("a query or fragment cannot be matched")
    if "@" in pattern:
        raise wrong("user information cannot be matched")
    parts = re.fullmatch(PATTERN, pattern)
    if parts is None:
        raise wrong("it cannot be read")
    method, scheme, host, path = parts["method"], parts["scheme"], parts["host"].lower(), parts["path"]
    if method is not None and not (method.isalpha() and method.isupper()):
        raise wrong(f"{method!r} is not a method in capitals")
    if scheme is not None and scheme not in DEFAULT_PORTS:
        raise wrong(f'the scheme must be "http" or "https", not {scheme!r}')
    if "*" in host and host != "*" and (not host.startswith("*.") or "*" in host[1:] or len(host) < 3):
        raise wrong('in a host, "*" stands alone or at the start, as in "*.example.com"')
    if path is not None and path.startswith("//") and parts["port"] is None:
        raise wrong(f"a colon is missing after {host!r}, or its path {path!r} begins with an empty segment")
    if host.startswith(".") or host.endswith(".") or ".." in host:
        raise wrong(f"{host!r} is not a host")
    if path is not None and any("*" in segment and segment != "*" for segment in path.split("/")):
        raise wrong('in a path, "*" stands for a whole segment, as in "/items/*"')
    return Endpoint(
        pattern=pattern,
        stack=stack,
        host=host.strip("[]"),
        scheme=scheme,
        port=_port(parts["port"], scheme, wrong),
        method=method,
        path=path,
        regex=None if path is None else _regex(path),
    )


def _port(text: str | None, scheme: str | None, wrong: Any) -> int | None:
    if text is None:
        return None if scheme is None else DEFAULT_PORTS[scheme]
    if not text:
        raise wrong('after ":" a port is missing, or "//" and a host')
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise wrong(f"the port must be a number from 1 to 65535, not {text!r}")
    return int(text)


def _regex(path: str) -> "re.Pattern[str]":
    segments = path.split("/")
    below = segments[-1] == "*"
    if below:
        segments.pop()
    source = "/".join("[^/]+" if segment == "*" else re.escape(segment) for segment in segments)
    return re.compile(source + "/.*" if below else source, re.DOTALL)


def _stack(pattern: str, stack: object) -> Stack:
    if not isinstance(stack, Stack):
        raise StackError(f"endpoint {_shown(pattern)} needs a Stack, not {stack!r}")
    return stack


def _shown(pattern: object) -> str:
    """A pattern for an error: whatever looks like a password is not repeated."""
    return re.sub(r"[^\s/'\"]*@", "...@", repr(pattern))
