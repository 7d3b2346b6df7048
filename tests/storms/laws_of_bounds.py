"""What there may be at once, how often, and behind an open circuit."""

from collections.abc import Iterable, Iterator
from typing import Any

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, ReadBody, Retry, Throttle

from .case import Case, Visit
from .law import EPS, attempt_timeout, calls, cost, law, passing
from .trace import INF, Sent, Trace

MANY = 100
"""With so many keys nothing is evicted."""
FAILED = frozenset({500, 502, 503, 504})
NEUTRAL = frozenset({408, 429})


@law
def no_more_are_in_flight_than_a_limit_lets(case: Case, trace: Trace) -> Iterator[str]:
    for limit in case.of(ConcurrencyLimit):
        for passed in passing(case, trace, limit):
            for new in passed:
                ends = [s.answered if limit.release_on == "headers" else s.over for s in passed if s.began <= new.began]
                flying = sum(end > new.began for end in ends)
                if flying > limit.limit:
                    yield f"{flying} in flight at {new.at:g} with {limit!r}"
    if case.connections is not None:
        for new in trace.sent:
            flying = sum(s.began <= new.began < s.over for s in trace.sent)
            if flying > case.connections:
                yield f"{flying} in flight at {new.at:g} on {case.connections} connections"


@law
def no_window_holds_more_than_the_rate(case: Case, trace: Trace) -> Iterator[str]:
    for throttle in throttles_at_the_wire(case):
        rate, per = throttle.rate, throttle.per
        if rate is None:
            continue
        if rate < 1:
            rate, per = 1, per / rate
        for passed in passing(case, trace, throttle):
            for i, last in enumerate(passed):
                upto = passed[: i + 1]
                if throttle.burst is not None:
                    for first in upto:
                        units = sum(cost(case, s) for s in upto if s.at >= first.at)
                        if units > rate * (last.at - first.at) / per + throttle.burst + EPS:
                            yield f"{units:g} units from {first.at:g} to {last.at:g} with {throttle!r}"
                    continue
                counts = [s for s in upto if (landing(s, last) if throttle.strict else s.at) + per > last.at + EPS]
                units = sum(cost(case, s) for s in counts)
                if units > rate + EPS:
                    yield f"{units:g} units in the window to {last.at:g} with {throttle!r}"


def landing(sent: Sent, before: Sent) -> float:
    """When a strict throttle begins to count down: with the headers, if they were here before another was sent."""
    return sent.answered_at if sent.answered <= before.began else INF


def throttles_at_the_wire(case: Case) -> Iterable[Throttle]:
    """Those behind which nobody waits any more."""
    waits = (ConcurrencyLimit, Throttle)
    for place, policy in enumerate(case.policies):
        inside = case.policies[place + 1 :]
        if isinstance(policy, Throttle) and case.connections is None and not any(isinstance(p, waits) for p in inside):
            yield policy


@law
def a_pause_holds_for_everybody(case: Case, trace: Trace) -> Iterator[str]:
    if case.of(ReadBody):
        return  # the throttle sees a response only when its body was read
    for throttle in throttles_at_the_wire(case):
        for passed in passing(case, trace, throttle) if throttle.follow_server else ():
            for told in passed:
                asked = told.answer.retry_after if told.status in (429, 503) else None
                for after in passed if asked else ():
                    if after.began > told.answered and after.at < told.answered_at + min(asked, 60.0) - EPS:
                        yield f"sent at {after.at:g}, a pause of {asked:g} s began at {told.answered_at:g}"


# -- circuits


@law
def nothing_passes_an_open_circuit(case: Case, trace: Trace) -> Iterator[str]:
    for breaker in case.of(CircuitBreaker):
        if breaker.shadow:
            continue
        for passed in passing(case, trace, breaker):
            key = "client" if breaker.key == "client" else passed[0].host if passed else None
            changes = [h for h in trace.heard if type(h.event) is seawall.CircuitChanged and h.event.key == key]
            if case.max_keys < MANY and not all(change.known for change in changes):
                continue  # forgotten while it was closed, it opened for a call that was still under way
            yield from _one_circuit(case, trace, breaker, passed, changes)


