"""Backoff: how long to wait before another attempt, as tenacity wait strategies that draw from the runtime."""

from typing import Any

from tenacity.wait import wait_base

from . import _check

THROTTLED = frozenset({429, 503})
"""Statuses that ask for more patience than a blip."""


class full_jitter(wait_base):  # noqa: N801 - named as tenacity names its strategies
    """A random time between 0 and an exponentially growing bound.

        Retry(wait=seawall.full_jitter(base=0.5, cap=10))

    The bound is `min(cap, base * 2 ** (attempt - 1))` seconds; after a 429 or 503 it grows from `throttled` if that is
    more than `base`. Defaults: base 0.25 s, cap 20 s, throttled 1 s; each at least 0. Being a tenacity strategy it
    combines with others: `tenacity.wait_fixed(1) + full_jitter()`.

    Source: "Exponential Backoff and Jitter", M. Brooker, AWS Architecture Blog, 2015.
    """

    def __init__(self, base: float = 0.25, cap: float = 20.0, throttled: float = 1.0) -> None:
        _check.number("full_jitter", "base", base, least=0)
        _check.number("full_jitter", "cap", cap, least=0)
        _check.number("full_jitter", "throttled", throttled, least=0)
        self.base = base
        self.cap = cap
        self.throttled = throttled

    def __call__(self, retry_state: Any) -> float:
        runtime = getattr(retry_state, "runtime", None)
        if runtime is None:
            raise TypeError("full_jitter draws from Seawall's runtime: use it in seawall.Retry(wait=...)")
        outcome = retry_state.outcome
        told = not outcome.failed and getattr(outcome.result(), "status_code", None) in THROTTLED
        base = max(self.base, self.throttled) if told else self.base
        doubled: float = base * 2.0 ** min(retry_state.attempt_number - 1, 64)
        return float(min(self.cap, doubled) * runtime.random())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, full_jitter) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[float, float, float]:
        return self.base, self.cap, self.throttled

    def __repr__(self) -> str:
        return f"full_jitter(base={self.base:g}, cap={self.cap:g}, throttled={self.throttled:g})"
