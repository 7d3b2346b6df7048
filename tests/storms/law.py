"""What must hold of every storm, whatever was in it: functions of a case and of what happened.

None of them asks the code that it judges what that thinks is right: limits, rates and rules are computed again here,
from the settings alone.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from seawall import Retry, Timeout

from .case import Case, Visit
from .trace import INF, Ended, Sent, Trace

EPS = 1e-6
"""A billionth of a second passes in each turn of a virtual loop."""
Law = Callable[[Case, Trace], Iterator[str]]
LAWS: list[Law] = []


def law(check: Law) -> Law:
    LAWS.append(check)
    return check


def check(case: Case, trace: Trace) -> None:
    """Raise, telling everything that does not hold."""
    broken = [f"{each.__name__}: {what}" for each in LAWS for what in each(case, trace)]
    assert not broken, "\n".join([*broken, "", *map(str, trace.log)])


# -- a case, as its policies see it


def skips(visit: Visit, policy: Any) -> bool:
    """Whether a call leaves a policy out."""
    skip = visit.options.get("skip", ())
    return type(policy).__name__.lower() in skip or (policy.name is not None and policy.name in skip)


def passing(case: Case, trace: Trace, policy: Any) -> list[list[Sent]]:
    """What passed a policy, for each of its keys."""
    passed = [s for s in trace.sent if s.visit < 0 or not skips(case.calls[s.visit], policy)]
    if policy.key == "client":
        return [passed]
    ordered = sorted(passed, key=lambda s: (s.host, s.began))
    return [list(group) for _, group in groupby(ordered, key=lambda s: s.host)]


def of_call(trace: Trace, index: int) -> list[Sent]:
    return [sent for sent in trace.sent if sent.visit == index]


def retry_of(case: Case, visit: Visit) -> Retry | None:
    return next((retry for retry in case.of(Retry) if not skips(visit, retry)), None)


def deadline_of(case: Case, visit: Visit, ended: Ended) -> float:
    """When a call must have ended."""
    total, options = case.total, visit.options
    seconds = INF if total is None or skips(visit, total) else total.seconds
    return max(ended.started, min(ended.started + options.get("timeout", seconds), options.get("deadline", INF)))


def attempt_timeout(case: Case, visit: Visit) -> float:
    """How long an attempt may take to its headers."""
    outside = case.total
    inner = [t for t in case.of(Timeout) if t is not outside and not skips(visit, t)]
    if not case.of(Retry) and outside is None:
        inner = inner[1:]
    return min((t.seconds for t in inner), default=INF)


def calls(case: Case, trace: Trace) -> Iterator[tuple[int, Visit, Ended, list[Sent]]]:
    for index, (visit, ended) in enumerate(zip(case.calls, trace.ended, strict=True)):
        yield index, visit, ended, of_call(trace, index)


def cost(case: Case, sent: Sent) -> float:
    return 1 if sent.visit < 0 else case.calls[sent.visit].options.get("cost", 1)
