"""Runtimes: the clock, the coin, the waiting and the sending that policies may not do themselves.

A policy is a coroutine that never touches a clock or a scheduler of its own. It reaches them through
`call.runtime`, and so runs unchanged in a thread, under asyncio and on a virtual clock.
"""

from collections.abc import Awaitable, Hashable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Waiter(Protocol):
    """One wait of one call, to be woken once."""

    def wake(self) -> bool:
        """Wake it, from any thread. False if it can never run again: pass on what it was woken for."""

    async def wait(self, until: float) -> bool:
        """True once woken, False at time `until` (`inf` for no limit)."""


class Runtime(Protocol):
    """What a driver gives to policies."""

    name: str

    def now(self) -> float:
        """Monotonic seconds. Every real runtime reads the same clock, so that they can share state."""

    def random(self) -> float:
        """A float from [0, 1)."""

    def waiter(self) -> Waiter:
        """A new waiter for the current call."""

    def home(self) -> Hashable:
        """Where connections opened now live: they are no use to any other home."""

    async def sleep(self, seconds: float) -> None:
        """Pause the call. The caller has checked the deadline."""

    async def within(self, awaitable: Awaitable[T], deadline: float) -> T:
        """Await, raising `Expired` at the deadline (`inf` for none)."""

    def send(self, transport: Any, request: Any, deadline: float, line: Any) -> Any:
        """Have a transport send the request; `Expired` if the response headers are not here by the deadline.

        Returns the response if it is here at once, else a coroutine that returns it. `line` is the connection it goes
        out on where that is known, for a runtime that must cut it.
        """

    async def close(self, resource: Any) -> None:
        """Close a transport or a response stream."""

    async def drain(self, body: Any, limit: int, seconds: float) -> None:
        """Read what is left of a body if that is little and soon, then close it."""
