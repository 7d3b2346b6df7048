"""CircuitBreaker: stops calling what is failing, and finds out when it works again."""

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Any, Literal

import pybreaker

from .. import _check
from .._admission import Admission, Verdict, judged
from .._call import Call
from .._circuit import CircuitState
from .._headers import retry_after
from .._policy import Gate, Key
from .._values import Value, value

FAILED = frozenset({500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses that say the server fails."""
NEUTRAL = frozenset({408, 429})
"""Statuses that say nothing about whether it works: a slow client, a client that asks too much."""


@value
class CircuitBreaker(Value, Gate[CircuitState]):
    """Rejects calls to what is failing.

        CircuitBreaker()                                # opens at 50 % failures of at least 20 calls in 10 s
        CircuitBreaker(consecutive=5, open_for=2)       # or after 5 failures in a row
        CircuitBreaker(slow_call=1.0, slow_rate=0.8)    # or when 80 % take longer than 1 s

    - `failure_rate` (default 0.5, above 0 to 1): the share of failed calls at which it opens.
    - `minimum_calls` (default 20, at least 1): how many calls of the window a rate needs to be believed.
    - `window` (default 10 s, above 0): over how long rates are taken.
    - `consecutive` (default None, at least 1): opens after this many failures in a row as well.
    - `slow_call` (default None, seconds above 0), `slow_rate` (default 1.0, above 0 to 1): opens at this share of calls
      slower than that, from sending to response headers.
    - `open_for` (default 5 s, above 0) jittered by 20 %, doubling with each failed probe up to `max_open_for`
      (default 300 s, at least `open_for`). A 503's Retry-After may make it longer, within that bound.
    - `probes` (default 1, at least 1): calls let through at once when half-open; it closes when that many succeeded.
    - `shadow` (default False): counts and reports but never rejects.
    - `listeners` (default none): `pybreaker.CircuitBreakerListener`s, told of state changes.
    - `key`, `name`: how circuits are partitioned ("origin") and shared; see `Policy`.

    Failures are connect, read, write and protocol errors of the server, attempt timeouts, the statuses 500, 502-504,
    520-524 and 529, and a body that breaks. Cancellations, local rejections and waits, 408 and 429 count for
    nothing. Rejected calls raise `CircuitOpen` with `retry_after`.
    """

    _: KW_ONLY
    failure_rate: float = 0.5
    minimum_calls: int = 20
    window: float = 10.0
    consecutive: int | None = None
    slow_call: float | None = None
    slow_rate: float = 1.0
    open_for: float = 5.0
    max_open_for: float = 300.0
    probes: int = 1
    shadow: bool = False
    listeners: Sequence[pybreaker.CircuitBreakerListener] = ()
    key: Key = "origin"
    name: str | None = None

    def __post_init__(self) -> None:
        owner = "CircuitBreaker"
        _check.number(owner, "failure_rate", self.failure_rate, above=0, most=1)
        _check.integer(owner, "minimum_calls", self.minimum_calls, least=1)
        _check.number(owner, "window", self.window, above=0)
        _check.integer(owner, "consecutive", self.consecutive, least=1, optional=True)
        _check.number(owner, "slow_call", self.slow_call, above=0, optional=True)
        _check.number(owner, "slow_rate", self.slow_rate, above=0, most=1)
        _check.number(owner, "open_for", self.open_for, above=0)
        _check.number(owner, "max_open_for", self.max_open_for, least=self.open_for)
        _check.integer(owner, "probes", self.probes, least=1)
        _check.flag(owner, "shadow", self.shadow)
        kind = "pybreaker.CircuitBreakerListener objects"
        object.__setattr__(self, "listeners", _check.collection(owner, "listeners", self.listeners, kind))
        for listener in self.listeners:
            if not isinstance(listener, pybreaker.CircuitBreakerListener):
                raise TypeError(f"{owner}: listeners must be {kind}, not {listener!r}")
        _check.key(owner, self.key)
        _check.name(owner, self.name)

    def new_state(self) -> CircuitState:
        return CircuitState(self)

    def part(self, state: CircuitState) -> Literal["circuit"] | None:
        return "circuit" if self.slow_call is None else None

    @property
    def notable(self) -> frozenset[int]:
        return FAILED | NEUTRAL

    def enter(self, call: Call, state: CircuitState) -> None:
        call.guard = state.admit(call)

    def failed(self, call: Call, state: CircuitState, error: BaseException) -> None:
        admission: Any = call.guard  # the innermost guard of a call that comes back to us is ours
        call.guard = admission.outer
        if isinstance(error, GeneratorExit):  # thrown away by a collector, which may wait for no lock
            admission.abandon()
        else:
            self._report(call, state, admission, judged(call, admission, error))

    def passed(self, call: Call, state: CircuitState, response: Any) -> Admission | None:
        admission: Any = call.guard
        call.guard = admission.outer
        status = response.status_code
        if status in FAILED:
            asked = retry_after(response.headers) if status == 503 else None
            self._report(call, state, admission, "failure", asked)
        elif status in NEUTRAL:
            self._report(call, state, admission, "neutral")
        else:  # the verdict is its body's
            now = call.runtime.now()
            if self.slow_call is not None:
                admission.slow = self._slow(admission, now)
            state.await_body(admission, call, now)
            return admission  # type: ignore[no-any-return]
        return None

    def _report(
        self,
        call: Call,
        state: CircuitState,
        admission: Admission,
        verdict: Verdict,
        asked: float | None = None,
    ) -> None:
        now = call.runtime.now()
        admission.slow = self._slow(admission, now)
        state.report(admission, verdict, now, call.runtime.random, asked)

    def _slow(self, admission: Admission, now: float) -> bool:
        sent_at = admission.sent_at
        return self.slow_call is not None and sent_at is not None and now - sent_at >= self.slow_call
