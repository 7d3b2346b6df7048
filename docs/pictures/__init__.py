"""The pictures of the documentation: what the policies did in virtual time, drawn as SVG.

    cd docs && python -m pictures [NAME...]

writes each of them, or those that are named, twice, for a light and a dark page. The plots show real runs of real
policies: times are those of a `VirtualRuntime`, answers those of a `ScriptedServer` or of a simulated server,
randomness is seeded. So the files come out the same each time.
"""

from collections.abc import Callable, Collection, Iterator

from . import (
    circuit_breaker,
    concurrency_limit,
    idempotency_key,
    read_body,
    retry,
    retry_budget,
    retry_storms,
    stack,
    throttle,
    timeout,
)
from .svg import THEMES, Drawing

PICTURES: dict[str, Callable[[], Drawing]] = {
    "policies/stack": stack.order,
    "policies/timeout": timeout.deadlines,
    "policies/retry": retry.calls,
    "policies/retry-waits": retry.waits,
    "policies/retry-budget": retry_budget.storm,
    "policies/circuit-breaker": circuit_breaker.states,
    "policies/circuit-breaker-outage": circuit_breaker.outage,
    "policies/concurrency-limit": concurrency_limit.line,
    "policies/throttle": throttle.rates,
    "policies/throttle-pause": throttle.pause,
    "policies/read-body": read_body.attempts,
    "policies/idempotency-key": idempotency_key.keys,
    "retry-storms/storm": retry_storms.storm,
    "retry-storms/loads": retry_storms.loads,
    "retry-storms/remedies": retry_storms.remedies,
    "retry-storms/servers": retry_storms.servers,
}
"""By their paths in docs, without theme and ending."""


def files(names: Collection[str] = PICTURES) -> Iterator[tuple[str, str]]:
    """Each file's path in docs, and its text."""
    for name in names:
        drawing = PICTURES[name]()
        for theme in THEMES:
            yield f"{name}-{theme}.svg", drawing.render(theme)
