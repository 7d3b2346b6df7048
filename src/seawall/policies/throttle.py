"""Throttle: how many requests may start per second, and pauses when the server asks for one."""

import sys
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, field
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from .. import _check
from .._call import Call
from .._errors import OptionError
from .._policy import Gate, Key
from .._rate import LeakyBucket, SlidingWindow, StrictWindow, Unlimited
from .._throttle import LimiterState, ThrottleState, line_up, wake
from .._values import Value, value
from ..backoff import THROTTLED

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


@value
class Throttle(Value, Gate[Any]):
    """Bounds how many requests start per second, and follows what the server says.

        Throttle(10)                            # never more than 10 starts in any window of 1 s
        Throttle(100, per=60, strict=True)      # a quota, as the server counts it
        Throttle(10, burst=1)                   # evenly paced, every 100 ms
        Throttle(AsyncLimiter(10, 1))           # an aiolimiter of your own, asyncio only
        Throttle(None)                          # no rate; waits when the server says so

    - `rate`: above 0, starts (units of `cost`) per `per` seconds; below 1 it means one per `per/rate` seconds.
    - `per` (default 1 s, above 0).
    - `burst` (default None): None keeps an exact sliding window; a number of at least 1 is a leaky bucket (GCRA) of
      that size: 1 is evenly paced, `burst=rate` is aiolimiter's schedule.
    - `max_wait` (default None): seconds, above 0; a wait known to be longer is `WaitTooLong` at once.
    - `follow_server` (default True): a 429 or 503 with Retry-After, or rate-limit headers that say nothing is left,
      pause every call of the key, for at most 60 s; then calls restart spaced, not all at once. When less than a tenth
      of a quota is left, what is left is spread until its reset.
    - `strict` (default False, windows only): a start counts until `per` seconds after its response headers, so the
      server's window never sees more either.
    - `key`, `name`: how rates are partitioned ("origin"; "client" for an AsyncLimiter) and shared; see `Policy`.

    First come, first served within a priority. A `cost` option that can never fit is an `OptionError`.
    """

    rate: "float | AsyncLimiter | None"
    per: float = 1.0
    _: KW_ONLY
    burst: float | None = None
    max_wait: float | None = None
    follow_server: bool = True
    strict: bool = False
    key: Key = field(default="origin")
    name: str | None = None

    def __post_init__(self) -> None:
        limiter = _is_limiter(self.rate)
        if limiter:
            object.__setattr__(self, "key", "client")  # the limiter is one, so is the line before it
        else:
            _check.number("Throttle", "rate", self.rate, above=0, optional=True)
        _check.number("Throttle", "per", self.per, above=0)
        _check.number("Throttle", "burst", self.burst, least=1, optional=True)
        _check.number("Throttle", "max_wait", self.max_wait, above=0, optional=True)
        _check.flag("Throttle", "follow_server", self.follow_server)
        _check.flag("Throttle", "strict", self.strict)
        if self.burst is not None and (limiter or self.rate is None):
            raise ValueError(f"Throttle: burst goes with a rate of Throttle's own, not with {self.rate!r}")
        if self.strict and (limiter or self.rate is None or self.burst is not None):
            raise ValueError("Throttle: strict goes with a rate and without burst: it counts an exact window")
        _check.key("Throttle", self.key)
        _check.name("Throttle", self.name)

    def unsupported(self, driver: str) -> str | None:
        if _is_limiter(self.rate) and driver == "sync":
            return (
                "an AsyncLimiter belongs to asyncio and cannot wait in a sync client; give Throttle(rate, per) instead"
            )
        return None

    def new_state(self) -> Any:
        rate: Any = self.rate
        per = self.per
        if _is_limiter(rate):
            return LimiterState(rate)
        if rate is None:
            return ThrottleState(Unlimited())
        if rate < 1:
            rate, per = 1.0, per / rate
        if self.burst is not None:
            return ThrottleState(LeakyBucket(rate, per, self.burst))
        return ThrottleState(StrictWindow(rate, per) if self.strict else SlidingWindow(rate, per))

    def part(self, state: ThrottleState) -> Literal["rate"] | None:
        return "rate" if type(state) is ThrottleState and not self.strict else None

    @property
    def notable(self) -> AbstractSet[int]:
        return THROTTLED if self.follow_server else frozenset()

    def enter(self, call: Call, state: ThrottleState) -> Awaitable[None] | None:
        cost = call.options.cost
        if state.try_start(call.runtime.now(), cost):
            return None
        if cost > state.engine.most:
            raise OptionError(
                f"option cost of {cost:g} can never fit {self!r}; it must be at most {state.engine.most:g}"
            )
        return self._wait(call, state, cost, LimiterState.acquire if isinstance(state, LimiterState) else line_up)

    def passed(self, call: Call, state: ThrottleState, response: Any) -> None:
        if self.strict:
            self._land(call, state)
        if not self.follow_server:
            return
        if response.status_code not in THROTTLED:
            state.until_look -= 1
            if state.until_look > 0 or not state.looks(response.headers):
                return
        seconds = state.heed(call.runtime.now(), response.headers, response.status_code)
        state._drain()
        if seconds is not None and call.chain.listeners:
            from .._events import Paused

            call.emit(Paused(endpoint=call.endpoint, key=state.key, seconds=seconds))

    def failed(self, call: Call, state: ThrottleState, error: BaseException) -> None:
        if self.strict and isinstance(error, GeneratorExit):
            state.abandon((call.runtime.now(), call.options.cost))
        elif self.strict:
            self._land(call, state)

    def _land(self, call: Call, state: ThrottleState) -> None:
        wake(state, state.land(call.runtime.now(), call.options.cost))

    async def _wait(self, call: Call, state: Any, cost: float, wait: Callable[..., Awaitable[None]]) -> None:
        arrived = call.runtime.now()
        until = call.deadline if self.max_wait is None else min(call.deadline, arrived + self.max_wait)
        try:
            await wait(state, call, cost, until)
        finally:
            call.trail.add_throttled(call.runtime.now() - arrived)


def _is_limiter(rate: object) -> "TypeGuard[AsyncLimiter]":
    """Whether a rate is an aiolimiter. Who gives one has imported it; for others it would cost 20 ms, with asyncio."""
    aiolimiter = sys.modules.get("aiolimiter")
    return aiolimiter is not None and isinstance(rate, aiolimiter.AsyncLimiter)
