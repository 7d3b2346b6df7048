"""ConcurrencyLimit: how many requests may be in flight, each until its body is closed."""

from collections.abc import Awaitable
from dataclasses import KW_ONLY
from typing import Any, Literal

from .. import _check
from .._call import Call
from .._policy import Gate, Key
from .._slots import Slots
from .._values import Value, value


@value
class ConcurrencyLimit(Value, Gate[Slots]):
    """Bounds requests in flight.

        ConcurrencyLimit(20)                         # per origin
        ConcurrencyLimit(5, queue=100, max_wait=2)   # at most 100 in line, none for more than 2 s

    - `limit`: at least 1.
    - `queue` (default None, unbounded): how many calls may wait in line, from 0. One more is `QueueFull` at once.
    - `max_wait` (default None): seconds, above 0, that a call may wait in line; then `WaitTooLong`.
    - `release_on` (default "body"): when a slot comes free: "body", when the response's body is read, closed or
      broken; "headers", when the response headers arrive, for streams that live long.
    - `key`, `name`: how slots are partitioned ("origin") and shared; see `Policy`.

    First come, first served within a priority; five seconds of waiting outweigh one step of priority. Calls of
    different tenants (an option) take turns.
    """

    limit: int
    _: KW_ONLY
    queue: int | None = None
    max_wait: float | None = None
    release_on: Literal["body", "headers"] = "body"
    key: Key = "origin"
    name: str | None = None

    def __post_init__(self) -> None:
        _check.integer("ConcurrencyLimit", "limit", self.limit, least=1)
        _check.integer("ConcurrencyLimit", "queue", self.queue, least=0, optional=True)
        _check.number("ConcurrencyLimit", "max_wait", self.max_wait, above=0, optional=True)
        _check.choice("ConcurrencyLimit", "release_on", self.release_on, ("body", "headers"))
        _check.key("ConcurrencyLimit", self.key)
        _check.name("ConcurrencyLimit", self.name)

    def new_state(self) -> Slots:
        return Slots(self.limit, self.queue)

    def part(self, state: Slots) -> Literal["limit"] | None:
        return "limit" if self.release_on == "body" else None

    def enter(self, call: Call, state: Slots) -> Awaitable[None] | None:
        if state.try_enter():
            return None
        until = call.deadline
        if self.max_wait is not None:
            until = min(until, call.runtime.now() + self.max_wait)
        return state.enter(call, until, owner="ConcurrencyLimit", key=state.key, flow=call.options.tenant)

    def failed(self, call: Call, state: Slots, error: BaseException) -> None:
        state.abandon()  # waits for no lock: it may be a collector that throws the call away

    def passed(self, call: Call, state: Slots, response: Any) -> None:
        if self.release_on == "headers":
            state.release()

    def keeps(self, state: Slots) -> Slots | None:
        return state if self.release_on == "body" else None
