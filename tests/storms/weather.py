"""Cases at random. Times are multiples of a quarter of a second, so that things happen at once as often as not."""

from dataclasses import replace
from typing import Any

import httpx
from hypothesis import strategies as st

from seawall import (
    CircuitBreaker,
    ConcurrencyLimit,
    IdempotencyKey,
    Policy,
    ReadBody,
    Retry,
    RetryBudget,
    Throttle,
    Timeout,
    full_jitter,
)

from .case import Answer, Case, Cut, Fixed, Visit

KEYS = st.sampled_from(["origin", "origin", "client"])
STATUSES = [503, 200, 200, 404, 408, 429, 500, 503]
ERRORS = [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError]


def times(*seconds: float) -> st.SearchStrategy[Any]:
    return st.sampled_from(seconds)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def some(**given: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these, or none."""
    return st.fixed_dictionaries({}, optional=given)


# -- policies

retries = st.builds(
    Retry,
    st.sampled_from([3, 2, 4, 1]),
    wait=st.sampled_from([Fixed(0), Fixed(0.25), Fixed(1), full_jitter(base=1, cap=4)]),
    statuses=st.sampled_from([frozenset({503}), frozenset({429, 500, 503}), frozenset({404, 408, 429, 500, 503})]),
    methods=st.sampled_from([frozenset({"GET", "PUT"}), frozenset({"GET"})]),
    max_retry_after=times(60.0, 60.0, 0.5),
    budget=maybe(st.builds(RetryBudget, times(500, 10, 20), transient=times(14, 5), throttled=times(5, 10))),
    key=KEYS,
)
breakers = st.builds(
    CircuitBreaker,
    failure_rate=times(0.5, 1.0),
    minimum_calls=st.integers(1, 4),
    window=times(1.0, 10.0),
    consecutive=maybe(st.integers(1, 2)),
    slow_call=maybe(times(0.25, 1.0)),
    open_for=times(0.5, 1.0, 5.0),
    probes=st.integers(1, 2),
    shadow=st.sampled_from([False, False, False, True]),
    key=KEYS,
)
limits = st.builds(
    ConcurrencyLimit,
    st.integers(1, 3),
    queue=maybe(st.integers(0, 2)),
    max_wait=maybe(times(0.25, 1.0)),
    release_on=st.sampled_from(["body", "body", "headers"]),
    key=KEYS,
)
windows = st.builds(
    Throttle,
    st.sampled_from([None, 1, 2, 3, 0.5]),
    times(0.5, 1.0, 2.0),
    max_wait=maybe(times(0.5, 2.0)),
    follow_server=st.booleans(),
    key=KEYS,
)
stricts = st.builds(Throttle, st.integers(1, 3), times(0.5, 1.0), strict=st.just(True), key=KEYS)
buckets = st.builds(Throttle, st.integers(1, 3), times(0.5, 1.0), burst=times(1, 1.5, 2), key=KEYS)
readers = st.builds(ReadBody, times(5, 100), chunked=st.booleans())
totals = st.builds(Timeout, times(30, 8, 3.5, 2, 1), body=st.booleans())
attempts = st.builds(Timeout, times(0.25, 0.5, 0.75))


KINDS: dict[str, st.SearchStrategy[Policy[Any]]] = {
    "total": totals,
    "key": st.builds(IdempotencyKey),
    "retry": retries,
    "breaker": breakers,
    "limit": limits,
    "throttle": windows | stricts | buckets,
    "reader": readers,
    "attempt": attempts,
}
INNER = ("breaker", "limit", "throttle", "reader")


@st.composite
def stacks(draw: st.DrawFn, always: tuple[str, ...]) -> tuple[Policy[Any], ...]:
    """Policies in the recommended order, but for the inner ones, which stand anyhow."""
    drawn = {name: draw(kind if name in always else maybe(kind)) for name, kind in KINDS.items()}
    inner = draw(st.permutations(INNER)) if draw(st.booleans()) else INNER
    order = ("total", "key", "retry", *inner, "attempt")
    return tuple(drawn[name] for name in order if drawn[name] is not None) or (draw(limits),)


# -- the server, and those who call it

replies = st.builds(
    Answer,
    status=st.sampled_from(STATUSES),
    after=times(0.0, 0.25, 0.5, 0.98),
    retry_after=st.sampled_from([None, 1.0, 2.0, None, 0.0, 90.0]),
    chunks=st.integers(1, 3),
    every=times(0.0, 0.02, 0.25),
    breaks=st.sampled_from([False, False, False, True]),
)
answers = replies | replies | st.builds(Answer, error=st.sampled_from(ERRORS), after=times(0.0, 0.25, 1.0))
cuts = st.builds(
    Cut,
    how=st.sampled_from(["cancel", "timeout"]),
    when=st.sampled_from(["waiting", "woken"]),
    number=st.integers(1, 12),
) | st.builds(Cut, after=times(0.0, 0.25, 0.5, 0.75, 1.0, 2.0))
options = some(
    timeout=times(0.5, 1.0, 4.0),
    deadline=times(1.0, 2.0, 5.0),
    priority=st.integers(-1, 1),
    cost=st.just(1) | st.just(0.5),
    idempotent=st.booleans(),
    skip=st.sampled_from(["retry", "throttle", "concurrencylimit", "circuitbreaker", "timeout"]).map(lambda s: (s,)),
    tenant=st.sampled_from(["x", "y"]),
)
visits = st.builds(
    Visit,
    at=times(0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0),
    method=st.sampled_from(["GET", "GET", "GET", "POST", "PUT"]),
    host=st.sampled_from([0, 0, 0, 1, 2]),
    client=st.integers(0, 1),
    body=st.sampled_from(["", "", "", "bytes", "file", "replayed", "once"]),
    reading=st.sampled_from(["read", "read", "stream", "leave", "linger", "drop"]),
    pause=times(0.0, 0.25, 1.0),
    headers=st.just({}) | st.just({"Idempotency-Key": "own"}),
    options=st.just({}) | options,
    cut=st.none() | st.none() | cuts,
)


@st.composite
def cases(draw: st.DrawFn, always: tuple[str, ...] = (), hosts: int = 3, bad: int = 1, keys: int = 100) -> Case:
    """A storm whose stack has these policies, and others. The more `bad`, the more of the answers fail."""
    calls = draw(st.lists(visits, min_size=1, max_size=8))
    return Case(
        policies=draw(stacks(always)),
        calls=tuple(replace(visit, host=visit.host % hosts) for visit in calls),
        script=tuple(draw(st.lists(answers, min_size=bad, max_size=16))),
        driver=draw(st.sampled_from(["virtual", "asyncio"])),
        connections=draw(st.none() | st.none() | st.integers(1, 3)),
        max_keys=draw(st.sampled_from([100, 1, 2])) if keys > 2 else keys,
    )


CLIMATES: dict[str, st.SearchStrategy[Case]] = {
    "any": cases(),
    "retries": cases(("total", "retry"), hosts=1, bad=4),
    "lines": cases(("limit", "throttle"), hosts=1),
    "circuits": cases(("breaker", "limit"), hosts=1, bad=3),
    "evictions": cases(("retry", "limit"), keys=1),
}
"""What there is more of."""