def _one_circuit(
    case: Case, trace: Trace, breaker: CircuitBreaker, passed: list[Sent], changes: list[Any]
) -> Iterator[str]:
    state, since, reopened = "closed", None, 0
    entries = sorted([(h.place, h, None) for h in changes] + [(s.began, None, s) for s in passed], key=lambda e: e[0])
    for _, change, sent in entries:
        if change is not None:
            old, new = change.event.old, change.event.new
            if (old, new) not in LEGAL or old != state:
                yield f"a circuit that was {state} went from {old} to {new}"
            if new == "open":
                reopened = reopened + 1 if old == "half-open" else reopened
            if new == "closed":
                reopened = 0
            least = min(0.8 * breaker.open_for * 2**reopened, breaker.max_open_for)
            if new == "half-open" and since is not None and change.at < since.at + least - EPS:
                yield f"open at {since.at:g}, half-open at {change.at:g}, with {breaker!r}"
            known = -1 if since is None else since.place  # what was sent before the last change has no say
            if new == "open" and not any(known < s.began < change.place and _failed(trace, breaker, s) for s in passed):
                yield f"open at {change.at:g} without a failure"
            state, since = new, change
        elif sent is not None and state == "open":
            yield f"sent at {sent.at:g}, with the circuit open since {since.at:g}"  # type: ignore[union-attr]
        elif sent is not None and state == "half-open":
            out = [s for s in passed if since.place < s.began <= sent.began and _unsettled(case, breaker, s, sent)]
            if len(out) > breaker.probes:
                yield f"{len(out)} probes out at {sent.at:g} with {breaker!r}"


@law
def an_open_circuit_is_told_at_once(case: Case, trace: Trace) -> Iterator[str]:
    kinds = [type(policy) for policy in case.policies]
    if CircuitBreaker not in kinds or Retry in kinds:
        return
    before = kinds[: kinds.index(CircuitBreaker)]
    if ConcurrencyLimit in before or Throttle in before:
        return
    opened = [h.at for h in trace.heard if type(h.event) is seawall.CircuitChanged and h.event.new == "open"]
    for index, _, ended, _ in calls(case, trace):
        told = [h.at for h in trace.heard if h.visit == index and type(h.event) is seawall.CallRejected]
        if ended.outcome == "CircuitOpen" and not any(abs(told[0] - at) < EPS for at in (ended.started, *opened)):
            yield f"call {index} was told at {told[0]:g} of a circuit that opened at {opened}"


LEGAL = {("closed", "open"), ("open", "half-open"), ("half-open", "open"), ("half-open", "closed")}


def _lease(case: Case, breaker: CircuitBreaker, sent: Sent) -> float:
    visit = Visit() if sent.visit < 0 else case.calls[sent.visit]
    limit = attempt_timeout(case, visit)
    return limit if limit < INF else breaker.open_for


def _unsettled(case: Case, breaker: CircuitBreaker, probe: Sent, now: Sent) -> bool:
    """Whether a probe keeps its place while another request is sent."""
    settled = probe.answered if probe.status in NEUTRAL else probe.over  # the former say nothing, whatever their body
    if settled <= now.began and probe is not now:
        return False
    since = probe.answered_at if probe.answered <= now.began else probe.at
    return now.at <= since + _lease(case, breaker, now) - EPS


def _failed(trace: Trace, breaker: CircuitBreaker, sent: Sent) -> bool:
    """Whether something said that the server fails, or is slow."""
    unanswered = sent.status is None
    slow = breaker.slow_call is not None and sent.answered_at - sent.at >= breaker.slow_call - EPS
    late = sent.visit >= 0 and trace.ended[sent.visit].outcome == "TimedOut"  # while its body was read
    return late or unanswered or sent.status in FAILED or sent.answer.breaks or slow or sent.over_at > sent.answered_at
