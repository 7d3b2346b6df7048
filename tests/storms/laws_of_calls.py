"""How calls end, what is sent again, and when."""

from collections.abc import Iterator
from itertools import pairwise

import httpx
from cancellation.strikes import STRUCK

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, ReadBody, Retry, Throttle, Timeout

from .case import CHUNK, Case
from .law import EPS, attempt_timeout, calls, deadline_of, law, retry_of, skips
from .trace import Trace

OURS = {
    "CircuitOpen": (CircuitBreaker,),
    "QueueFull": (ConcurrencyLimit,),
    "WaitTooLong": (ConcurrencyLimit, Throttle),
    "TimedOut": (Timeout,),
}
NOT_SENT = ("ConnectError", "ConnectTimeout")


@law
def a_cancellation_comes_out_as_it_went_in(case: Case, trace: Trace) -> Iterator[str]:
    for index, visit, ended, _ in calls(case, trace):
        if ended.hit != (ended.outcome is STRUCK):
            yield f"call {index}, {visit.cut}: struck {ended.hit}, ended with {ended.outcome}"
        if ended.unbalanced:
            yield f"call {index}: {ended.unbalanced} cancellations of its task out of balance"


@law
def an_outcome_is_the_last_one_or_an_error_of_ours(case: Case, trace: Trace) -> Iterator[str]:
    for index, visit, ended, sent in calls(case, trace):
        outcome, last = ended.outcome, sent[-1] if sent else None
        if outcome is STRUCK:
            continue
        if isinstance(outcome, int) and ended.error is None:
            good = last is not None and last.status == outcome
        elif isinstance(ended.error, seawall.SeawallError):
            present = any(case.of(kind) for kind in OURS[outcome])
            good = present or (outcome == "TimedOut" and {"timeout", "deadline"} & set(visit.options))
            good = good or (outcome == "WaitTooLong" and case.connections is not None)
            good = good and isinstance(ended.error, httpx.TransportError) and ended.error.request is not None
        else:
            breaks = last is not None and last.answer.breaks and outcome == "ReadError"
            good = last is not None and (last.error == outcome or breaks)
        if not good:
            yield f"call {index} ended with {ended.error or outcome!r} after {last}"


@law
def a_body_arrives_whole(case: Case, trace: Trace) -> Iterator[str]:
    for index, _, ended, sent in calls(case, trace):
        if ended.error is None and ended.whole and ended.content != CHUNK * sent[-1].answer.chunks:
            yield f"call {index} got {ended.content!r}"
        if ended.error is None and ended.whole and sent[-1].answer.breaks:
            yield f"call {index} took a broken body for a whole one"


@law
def nobody_waits_for_us_beyond_the_deadline(case: Case, trace: Trace) -> Iterator[str]:
    for index, visit, ended, sent in calls(case, trace):
        deadline, total = deadline_of(case, visit, ended), case.total
        covers = (not case.of(Timeout)) if total is None or skips(visit, total) else total.body
        for began, until in ended.waits if covers else ():
            if until > max(began, deadline) + EPS:
                yield f"call {index} waited until {until:g}, its deadline was {deadline:g}"
        if ended.report is not None and ended.started + ended.report.elapsed > deadline + EPS:
            yield f"call {index} had its answer {ended.report.elapsed:g} s after {ended.started:g}, not by {deadline:g}"
        for attempt in sent:
            if attempt.at >= deadline + EPS:
                yield f"call {index} was sent at {attempt.at:g}, its deadline was {deadline:g}"
            most = min(attempt.at + attempt_timeout(case, visit), max(deadline, attempt.at))
            if attempt.answered_at > most + EPS:
                yield f"call {index}: an attempt lasted from {attempt.at:g} to {attempt.answered_at:g}, not to {most:g}"


# -- what is sent again


@law
def a_call_is_sent_again_only_as_often_as_allowed(case: Case, trace: Trace) -> Iterator[str]:
    for index, visit, _, sent in calls(case, trace):
        retry = retry_of(case, visit)
        most = 1 if retry is None or visit.body == "once" else retry.attempts
        if len(sent) > most:
            yield f"call {index} was sent {len(sent)} times, not {most}"


@law
def only_what_failed_and_may_be_repeated_is_sent_again(case: Case, trace: Trace) -> Iterator[str]:
    for index, visit, _, sent in calls(case, trace):
        retry = retry_of(case, visit)
        for before in sent[:-1] if retry else ():
            keyed = before.key is not None
            safe = visit.options.get("idempotent", visit.method in retry.methods or keyed)
            refused = before.status == 429 or before.error in NOT_SENT
            if not (safe or refused):
                yield f"call {index}, a {visit.method}, was sent again after {before}"
            failed = before.status in retry.statuses or before.status is None or before.answer.breaks
            slow = before.status is not None and case.of(ReadBody)  # it may have been cut while it was read
            if not (failed or slow):
                yield f"call {index} was sent again after {before}"


@law
def a_request_is_sent_whole_and_the_same(case: Case, trace: Trace) -> Iterator[str]:
    for index, visit, _, sent in calls(case, trace):
        for attempt in sent:
            body = attempt.content
            if body is None and attempt.status is not None:
                yield f"call {index} was answered before it was received"
            expected = CHUNK * 2 if visit.body else b""
            if body is not None and (body.count(expected) != 1 if visit.body == "file" else body != expected):
                yield f"call {index} was sent as {body!r}"
        if len({attempt.key for attempt in sent}) > 1:
            yield f"call {index} had several idempotency keys"
    keys = [{s.key for s in sent if s.key} for _, visit, _, sent in calls(case, trace) if not visit.headers]
    if len(set().union(*keys)) != sum(map(len, keys)):
        yield "two calls had one idempotency key"


@law
def nobody_is_sooner_than_the_server_asked(case: Case, trace: Trace) -> Iterator[str]:
    for index, visit, _, sent in calls(case, trace):
        retry = retry_of(case, visit)
        for before, after in pairwise(sent) if retry else ():
            asked = before.answer.retry_after if (before.status or 0) >= 400 else None
            if asked is not None and after.at < before.answered_at + asked - EPS:
                yield f"call {index} was sent at {after.at:g}, {asked:g} s were asked for at {before.answered_at:g}"
            if asked is not None and asked > retry.max_retry_after:
                yield f"call {index} waited {asked:g} s, not {retry.max_retry_after:g}"


@law
def retries_are_paid_for(case: Case, trace: Trace) -> Iterator[str]:
    retry = next(iter(case.of(Retry)), None)
    budget = None if retry is None else retry.budget
    if budget is None:
        return
    spent: dict[str, float] = {}
    for _, visit, ended, sent in calls(case, trace):
        if not sent or retry_of(case, visit) is None:
            continue
        prices = [budget.throttled if s.status in (429, 503) else budget.transient for s in sent[:-1]]
        good = ended.outcome is STRUCK or ended.error is not None or ended.outcome not in retry.statuses
        back = max(prices, default=0.0) if good else 0.0
        earned = budget.success if len(sent) == 1 else 0.0
        spent[sent[0].host] = spent.get(sent[0].host, 0.0) + sum(prices) - back - earned
    for host, tokens in spent.items():
        if tokens > budget.capacity + EPS:
            yield f"retries to {host} took {tokens:g} of {budget.capacity:g}"
