"""What every runtime that awaits does the same way.

Most of what is awaited with a deadline is ready at once: a mock, a cache, a chunk that is here already. So it is
stepped once by hand, and only if it really suspends is a timer armed and the `rest` awaited. (A full
`asyncio.timeout` costs 4 us, a bare timer 1.5 us, the step a tenth of one.)
"""

import inspect
import os
import sys
import time
import types
from collections.abc import Awaitable, Callable, Generator
from types import CoroutineType
from typing import Any

from .._errors import Expired
from .._listeners import logger

INF = float("inf")
CLOSING = 2.0
"""Seconds for which closing what is busy may take before it is interrupted."""


class Awaiting:
    """Sending, closing and draining, for runtimes in which I/O is awaited."""

    __slots__ = ("now",)
    now: Callable[[], float]
    """A slot: it is asked some eight times a call, and to find it in a class takes half as long again."""

    def __init__(self) -> None:
        self.now = time.monotonic

    async def rest(self, steps: Any, suspended: Any, deadline: float) -> Any:
        """Await the rest of something that was stepped once, raising `Expired` at the deadline."""
        raise NotImplementedError

    async def within(self, awaitable: Awaitable[Any], deadline: float) -> Any:
        if deadline == INF:
            return await awaitable
        steps: Any = awaitable if hasattr(awaitable, "send") else awaitable.__await__()
        try:
            suspended = steps.send(None)
        except StopIteration as done:
            return done.value
        return await self.rest(steps, suspended, deadline)

    def send(self, transport: Any, request: Any, deadline: float, line: "Making | None") -> Any:
        if line is not None and line.stream is None:
            return self._connect_and_send(transport, request, deadline, line)
        steps = transport.handle_async_request(request)
        if type(steps) is not CoroutineType and not hasattr(steps, "send"):
            steps = steps.__await__()
        try:
            suspended = steps.send(None)
        except StopIteration as done:
            return done.value
        return self.rest(steps, suspended, deadline)

    async def _connect_and_send(self, transport: Any, request: Any, deadline: float, line: "Making") -> Any:
        """Send on a connection that is yet to be made. What was made of it is closed if that is cut short."""
        own = request.extensions
        line.also = own.get("trace")
        extensions = request.extensions = {**own, "trace": line.trace}
        try:
            return await self.within(transport.handle_async_request(request), deadline)
        except BaseException:
            if line.stream is not None:
                if thrown_away():
                    let_go(line.stream)
                else:
                    await self.close(line.stream)
            raise
        finally:
            request.extensions = own
            # httpcore reads the body with this very mapping, which needs no watching any more
            extensions.update(own)
            if line.also is None:
                del extensions["trace"]

    def whole(self, steps: Any) -> Any:
        """Await a write that must not be cut short: what comes after it would be garbage to its reader."""
        return _whole(steps)

    def close(self, resource: Any) -> Any:  # awaited; not a coroutine function, which would only add a step
        return resource.aclose()

    async def hang_up(self, resource: Any) -> None:
        """Close what may be busy, such as a body half-way. Some transports would wait until it is through."""
        try:
            await self.within(resource.aclose(), self.now() + CLOSING)
        except Expired:
            logger.debug("%s was not closed within %g s", type(resource).__name__, CLOSING)

    async def drain(self, body: Any, limit: int, seconds: float) -> None:
        until = self.now() + seconds

        async def read() -> None:
            left = limit
            async for chunk in body:
                left -= len(chunk)
                if left < 0 or self.now() >= until:  # who never suspends is never interrupted
                    break

        try:
            await self.within(read(), until)
        except Exception as error:  # only its type is told: what it says may quote a header
            logger.debug("a discarded response broke while it was drained (%s)", type(error).__name__)
        finally:
            await body.aclose()


def thrown_away() -> bool:
    """Whether this runs because a collector ends a coroutine or generator.

    Then nothing can be awaited, and no lock: the thread that was interrupted for it may hold it. Whoever closes an
    async generator has the same exception raised in it, but where that yields, and may await: there it begins.
    """
    thrown = sys.exception()
    if not isinstance(thrown, GeneratorExit):
        return False
    place = thrown.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is None or not place.tb_frame.f_code.co_flags & inspect.CO_ASYNC_GENERATOR


def let_go(resource: Any) -> None:
    """Close what was thrown away, as far as that goes without waiting for anything."""
    steps: Any = resource.aclose()
    if not hasattr(steps, "send"):
        steps = steps.__await__()
    try:
        steps.send(None)
    except StopIteration:
        return
    steps.close()


class Making:
    """A connection in the making, as httpcore's `trace` extension tells of it.

    While a TLS or SOCKS handshake lasts, only the code that runs it knows the socket; httpcore closes it after an
    error, but not after a cancellation.
    """

    __slots__ = ("also", "stream")

    def __init__(self) -> None:
        self.stream: Any = None
        self.also: Any = None
        """The caller's own `trace`."""

    def learn(self, stream: Any) -> None:
        """The connection is made: its transport closes it from now on."""
        self.stream = stream

    def let_go(self) -> None:
        """In a forked child: leave the connection to the parent.

        Its descriptor leads to nowhere from now on. If it were closed, whoever closes it once more would close
        another's; and a copy of the parent's event loop that closes it would have the parent's watch it no more.
        """
        made = None if self.stream is None else self.stream.get_extra_info("socket")
        if made is not None and made.fileno() >= 0:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, made.fileno(), inheritable=False)
            os.close(nowhere)

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's `trace` extension."""
        if event.endswith((".connect_tcp.complete", ".connect_unix_socket.complete")):
            self.stream = info["return_value"]
        if self.also is not None:
            await self.also(event, info)


@types.coroutine
def resume(steps: Any, suspended: Any) -> Generator[Any, Any, Any]:
    """Await something that was stepped once and suspended on `suspended`.

    A scheduler resumes it with None, which is just what `yield from` sends first: from then on it runs at full speed.
    """
    while True:
        thrown: BaseException | None = None
        try:
            yield suspended
        except BaseException as error:
            thrown = error
        else:
            return (yield from steps)
        try:  # out here, or whatever `steps` raises after it dealt with this would have this as its context
            suspended = steps.throw(thrown)
        except StopIteration as done:
            return done.value
        finally:
            thrown = None  # or it and this frame would keep each other


@types.coroutine
def _whole(steps: Any) -> Generator[Any, Any, Any]:
    """Await something to its end if it only pauses: what interrupts a pause is raised when it is through.

    A pause is asyncio's bare `yield`. Whoever waits for something, such as a peer that does not read, is interrupted.
    """
    held: BaseException | None = None
    thrown: BaseException | None = None
    try:
        while True:
            try:
                suspended = steps.send(None) if thrown is None else steps.throw(thrown)
            except StopIteration as done:
                if held is not None:
                    raise held from None
                return done.value
            thrown = None
            try:
                yield suspended
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:
                if suspended is None:
                    held = error
                else:
                    thrown = error
    finally:
        held = thrown = None  # or they and this frame would keep each other
