"""What is told of a call, and what is left of all of them."""

from collections.abc import Iterator

from cancellation.strikes import STRUCK

import seawall

from .case import Answer, Case
from .law import EPS, calls, deadline_of, law, retry_of
from .trace import INF, Sent, Trace


@law
def a_report_tells_what_the_server_saw(case: Case, trace: Trace) -> Iterator[str]:
    for index, _, ended, sent in calls(case, trace):
        report = ended.report
        if report is None or ended.outcome is STRUCK:
            continue
        seen = [(s.status, s.error if s.status is None else None) for s in sent]
        told = [(a.status, None if a.error is None else type(a.error).__name__) for a in report.attempts]
        told = [(status, None if status is not None else error) for status, error in told]
        told = [(status, None if error == "TimedOut" else error) for status, error in told]
        if seen != told:
            yield f"call {index}: the server saw {seen}, the report tells of {told}"
        for attempt, s in zip(report.attempts, sent, strict=False):
            if abs(ended.started + attempt.started - s.at) > EPS:
                yield f"call {index}: sent at {s.at:g}, the report says {ended.started + attempt.started:g}"
        if min(report.queued, report.throttled, report.elapsed) < 0:
            yield f"call {index}: negative times in {report}"


@law
def reasons_are_true(case: Case, trace: Trace) -> Iterator[str]:
    for index, visit, ended, sent in calls(case, trace):
        if ended.report is None or (reason := ended.report.gave_up) is None:
            continue
        retry = retry_of(case, visit)
        if retry is None:
            yield f"call {index}: gave up ({reason}) without a Retry"
            continue
        last = sent[-1] if sent else Sent(index, "", Answer(), 0, 0)
        methods = retry.methods if visit.options.get("idempotent") is None else ()
        asked = last.answer.retry_after
        true = {
            "attempts": len(ended.report.attempts) + (ended.outcome == "TimedOut")
            >= retry.attempts,  # unsent, too late
            "method": visit.options.get("idempotent") is not True and visit.method not in methods,
            "body": visit.body == "once",
            "budget": retry.budget is not None,
            "retry-after": asked is not None and asked > retry.max_retry_after,
            "deadline": deadline_of(case, visit, ended) < INF,
        }[reason]
        if not true:
            yield f"call {index} says that it gave up for {reason!r}"


@law
def events_come_in_order(case: Case, trace: Trace) -> Iterator[str]:
    for index, visit, ended, sent in calls(case, trace):
        own = [h.event for h in trace.heard if h.visit == index]
        told = [e for e in own if type(e).__name__ in ("RetryScheduled", "GaveUp", "CallRejected", "CallEnded")]
        names = [type(e).__name__ for e in told]
        retries = [e for e in told if type(e) is seawall.RetryScheduled]
        if [e.attempt for e in retries] != list(range(1, len(retries) + 1)):
            yield f"call {index}: retries are told as {retries}"
        order = [("RetryScheduled", "CallRejected", "GaveUp", "CallEnded").index(name) for name in names]
        if order != sorted(order):
            yield f"call {index}: events came as {names}"
        if ended.outcome is not STRUCK and names.count("CallEnded") != 1:
            yield f"call {index} ended {names.count('CallEnded')} times"
        if names.count("GaveUp") > 1 or names.count("CallRejected") > 1:
            yield f"call {index}: events came as {names}"
        if retry_of(case, visit) is not None and len(sent) > len(retries) + 1:
            yield f"call {index} was sent {len(sent)} times with {len(retries)} retries told"


# -- what is left


@law
def nothing_was_out_of_bounds(case: Case, trace: Trace) -> Iterator[str]:
    yield from trace.broken


@law
def later_calls_succeed(case: Case, trace: Trace) -> Iterator[str]:
    if set(trace.later) != {200}:
        yield f"long after, calls ended with {trace.later}"
