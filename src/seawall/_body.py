"""Response bodies that keep what must be given back when they end.

A policy (or the pool) that keeps something for as long as a response's body is open, a slot, a
connection, a circuit's verdict, hangs a `Hold` on the body. A body ends exactly once, in one of four ways:

- "read": iterated to its end;
- "closed": closed before that, cleanly;
- "broken": an error came out of it, ours, the network's or the caller's cancellation;
- "dropped": collected without being closed, which is a bug of the caller's (ResourceWarning).

There is one class for sync and one for async iteration, because httpx tells a user who iterates the
wrong way by the class of the stream.
"""

import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

from ._call import INF, Call
from ._errors import Expired

End = Literal["read", "closed", "broken", "dropped"]


class Hold:
    """Something kept until a body ends. `settle` is called once, or `abandon` from a collector."""

    __slots__ = ("next",)
    next: "Hold | None"

    def settle(self, end: End, error: BaseException | None) -> Any:
        """Give it back. May return a list of resources for the body to close."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Give it back from `__del__`: no lock may be waited for here."""
        raise NotImplementedError


class Body:
    """What sync and async bodies share: the holds, the deadline, and what was read ahead."""

    def __init__(self, stream: Any, call: Call, extensions: dict[str, Any]) -> None:
        self.stream = stream
        self.call = call
        self.extensions = extensions
        self.deadline = INF
        self._holds: Hold | None = None
        self._ended = False
        self._ahead: list[bytes] = []
        self._iterator: Any = None

    def add(self, hold: Hold) -> None:
        """Keep one more until the body ends."""
        hold.next = self._holds
        self._holds = hold

    def _settle(self, end: End, error: BaseException | None) -> list[Any]:
        """Give back every hold, once. Returns what is to be closed."""
        self._ended = True
        hold, self._holds = self._holds, None
        leftovers: list[Any] = []
        while hold is not None:
            following = hold.next
            leftovers += hold.settle(end, error) or ()
            hold = following
        return leftovers

    def _expired(self, cause: BaseException | None) -> BaseException:
        error = self.call.timed_out("the call's deadline passed while its response body was read", "call")
        error.__cause__ = cause
        return error

    def __del__(self) -> None:
        # Collection may strike anywhere, even inside our own critical sections: only `abandon` is safe.
        hold, self._holds = self._holds, None
        if hold is None:
            return
        while hold is not None:
            following = hold.next
            hold.abandon()
            hold = following
        warnings.warn("a response was dropped without being read or closed", ResourceWarning, source=self, stacklevel=1)

    def __repr__(self) -> str:
        holds, hold = 0, self._holds
        while hold is not None:
            holds, hold = holds + 1, hold.next
        return f"<{type(self).__name__} {'ended' if self._ended else 'open'} holds={holds}>"


class AsyncBodyMixin(Body):
    """A body for `async for`."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            ahead, self._ahead = self._ahead, []
            for chunk in ahead:
                yield chunk
            iterator = self._iterator or aiter(self.stream)
            if self.deadline == INF:
                async for chunk in iterator:
                    yield chunk
            else:
                within = self.call.runtime.within
                while True:
                    try:
                        chunk = await within(anext(iterator), self.deadline)
                    except StopAsyncIteration:
                        break
                    yield chunk
        except GeneratorExit:
            raise  # the reader stopped early: it closes the response, or drops it
        except Expired as expired:
            error = self._expired(expired.__cause__)
            await self._finish("broken", error)
            raise error from expired.__cause__
        except BaseException as error:
            await self._finish("broken", error)
            raise
        await self._finish("read", None)

    async def read(self, most: int) -> bytes | None:
        """The whole body, or None if it has more than `most` bytes; then it can still be iterated from its start."""
        chunks, left, iterator = [], most, aiter(self)
        async for chunk in iterator:
            chunks.append(chunk)
            left -= len(chunk)
            if left < 0:
                self._ahead, self._iterator = chunks, iterator
                return None
        return b"".join(chunks)

    async def aclose(self) -> None:
        await self._finish("closed", None)

    async def _finish(self, end: End, error: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        try:
            await self.stream.aclose()
        except BaseException as raised:
            end, error = "broken", raised
            raise
        finally:
            for resource in self._settle(end, error):
                await self.call.runtime.close(resource)


class SyncBodyMixin(Body):
    """A body for `for`."""

    def __iter__(self) -> Iterator[bytes]:
        try:
            ahead, self._ahead = self._ahead, []
            yield from ahead
            iterator = self._iterator or iter(self.stream)
            if self.deadline == INF:
                yield from iterator
            else:
                read = self.call.runtime.read  # type: ignore[attr-defined]  # the thread runtime's
                while (chunk := read(iterator, self.deadline, self)) is not None:
                    yield chunk
        except GeneratorExit:
            raise
        except Expired as expired:
            error = self._expired(expired.__cause__)
            self._finish("broken", error)
            raise error from expired.__cause__
        except BaseException as error:
            self._finish("broken", error)
            raise
        self._finish("read", None)

    async def read(self, most: int) -> bytes | None:
        """As in `AsyncBodyMixin`; a coroutine that never suspends, since policies await it."""
        chunks, left, iterator = [], most, iter(self)
        for chunk in iterator:
            chunks.append(chunk)
            left -= len(chunk)
            if left < 0:
                self._ahead, self._iterator = chunks, iterator
                return None
        return b"".join(chunks)

    def close(self) -> None:
        self._finish("closed", None)

    def _finish(self, end: End, error: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        try:
            self.stream.close()
        except BaseException as raised:
            end, error = "broken", raised
            raise
        finally:
            for resource in self._settle(end, error):
                resource.close()
