"""A user of an HTTP client, and the notebook in which everything goes that the user can see.

A test body is written once, as a coroutine that awaits everything, and lived through twice: with a bare client and with
a protected one, sync or async, of either HTTP library.
"""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from real.modes import settle, step_through
from real.servers import Server

import seawall
from seawall import ConcurrencyLimit, Endpoints, ReadBody, Retry, Stack, Timeout

from . import told
from .differences import MEANT, Difference

ONCE = {"seawall": {"skip": ["retry"]}}
"""Extensions of a request that fails and is not to be repeated: whether to is `Retry`'s business, not this suite's."""

READ_AHEAD = Endpoints(
    {"http://127.0.0.1/*": Stack(Timeout(20), Retry(), ConcurrencyLimit(50), ReadBody(1_000_000, chunked=True))},
    default=seawall.standard(),
)


@dataclass(frozen=True)
class Setting:
    """Which client a user has."""

    library: str
    """"httpx" or "httpx2"."""
    mode: str
    """One of `real.modes`: "sync", "async", "uvloop" or "trio"."""
    protection: str
    """"bare", or how it is protected."""

    @property
    def is_async(self) -> bool:
        return self.mode != "sync"

    @property
    def lib(self) -> Any:
        """The HTTP library."""
        return import_module(self.library)

    @property
    def ours(self) -> Any:
        """Seawall's module for it."""
        return import_module(f"seawall.{self.library}")

    def client(self, change: Callable[[Any], Any] = lambda kind: kind, **options: Any) -> Any:
        """A new client, of a changed class if so asked."""
        name = "AsyncClient" if self.is_async else "Client"
        if self.protection in ("client", "read ahead"):
            return change(getattr(self.ours, name))(READ_AHEAD if self.protection == "read ahead" else None, **options)
        bare = change(getattr(self.lib, name))
        if self.protection in ("transport", "pool"):
            kind = getattr(self.ours, name.replace("Client", self.protection.title()))
            return bare(**{"transport": kind()} | options)
        client = bare(**options)
        return self.ours.protect(client) if self.protection == "protect" else client

    def __repr__(self) -> str:
        return f"{self.library} {self.mode} {self.protection}"


class User:
    """Who uses a client, and writes down what there is to be seen."""

    def __init__(self, setting: Setting, server: Server, beside: Server) -> None:
        self.setting = setting
        self.server = server
        self.beside = beside
        """The same at another origin."""
        self.lib = setting.lib
        self.is_async = setting.is_async
        self.notes: list[Any] = []
        self.expected: list[Difference] = []

    def url(self, path: str = "/") -> str:
        return self.server.url(path)

    def note(self, *things: Any) -> None:
        """Write down what is to be seen of responses, requests, errors and plain values."""
        self.notes += [told.plain(thing) for thing in things]

    def expect(self, name: str) -> None:
        """A difference that is meant will show."""
        self.expected.append(MEANT[name])

    async def __call__(self, outcome: Any) -> Any:
        """What a call gives, from either kind of client."""
        return await settle(outcome)

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Any]:
        """A client whose paths are the server's, open for a while."""
        async with self.using(self.setting.client(**{"base_url": self.server.origin} | options)) as client:
            yield client

    @asynccontextmanager
    async def using(self, thing: Any) -> AsyncIterator[Any]:
        """`async with` for whatever this kind of client asks to be used with `with` or `async with`."""
        async with AsyncExitStack() as stack:
            if hasattr(thing, "__aenter__") and self.is_async:
                yield await stack.enter_async_context(thing)
            else:
                yield stack.enter_context(thing)

    async def read(self, response: Any) -> bytes:
        return await settle(response.aread() if self.is_async else response.read())  # type: ignore[no-any-return]

    async def close(self, thing: Any) -> None:
        """Close a response or a client."""
        await settle(thing.aclose() if self.is_async else thing.close())

    async def open(self, client: Any, path: str, method: str = "GET", **options: Any) -> Any:
        """A response whose body has not been read."""
        return await settle(client.send(client.build_request(method, path, **options), stream=True))

    async def pieces(self, response: Any, way: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        """`iter_bytes` and the like, or their `aiter_` twins."""
        if self.is_async:
            async with aclosing(getattr(response, f"a{way}")(*arguments)) as pieces:
                async for piece in pieces:
                    yield piece
        else:
            for piece in getattr(response, way)(*arguments):
                yield piece

    async def all(self, response: Any, way: str, *arguments: Any) -> list[Any]:
        return [piece async for piece in self.pieces(response, way, *arguments)]

    async def refused(self, act: Callable[[], Any]) -> BaseException:
        """Do something that must fail, write down how, and have the error."""
        try:
            await settle(act())
        except Exception as error:
            self.note(error)
            return error
        raise AssertionError("it did not fail")

    def hook(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A callback as this kind of client wants it; one that is a coroutine function is stepped through if sync."""

        async def awaited(*arguments: Any) -> Any:
            return await settle(function(*arguments))

        return awaited if self.is_async else partial(_stepped, function)

    def chunks(self, *pieces: bytes) -> Any:
        """A generator of a request body, of the right kind."""

        async def awaited() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        return awaited() if self.is_async else (piece for piece in pieces)

    def __repr__(self) -> str:
        return f"<User of {self.setting!r}>"


def _stepped(function: Callable[..., Any], *arguments: Any) -> Any:
    outcome = function(*arguments)
    return step_through(outcome) if inspect.iscoroutine(outcome) else outcome
