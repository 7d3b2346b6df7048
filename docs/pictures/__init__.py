"""The pictures of docs/policies: what the policies did in virtual time, drawn as SVG.

    cd docs && python -m pictures

writes each of them twice, for a light and a dark page. The plots show real runs of real policies: times are those of a
`VirtualRuntime`, answers those of a `ScriptedServer`, randomness is seeded. So the files come out the same each time.
"""

from collections.abc import Callable, Iterator

from . import (
    circuit_breaker,
    concurrency_limit,
    idempotency_key,
    read_body,
    retry,
    retry_budget,
    stack,
    throttle,
    timeout,
)
from .svg import THEMES, Drawing

PICTURES: dict[str, Callable[[], Drawing]] = {
    "stack": stack.order,
    "timeout": timeout.deadlines,
    "retry": retry.calls,
    "retry-waits": retry.waits,
    "retry-budget": retry_budget.storm,
    "circuit-breaker": circuit_breaker.states,
    "circuit-breaker-outage": circuit_breaker.outage,
    "concurrency-limit": concurrency_limit.line,
    "throttle": throttle.rates,
    "throttle-pause": throttle.pause,
    "read-body": read_body.attempts,
    "idempotency-key": idempotency_key.keys,
}


def files() -> Iterator[tuple[str, str]]:
    """Each file's name and text."""
    for name, draw in PICTURES.items():
        drawing = draw()
        for theme in THEMES:
            yield f"{name}-{theme}.svg", drawing.render(theme)
