"""Retry: sends a safe-to-repeat request again, within a budget that successes fund.

The engine is a loop of ours; the vocabulary is tenacity's. Strategies are evaluated only after an attempt whose
outcome needs a decision, `wait` before `stop`, since `stop_before_delay` reads the upcoming sleep.
"""

import threading
from collections.abc import Callable, Collection, Container
from dataclasses import KW_ONLY, field
from typing import Any

import tenacity

from .. import _check
from .._call import INF, Call
from .._errors import Rejected
from .._headers import handed_over, retry_after
from .._listeners import logger
from .._policy import Key, Methods, Repeater
from .._values import Value, value
from ..backoff import THROTTLED, full_jitter

STATUSES = frozenset({408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})
DRAIN_BYTES = 4096
DRAIN_SECONDS = 0.05


@value
class RetryBudget(Value):
    """Retries as a share of successes, so that they fade out when nothing succeeds.

        Retry(budget=RetryBudget(capacity=100))

    A bucket of `capacity` tokens, full at first. A retry after a transient failure takes `transient` tokens, one after
    a 429 or 503 takes `throttled`; each call that succeeds at once adds `success`, and a retry that succeeds gives its
    own tokens back. An empty bucket means no retry. Defaults 500, 14, 5 and 1; each at least 0, `capacity` above 0.

    Unlike a budget funded by requests, it cannot keep an overload alive. Source: the retry quota of the AWS SDKs'
    "standard" mode, in its 2026 values.
    """

    capacity: float = 500
    transient: float = 14
    throttled: float = 5
    success: float = 1

    def __post_init__(self) -> None:
        _check.number("RetryBudget", "capacity", self.capacity, above=0)
        for name in ("transient", "throttled", "success"):
            _check.number("RetryBudget", name, getattr(self, name), least=0)


class BudgetState:
    """The tokens of one key. `_lock` guards them."""

    def __init__(self, settings: RetryBudget | None) -> None:
        self.settings = settings
        self.tokens = self.capacity = INF if settings is None else settings.capacity
        self._given: list[float] = []  # and not yet added
        self.full = True
        """Whether one more success would change nothing."""
        self._lock = threading.Lock()

    def withdraw(self, status: int | None) -> float | None:
        """Pay for a retry. Returns what it cost, None if there is not enough."""
        if self.settings is None:
            return 0.0
        cost = self.settings.throttled if status in THROTTLED else self.settings.transient
        with self._lock:
            enough = self.tokens >= cost
            if enough:
                self.tokens -= cost
                self.full = self.tokens >= self.capacity
        self._drain()
        return cost if enough else None

    def deposit(self, tokens: float) -> None:
        """Give tokens, never above the capacity."""
        if self.tokens < self.capacity:
            self._given.append(tokens)
            self._drain()

    def _drain(self) -> None:
        """Who holds the lock looks after letting go of it: a collector that interrupts a holder waits for nobody."""
        while self._given and self._lock.acquire(blocking=False):
            try:
                while self._given:
                    self.tokens = min(self.capacity, self.tokens + self._given.pop())
                self.full = self.tokens >= self.capacity
            finally:
                self._lock.release()

    def succeeded(self) -> None:
        """A call succeeded at its first attempt."""
        if self.settings is not None:
            self.deposit(self.settings.success)

    def idle(self, now: float) -> bool:
        """Whether forgetting it changes nothing: a new one would be full."""
        return self.tokens >= self.capacity

    def snapshot(self) -> dict[str, Any]:
        """Plain data."""
        return {"tokens": self.tokens, "capacity": self.capacity}

    def __repr__(self) -> str:
        return f"<RetryBudget {self.tokens:g}/{self.capacity:g}>"


class RetryState(tenacity.RetryCallState):
    """tenacity's view of a call, with the runtime's clock and coin in place of its own."""

    def __init__(self, call: Call) -> None:
        super().__init__(retry_object=_RETRYING, fn=None, args=(call.request,), kwargs={})
        self.runtime = call.runtime
        self.start_time = call.trail.started

    def observe(self, number: int, response: Any, error: Exception | None) -> None:
        """One attempt's outcome."""
        self.attempt_number = number
        self.outcome = tenacity.Future(number)
        if error is None:
            self.outcome.set_result(response)
        else:
            self.outcome.set_exception(error)
        self.outcome_timestamp = self.runtime.now()


_RETRYING = tenacity.Retrying(reraise=True)


class Every:
    """All statuses, for a strategy that wants to see every outcome."""

    def __contains__(self, status: object) -> bool:
        return True


EVERY = Every()


class Tries:
    """What is remembered from one attempt of a call to the next."""

    __slots__ = ("number", "paid", "replay", "strategies")

    def __init__(self, replay: Callable[[], None] | None) -> None:
        self.replay = replay
        """Makes the request's body ready to be sent again. None: it cannot be."""
        self.number = 1
        self.paid = 0.0
        self.strategies: RetryState | None = None


