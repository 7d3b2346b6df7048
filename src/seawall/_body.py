"""Response bodies that keep what must be given back when they end.

A policy (or the pool) that keeps something for as long as a response's body is open, a slot, a
connection, a circuit's verdict, hangs a `Hold` on the body. A body ends exactly once, in one of four ways:

- "read": iterated to its end;
- "closed": closed before that, cleanly;
- "broken": an error came out of it, ours, the network's or the caller's cancellation;
- "dropped": collected without being closed, which is a bug of the caller's (ResourceWarning), or together with the
  coroutine that would have closed it.

There is one class for sync and one for async iteration, because httpx tells a user who iterates the
wrong way by the class of the stream.
"""

import types
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Literal, Protocol

from ._call import INF, Call
from ._errors import Expired
from .runtime._awaiting import let_go, thrown_away

End = Literal["read", "closed", "broken", "dropped"]


@types.coroutine
def _nothing() -> Iterator[None]:
    yield


OVER = _nothing()
"""Awaits to nothing at once: a generator that has ended, which costs less than any object with an `__await__`."""
for _ in OVER:
    pass


def _step_of_a_generator() -> type:
    async def generator() -> AsyncIterator[None]:
        return
        yield

    step: Any = anext(generator())
    with suppress(StopAsyncIteration):
        step.send(None)  # or it would warn that nobody awaited it
    return type(step)


STEPPED = {types.CoroutineType, _step_of_a_generator()}
"""What can be stepped as it is, nearly always: to ask for the type is cheaper than to ask for a method."""


class Ended:
    """What there is left to iterate of a body that was read."""

    def __next__(self) -> bytes:
        raise StopIteration

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


ENDED = Ended()


class Hold(Protocol):
    """Something kept until a body ends. `settle` is called once, or `abandon` from a collector."""

    def settle(self, call: Call, end: End, error: BaseException | None) -> list[Any] | None:
        """Give it back. May return resources for the body to close."""

    def abandon(self) -> None:
        """Give it back from `__del__`: no lock may be waited for here."""


class Body:
    """What sync and async bodies share: the holds, the deadline, and what was read ahead."""

    stream: Any
    call: Any  # a Call, until it was read to its end
    extensions: dict[str, Any]
    """The response's."""
    deadline = INF
    wire: Any = None
    """What a runtime that cannot interrupt watches while the body is read."""
    _holds: list[Hold] | None = None  # the outermost first; None once it has ended
    _iterator: Any = None
    _ahead: list[bytes] | None = None

    def add(self, call: Call, holds: list[Hold]) -> None:
        """Keep more until the body ends, of policies further out."""
        if self._holds is None:
            self._settle(call, holds, "read", None)
        else:
            self._holds[:0] = holds

    def _settle(self, call: Call, holds: list[Hold], end: End, error: BaseException | None) -> list[Any] | None:
        """Give back every hold, the outermost first. Returns what is to be closed."""
        if end == "read":  # httpx ties response and body in a cycle: what hangs on it would stay for long
            self.stream = self._iterator = ENDED
            self.call = None
            self.deadline = INF
        elif end == "dropped":
            for hold in holds:
                hold.abandon()
            return None
        leftovers = None
        for hold in holds:
            closing = hold.settle(call, end, error)
            if closing:
                leftovers = closing if leftovers is None else leftovers + closing
        return leftovers

    def _expired(self) -> BaseException:
        error: BaseException = self.call.timed_out(
            "the call's deadline passed while its response body was read", "call"
        )
        return error

    def __del__(self) -> None:
        # Collection may strike anywhere, even inside our own critical sections: only `abandon` is safe.
        if not self._holds:
            return
        for hold in self._holds:
            hold.abandon()
        warnings.warn("a response was dropped without being read or closed", ResourceWarning, source=self, stacklevel=1)

    def __repr__(self) -> str:
        ended = self._holds is None
        return f"<{type(self).__name__} {'ended' if ended else 'open'} holds={len(self._holds or ())}>"


async def close_all(resources: list[Any], runtime: Any) -> None:
    """Close every one of them, whatever cancels or breaks the closing of another."""
    failure: BaseException | None = None
    left = iter(resources)
    for resource in left:
        try:
            await runtime.close(resource)
        except GeneratorExit:
            for unclosed in left:
                let_go(unclosed)
            raise
        except BaseException as error:
            failure = error
    if failure is not None:
        raise failure


