"""What Seawall needs of an HTTP library. The core never imports one: a family is made of its module.

Everything here is public API of httpx (and of libraries with its interface), with two exceptions that
are marked: where a streamed request body comes from, and what a URL was parsed into.
"""

import inspect
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from types import ModuleType
from typing import Any

from . import _errors as errors
from ._body import AsyncBodyMixin, SyncBodyMixin
from ._cookies import Cookies


class Family:
    """One HTTP library: its exception tree, its stream classes, and our errors and bodies within them."""

    def __init__(self, module: ModuleType, home: str) -> None:
        lib: Any = module
        self.library = lib
        self.name = module.__name__
        self.bytes_stream = lib.ByteStream
        self.transport_error = lib.TransportError
        self.timeout = lib.TimeoutException
        self.disconnected = lib.RemoteProtocolError
        timeouts = (lib.ConnectTimeout, lib.ReadTimeout, lib.WriteTimeout)
        self.errors = {
            kind: _joined(kind, base, home)
            for kind, base in (
                (errors.CircuitOpen, lib.TransportError),
                (errors.QueueFull, lib.TransportError),
                (errors.WaitTooLong, lib.PoolTimeout),
                (errors.TimedOut, lib.TimeoutException),
            )
        }
        self._connect = lib.ConnectError
        self._connect_timeout = lib.ConnectTimeout
        self._failures = (lib.NetworkError, lib.RemoteProtocolError, lib.ProxyError, *timeouts, errors.TimedOut)
        # the library itself raises none of these, only what derives from them
        self._vague = {lib.RequestError, lib.TransportError, lib.TimeoutException}
        self.async_body = type("AsyncBody", (AsyncBodyMixin, lib.AsyncByteStream), {"__module__": home})
        self.sync_body = type("SyncBody", (SyncBodyMixin, lib.SyncByteStream), {"__module__": home})
        self.cookies = lib.Cookies
        if self.name == "httpx":  # httpx2 has the like of it built in
            self.cookies = type("Cookies", (Cookies, lib.Cookies), {"__module__": home})
        self.origin = _origin_getter(lib)
        """The scheme, host and port of a URL, as one key."""

    def failed(self, error: BaseException | None) -> bool:
        """Whether an error says that the server, or the way to it, fails: another attempt may mend it.

        A transport of someone else's that has no better name for a failure raises the bare base class.
        """
        return isinstance(error, self._failures) or type(error) in self._vague

    def not_sent(self, error: BaseException | None) -> bool:
        """Whether an error says that no connection was made, so that nothing can have been sent.

        A connect timeout that was made of anything but a timeout does not: httpx-aiohttp calls a server that hangs up
        without an answer by that name.
        """
        if isinstance(error, self._connect_timeout):
            return error.__cause__ is None or "Timeout" in type(error.__cause__).__name__
        return isinstance(error, self._connect)

    @staticmethod
    def set_request(error: Any, request: Any) -> None:
        """Tell an error of the library which request it belongs to, if it does not know yet."""
        try:
            error.request  # noqa: B018 - the property raises while it is not set
        except RuntimeError:
            error.request = request

    def with_header(self, request: Any, name: str, value: str) -> Any:
        """A copy of a request with one more header."""
        headers = request.headers.copy()
        headers[name] = value
        return self.library.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
        )

    def replay(self, request: Any) -> Callable[[], None] | None:
        """How to make a request's body ready to be sent again, or None if it cannot be.

        Bytes replay, and so do containers of bytes; files rewind to where they stand now; whatever can be iterated
        only once is never replayed.
        """
        stream = request.stream
        if type(stream) is self.bytes_stream:
            return _ready
        fields = getattr(stream, "fields", None)
        if fields is not None:  # multipart: httpx itself rewinds its files, if they can be
            files = [getattr(field, "file", b"") for field in fields]
            return _ready if all(isinstance(file, str | bytes) or _seekable(file) for file in files) else None
        # the one private attribute: no public one tells what a streamed body is made of
        source = getattr(stream, "_stream", None)
        if source is None:
            return None
        if hasattr(source, "read"):
            return _rewind(source) if _seekable(source) else None
        # an iterator is its own, and so is the one that an iterable keeps: there is no second one to send
        if hasattr(source, "__aiter__"):
            return None if aiter(source) is aiter(source) else _ready
        return None if iter(source) is iter(source) else _ready

    def __repr__(self) -> str:
        return f"<Family {self.name}>"


class Member:
    """What has a class in each family, documented for the library of that family."""

    family: Family
    driver: str
    """The kind of its library's clients that it is for: "sync" or "async"."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        family = vars(cls).get("family")
        if family is not None:
            cls.__doc__ = (cls.__mro__[1].__doc__ or "").replace("httpx", family.name)


def _origin_getter(lib: Any) -> "attrgetter[Any]":
    """The library's properties are Python functions, three of which are a quarter of what it takes to begin a call.

    So the parsed URL that they read is asked itself, in a version of the library in which it is where we know it.
    """
    public, private = ((f"{where}scheme", f"{where}host", f"{where}port") for where in ("", "_uri_reference."))
    properties, parsed = attrgetter(*public), attrgetter(*private)
    with suppress(AttributeError):
        url = lib.URL("http://host:1234/path")
        if parsed(url) == properties(url):
            return parsed
    return properties


def _joined(kind: type[errors.SeawallError], base: type[Exception], home: str) -> Any:
    """Our error within the library's exception tree."""
    return type(kind.__name__, (kind, base), {"__module__": home, "__doc__": kind.__doc__})


def _ready() -> None:
    """Nothing to do: the body can be iterated again as it is."""


def _seekable(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    if seekable is None or inspect.iscoroutinefunction(seekable) or inspect.iscoroutinefunction(file.seek):
        return False
    return bool(seekable())


def _rewind(file: Any) -> Callable[[], None]:
    position = file.tell()
    return lambda: file.seek(position) and None
