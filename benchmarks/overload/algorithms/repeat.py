"""Retries with full jitter, within a budget or without one."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

import seawall


class Budget(Protocol):
    """Whether a failed attempt may be repeated."""

    def called(self, now: float) -> None:
        """A call was made."""

    def withdraw(self, now: float) -> bool:
        """Take what a retry costs. False if there is not enough."""

    def succeeded(self, *, retried: bool) -> None:
        """A call succeeded, at once or after a retry."""


class Unlimited:
    """No budget at all."""

    def called(self, now: float) -> None: ...

    def withdraw(self, now: float) -> bool:
        return True

    def succeeded(self, *, retried: bool) -> None: ...


class FinagleBudget:
    """Retries as a share of requests, with a floor: 20 % and 10 a second, over 10 s.

    Source: Twitter Finagle, `RetryBudget` with its defaults: what is deposited or withdrawn expires after `ttl`, while
    the reserve for the floor is always there.
    """

    def __init__(self, share: float = 0.2, floor: float = 10.0, ttl: float = 10.0) -> None:
        self.share = share
        self.reserve = floor * ttl
        self.ttl = ttl
        self._entries: deque[tuple[float, float]] = deque()
        self._sum = 0.0  # in retries

    def called(self, now: float) -> None:
        self._add(now, self.share)

    def withdraw(self, now: float) -> bool:
        while self._entries and self._entries[0][0] <= now - self.ttl:
            self._sum -= self._entries.popleft()[1]
        if self._sum + self.reserve < 1:
            return False
        self._add(now, -1.0)
        return True

    def succeeded(self, *, retried: bool) -> None: ...

    def _add(self, now: float, amount: float) -> None:
        self._entries.append((now, amount))
        self._sum += amount


class TokenBucket:
    """Retries paid for by successes.

    Source: the retry quota of the AWS SDKs' "standard" mode, in its 2026 values: 500 tokens, 14 for a retry, 1 earned
    by a call that succeeds at once; a retry that succeeds gives its own back (`refund`).
    """

    def __init__(self, capacity: float, cost: float, earned: float, *, refund: bool) -> None:
        self.capacity = self.tokens = capacity
        self.cost = cost
        self.earned = earned
        self.refund = refund

    def called(self, now: float) -> None: ...

    def withdraw(self, now: float) -> bool:
        if self.tokens < self.cost:
            return False
        self.tokens -= self.cost
        return True

    def succeeded(self, *, retried: bool) -> None:
        self.tokens = min(self.capacity, self.tokens + (self.cost if retried and self.refund else self.earned))

    def snapshot(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "capacity": self.capacity}


def aws() -> TokenBucket:
    """The AWS SDKs' quota."""
    return TokenBucket(500, 14, 1, refund=True)


def tenth() -> TokenBucket:
    """One retry for ten successes, ten of them saved up at most. In whole tokens: ten times 0.1 is less than 1."""
    return TokenBucket(100, 10, 1, refund=False)


@dataclass(frozen=True, kw_only=True)
class Repeat(seawall.Policy[Budget]):
    """Repeats what fails with a 429, a 5xx or an error of the transport, up to `attempts` times in all.

    Waits for a random time up to `base` seconds, doubled each time up to `cap` (M. Brooker, "Exponential Backoff and
    Jitter", 2015). With `exact` it waits for as long as a Retry-After says, no more and no less.
    """

    attempts: int = 3
    base: float = 0.1
    cap: float = 10.0
    budget: Callable[[], Budget] = Unlimited
    exact: bool = False

    def new_state(self) -> Budget:
        return self.budget()

    async def handle(self, call: seawall.Call, state: Budget, next: seawall.Next) -> Any:
        runtime = call.runtime
        state.called(runtime.now())
        number = 1
        while True:
            response = error = None
            try:
                response = await next(call)
            except seawall.Rejected:
                raise
            except httpx.TransportError as raised:
                error = raised
            if response is not None and response.status_code < 500 and response.status_code != 429:
                state.succeeded(retried=number > 1)
                return response
            if number >= self.attempts or not state.withdraw(runtime.now()):
                if error is not None:
                    raise error
                return response
            wait = runtime.random() * min(self.cap, self.base * 2.0 ** (number - 1))
            if self.exact and response is not None and "retry-after" in response.headers:
                wait = float(response.headers["retry-after"])
            number += 1
            await runtime.sleep(wait)