class AsyncBodyMixin(Body):
    """A body for `async for`.

    An iterator rather than an async generator: asyncio books each generator into a weak set, which costs more than all
    the rest of a body.
    """

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._iterator is None:
            self._iterator = aiter(self.stream)
        return self

    async def __anext__(self) -> bytes:
        if self._ahead:
            return self._ahead.pop(0)
        deadline = self.deadline
        try:
            if deadline == INF:
                return await self._iterator.__anext__()  # type: ignore[no-any-return]
            runtime: Any = self.call.runtime
            if runtime.now() >= deadline:
                raise Expired  # or a server faster than its reader could go on for ever
            step = self._iterator.__anext__()
            if type(step) not in STEPPED and not hasattr(step, "send"):
                step = step.__await__()
            try:
                suspended = step.send(None)
            except StopIteration as done:  # a chunk that is here already needs no timer
                return done.value  # type: ignore[no-any-return]
            return await runtime.rest(step, suspended, deadline)  # type: ignore[no-any-return]
        except StopAsyncIteration:
            holds, self._holds = self._holds, None
            if holds is not None:  # as `_finish`, without the coroutine
                call = self.call
                try:
                    await self.stream.aclose()
                except BaseException as raised:
                    await self._give_back(holds, "broken", raised)
                    raise
                leftovers = self._settle(call, holds, "read", None)
                if leftovers is not None:
                    await close_all(leftovers, call.runtime)
            raise
        except GeneratorExit:
            raise  # the reader itself is being thrown away: nothing can be awaited any more
        except Expired as expired:
            error = self._expired()
            await self._finish("broken", error)
            raise error from expired.__cause__
        except BaseException as error:
            await self._finish("broken", error)
            raise

    async def read(self, most: int) -> bytes | None:
        """The whole body, or None if it has more than `most` bytes; then it can still be iterated from its start."""
        chunks, left = [], most
        try:
            async for chunk in self:
                chunks.append(chunk)
                left -= len(chunk)
                if left < 0:
                    self._ahead = chunks
                    return None
        except GeneratorExit:  # nobody else knows of the response yet
            await self._finish("dropped", None)
            raise
        return b"".join(chunks)

    def aclose(self) -> Any:  # awaited; not a coroutine function, since nearly every body has ended before
        return OVER if self._holds is None else self._finish("closed", None)

    async def _finish(self, end: End, error: BaseException | None) -> None:
        """It ends before its end."""
        holds, self._holds = self._holds, None
        if holds is None:
            return
        if thrown_away():
            self._settle(self.call, holds, "dropped", None)
            let_go(self.stream)
            return
        runtime: Any = self.call.runtime
        try:
            iterator = self._iterator
            if isinstance(iterator, types.AsyncGeneratorType) and not iterator.ag_running:
                try:  # left half-way it would be ended by the scheduler: later, elsewhere, and by trio with a warning
                    await runtime.hang_up(iterator)
                finally:
                    await runtime.hang_up(self.stream)
            else:
                await runtime.hang_up(self.stream)
        except BaseException as raised:
            end, error = "broken", raised
            raise
        finally:
            await self._give_back(holds, end, error)

    async def _give_back(self, holds: list[Hold], end: End, error: BaseException | None) -> None:
        leftovers = self._settle(self.call, holds, "dropped" if thrown_away() else end, error)
        if leftovers is not None:
            await close_all(leftovers, self.call.runtime)


class SyncBodyMixin(Body):
    """A body for `for`."""

    def __iter__(self) -> Iterator[bytes]:
        if self._iterator is None:
            self._iterator = iter(self.stream)
        return iter(self._next, None)  # has no `close`, which a collector that ends a `yield from` would call

    def _next(self) -> bytes | None:
        """The next piece; None at the end, which costs a third of an exception that is passed on."""
        if self._ahead:
            return self._ahead.pop(0)
        try:
            if self.deadline == INF:
                piece: bytes | None = next(self._iterator, None)
            else:
                piece = self.call.runtime.read(self._iterator, self.deadline, self)
            if piece is None:
                self._finish("read", None)
            return piece
        except Expired as expired:
            error = self._expired()
            self._finish("broken", error)
            raise error from expired.__cause__
        except BaseException as error:
            self._finish("broken", error)
            raise

    async def read(self, most: int) -> bytes | None:
        """As in `AsyncBodyMixin`; a coroutine that never suspends, since policies await it."""
        chunks, left = [], most
        for chunk in self:
            chunks.append(chunk)
            left -= len(chunk)
            if left < 0:
                self._ahead = chunks
                if self.wire is not None:
                    self._unwatch()  # what follows may have another deadline, or none
                return None
        return b"".join(chunks)

    def close(self) -> None:
        self._finish("closed", None)

    def _finish(self, end: End, error: BaseException | None) -> None:
        holds = self._holds
        if holds is None:
            return
        self._holds = None
        if self.wire is not None:
            self._unwatch()
        if thrown_away():
            end = "dropped"
        try:
            self.stream.close()
        except BaseException as raised:
            end, error = "broken", raised
            raise
        finally:
            for resource in self._settle(self.call, holds, end, error) or ():
                resource.close()

    def _unwatch(self) -> None:
        self.call.runtime.forget(self.wire)
        self.wire = None
