"""Everything that can be seen of a response, a request or an error, as plain data that can be compared."""

import contextlib
import datetime
import re
from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Any

from .differences import OWN_BASES, OWN_EXTENSIONS

ADDRESS = re.compile(r" at 0x[0-9a-f]+")
SOCKET = re.compile(r"((?i:sec-websocket-(?:key|accept)): |\(b'(?i:sec-websocket-accept)', b')[\w+/=]+")
SECRETS = {b"Sec-WebSocket-Key", b"sec-websocket-key", b"Sec-WebSocket-Accept"}
DIGEST = re.compile(r'((?:cnonce|response)=)"[0-9a-f]+"')


def plain(thing: Any) -> Any:
    """A thing as plain data. What is plain stays as it is."""
    if isinstance(thing, BaseException):
        return error(thing)
    if isinstance(thing, dict):
        return {name: plain(value) for name, value in thing.items()}
    if isinstance(thing, tuple) and len(thing) == 2 and thing[0] in SECRETS:
        return [thing[0], "..."]
    if isinstance(thing, list | tuple):
        return [plain(each) for each in thing]
    if isinstance(thing, str):
        return text(thing)
    if isinstance(thing, bytes) and b"Digest" in thing:
        return text(thing.decode())
    if isinstance(thing, bytes | int | float | None | type | datetime.timedelta):
        return thing
    kind = type(thing).__name__
    if kind == "Response":
        return response(thing)
    if kind == "Request":
        return request(thing)
    if kind == "Cookies":
        return cookies(thing.jar)
    if kind == "Headers":
        return plain(thing.raw)
    assert kind in {"URL", "Timeout", "QueryParams"}, f"what is to be seen of a {kind}?"
    return repr(thing)


def text(what: str) -> str:
    """A text without what is by chance: addresses of objects, and what a client draws for a digest or a web socket."""
    return SOCKET.sub(r"\1...", DIGEST.sub(r'\1"..."', ADDRESS.sub(" at 0x...", what)))


def response(it: Any) -> dict[str, Any]:
    """A response: everything public."""
    seen: dict[str, Any] = {"type": type(it).__qualname__}
    for name in (
        "status_code", "reason_phrase", "http_version", "url", "charset_encoding", "encoding", "default_encoding",
        "is_informational", "is_success", "is_redirect", "is_client_error", "is_server_error", "is_error",
        "has_redirect_location", "is_closed", "is_stream_consumed", "num_bytes_downloaded", "links", "content", "text",
        "cookies", "history", "next_request", "request",
    ):  # fmt: skip
        seen[name] = attribute(it, name)
    seen["headers"] = plain(it.headers.raw)
    seen["repr"] = text(repr(it))
    elapsed = attribute(it, "elapsed")  # how long it took is by chance, whether it is known is not
    seen["elapsed"] = elapsed >= datetime.timedelta(0) if isinstance(elapsed, datetime.timedelta) else elapsed
    seen["extensions"] = extensions(it.extensions)
    seen["stream"] = sides(it.stream)
    return seen


def sides(stream: Any) -> list[str]:
    """How a stream may be iterated and closed."""
    return [name for name in ("__iter__", "__aiter__", "close", "aclose") if hasattr(stream, name)]


def request(it: Any) -> dict[str, Any]:
    """A request: everything public."""
    return {
        "type": type(it).__qualname__,
        "method": it.method,
        "url": str(it.url),
        "headers": plain(it.headers.raw),
        "content": attribute(it, "content"),
        "extensions": extensions(it.extensions),
        "timeout": it.extensions.get("timeout"),
        "stream": sides(it.stream),
    }


def attribute(it: Any, name: str) -> Any:
    """An attribute, or the error that asking for it gives."""
    try:
        value = getattr(it, name)
    except Exception as raised:
        return error(raised)
    if name == "default_encoding" and callable(value):
        return "a function"
    return plain(value)


def extensions(given: Mapping[str, Any]) -> list[str]:
    """The names of extensions, without those that are documented as Seawall's."""
    return sorted(name for name in given if name not in OWN_EXTENSIONS)


def error(it: BaseException) -> dict[str, Any]:
    """An error: its type with all bases, what it says, what it is about and what it came from."""
    seen: dict[str, Any] = {
        "types": types_of(it),
        "says": text(str(it)),
        "args": [text(str(each)) for each in it.args],
        "cause": None if it.__cause__ is None else error(it.__cause__),
        "context": chain(it),
        "notes": getattr(it, "__notes__", []),
    }
    with contextlib.suppress(AttributeError, RuntimeError):
        seen["request"] = request(it.request)  # type: ignore[attr-defined]
    if hasattr(it, "response"):
        seen["response"] = response(it.response)
    return seen


def chain(it: BaseException) -> list[str]:
    """The types of the errors during whose handling an error came about."""
    found, seen = [], it.__context__
    while seen is not None:
        found.append(types_of(seen)[0])
        seen = seen.__context__
    return found


def types_of(it: BaseException) -> list[str]:
    """The type of an error and its bases, without those that are documented as Seawall's."""
    kinds = [kind for kind in type(it).__mro__ if kind is not object]
    return [f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if not kind.__module__.startswith(OWN_BASES)]


def cookies(jar: CookieJar) -> list[Any]:
    """Cookies with all their attributes."""
    return sorted([c.name, c.value, c.domain, c.path, c.secure, c.expires, c.discard, c.version, c.port] for c in jar)


def difference(bare: Any, protected: Any, where: str = "") -> str | None:
    """The first difference between two pieces of plain data, and where it is; None if there is none."""
    if bare == protected:  # as nearly always
        return None
    if isinstance(bare, dict) and isinstance(protected, dict):
        for name in {**bare, **protected}:
            found = difference(bare.get(name), protected.get(name), f"{where}[{name!r}]")
            if found is not None:
                return found
        return None
    if isinstance(bare, list | tuple) and isinstance(protected, list | tuple):
        for index, (one, other) in enumerate(zip(bare, protected, strict=False)):
            found = difference(one, other, f"{where}[{index}]")
            if found is not None:
                return found
        if len(bare) == len(protected):
            return None
        common = min(len(bare), len(protected))
        bare, protected = list(bare[common:]), list(protected[common:])
    return None if bare == protected else f"{where}\n  bare:      {bare!r}\n  protected: {protected!r}"