@value
class Retry(Value, Repeater[BudgetState]):
    """Repeats failed attempts of a request that is safe to repeat.

        Retry()                                               # 4 attempts in all, full jitter
        Retry(3, wait=tenacity.wait_fixed(1), statuses={503})
        Retry(stop=tenacity.stop_after_delay(10), budget=None)

    - `attempts` (default 4, at least 1): includes the first.
    - `wait` (default `full_jitter()`): any tenacity wait strategy, or a function of tenacity's retry state; seconds.
    - `stop` (default None): any tenacity stop strategy, on top of `attempts`.
    - `retry` (default None): any tenacity retry strategy; sees every outcome and takes the place of `statuses`.
    - `statuses`: what counts as failed (default 408, 429, 500, 502-504, 520-524, 529).
    - `methods`: what may be repeated (default GET, HEAD, OPTIONS, TRACE, PUT, DELETE, QUERY). A 429, or a connection
      that was never made, permits any method; so do an `Idempotency-Key` header and the option `idempotent=True`.
    - `max_retry_after` (default 60 s, at least 0): a Retry-After above it is not waited for: that response is returned.
    - `budget` (default `RetryBudget()`, or None): kept per key, with this policy.
    - `key`, `name`: how budgets are partitioned ("origin") and shared; see `Policy`.

    The last response or exception is always the real one; `seawall.report(...)` tells why it was the last.
    Never repeated: a cancelled call, what Seawall itself rejected, upgrades and event streams, a body that cannot
    be replayed.
    """

    attempts: int = 4
    _: KW_ONLY
    wait: Callable[[Any], float] = field(default_factory=full_jitter)
    stop: Callable[[Any], bool] | None = None
    retry: Callable[[Any], bool] | None = None
    statuses: Collection[int] = STATUSES
    methods: Methods = METHODS
    max_retry_after: float = 60.0
    budget: RetryBudget | None = field(default_factory=RetryBudget)
    key: Key = "origin"
    name: str | None = None

    def __post_init__(self) -> None:
        _check.integer("Retry", "attempts", self.attempts, least=1)
        for name in ("wait", "stop", "retry"):
            if (strategy := getattr(self, name)) is not None or name == "wait":
                _check.synchronous("Retry", name, strategy)
        object.__setattr__(self, "statuses", _check.codes("Retry", "statuses", self.statuses))
        object.__setattr__(self, "methods", _check.methods("Retry", "methods", self.methods))
        _check.number("Retry", "max_retry_after", self.max_retry_after, least=0)
        if self.budget is not None and not isinstance(self.budget, RetryBudget):
            raise TypeError(f"Retry: budget must be a RetryBudget or None, not {self.budget!r}")
        _check.key("Retry", self.key)
        _check.name("Retry", self.name)

    def new_state(self) -> BudgetState:
        return BudgetState(self.budget)

    @property
    def doubtful(self) -> Container[int]:
        return self.statuses if self.retry is None else EVERY

    def remember(self, call: Call) -> Tries:
        return Tries(call.family.replay(call.request))

    def succeeded(self, state: BudgetState, tries: Tries | None) -> None:
        if tries is None or tries.number == 1:
            state.succeeded()
        else:
            state.deposit(tries.paid)

    def cancelled(self, state: BudgetState, tries: Tries | None) -> None:
        if tries is not None:  # what the retry took was not used up by a failure
            state.deposit(tries.paid)

    async def again(
        self, call: Call, state: BudgetState, tries: Tries | None, response: Any, error: Exception | None
    ) -> Tries | None:
        if tries is None:
            tries = self.remember(call)
        number = tries.number
        strategies = tries.strategies = tries.strategies or RetryState(call)
        strategies.observe(number, response, error)
        if response is not None:
            asked = retry_after(response.headers)
        else:  # an answer may have told before its body broke
            asked = call.trail.attempts[-1][5] if call.trail.attempts else None
        try:
            failed = self._failed(call, strategies, response, error)
            reason, wait = self._decide(call, tries, response, error, asked) if failed else (None, 0.0)
        except BaseException:  # a strategy raised: nobody else knows of the response
            if response is not None:
                await call.runtime.close(call.body(response))
            raise
        if not failed:
            if error is not None:
                raise error
            self.succeeded(state, tries)
            return None
        if asked is not None and call.trail.attempts:
            call.trail.attempts[-1] = (*call.trail.attempts[-1][:5], asked)
        if reason is None:
            cost = state.withdraw(None if response is None else response.status_code)
            reason = "budget" if cost is None else None
        if reason is not None:
            self._give_up(call, number, reason, error)
            return None
        assert cost is not None
        tries.paid, tries.number = cost, number + 1
        _forget_frames(error)
        try:
            await self._prepare(call, tries, wait, response, error)
        except BaseException:
            state.deposit(cost)
            raise
        return tries

    def _failed(self, call: Call, strategies: RetryState, response: Any, error: Exception | None) -> bool:
        """Whether this outcome asks for another attempt, all else aside."""
        if isinstance(error, Rejected) or (response is not None and handed_over(response)):
            return False
        if self.retry is not None:
            return bool(_plain(self.retry(strategies), self.retry))
        if error is not None:
            return bool(call.family.failed(error))
        return response.status_code in self.statuses

    def _decide(
        self,
        call: Call,
        tries: Tries,
        response: Any,
        error: Exception | None,
        asked: float | None,
    ) -> tuple[str | None, float]:
        """Why not to go on, or None and how long to wait first."""
        strategies = tries.strategies
        assert strategies is not None
        if tries.number >= self.attempts:
            return "attempts", 0.0
        if not self._repeatable(call, response, error):
            return "method", 0.0
        if tries.replay is None:
            return "body", 0.0
        if asked is not None and asked > self.max_retry_after:
            return "retry-after", 0.0
        wait = 0.0 if _died_idle(call, error) else self._wait(strategies, asked)
        strategies.upcoming_sleep = wait
        strategies.idle_for += wait
        if self.stop is not None and _plain(self.stop(strategies), self.stop):
            return "stop", 0.0
        if call.runtime.now() + wait >= call.deadline:
            return "deadline", 0.0
        return None, wait

    def _repeatable(self, call: Call, response: Any, error: Exception | None) -> bool:
        """Whether sending it again can do no harm."""
        idempotent = call.options.idempotent
        if idempotent is not None:
            return idempotent or _not_sent(call, response, error)
        request = call.request
        return (
            request.method in self.methods or "idempotency-key" in request.headers or _not_sent(call, response, error)
        )

    def _wait(self, strategies: RetryState, asked: float | None) -> float:
        wait = max(0.0, float(_plain(self.wait(strategies), self.wait)))
        if asked is None:
            return wait
        # what the server asks for is a floor, and jitter is only added
        return max(wait, asked) + strategies.runtime.random() * min(wait, asked)

    async def _prepare(
        self,
        call: Call,
        tries: Tries,
        wait: float,
        response: Any,
        error: Exception | None,
    ) -> None:
        """Free the connection, wait, and rewind the body."""
        failed = tries.number - 1
        status = None if response is None else response.status_code
        failure = status if error is None else type(error).__name__  # what an error says may quote a header
        logger.debug("attempt %d at %s failed (%s); next in %.3g s", failed, call.key, failure, wait)
        if call.chain.listeners:
            from .._events import RetryScheduled

            call.emit(
                RetryScheduled(
                    endpoint=call.endpoint, key=call.key, attempt=failed, wait=wait,
                    status=status, error=None if error is None else type(error).__name__,
                )
            )  # fmt: skip
        runtime = call.runtime
        now = runtime.now()
        due = now + wait
        if response is not None and not response.is_closed:
            # part of the wait, so that the next attempt starts when it was decided to, before the deadline
            await runtime.drain(call.body(response), DRAIN_BYTES, min(DRAIN_SECONDS, call.deadline - now))
            now = runtime.now()
        if now < due:
            await runtime.sleep(due - now)
        if tries.replay is not None:
            tries.replay()
        call.waited = wait

    def _give_up(self, call: Call, number: int, reason: str, error: Exception | None) -> None:
        """The last outcome is the answer."""
        call.trail.gave_up = reason
        level = logger.warning if reason == "budget" else logger.debug
        level("gave up on %s after attempt %d: %s", call.key, number, reason)
        if call.chain.listeners:
            from .._events import GaveUp

            call.emit(GaveUp(endpoint=call.endpoint, key=call.key, attempt=number, reason=reason))
        if error is not None:
            error.add_note(f"seawall: not retried after attempt {number} of at most {self.attempts}: {reason}")
            raise error


def _not_sent(call: Call, response: Any, error: Exception | None) -> bool:
    """Whether the server provably did nothing: it refused the request, or no connection was made."""
    if response is not None:
        return bool(response.status_code == 429)
    return bool(call.family.not_sent(error))


def _died_idle(call: Call, error: Exception | None) -> bool:
    """A kept-alive connection that the server had closed meanwhile: no reason to back off."""
    if not (call.reused and isinstance(error, call.family.disconnected)):
        return False
    _, _, status, *_ = call.trail.attempts[-1]
    return status is None  # what broke in the middle of an answer was alive when it went out


def _plain(value: Any, strategy: object) -> Any:
    """What a strategy said, unless it wants to be awaited."""
    if hasattr(value, "__await__"):
        value.close()
        raise TypeError(f"Retry: {strategy!r} is asynchronous; tenacity's plain strategies and functions are allowed")
    return value


def _forget_frames(error: BaseException | None) -> None:
    """A report keeps the errors of attempts; with their frames it would keep what those hold, a later answer too."""
    found = [error]
    for one in found:
        if one is not None:
            one.__traceback__ = None
            found += [other for other in (one.__cause__, one.__context__) if other not in found]
