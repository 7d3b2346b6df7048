"""Timeout: a deadline for a call, or a limit for each attempt.

Deadlines are data. This policy only writes `call.deadline`; the places that block keep to it: sending, waiting in a
line, a backoff sleep, reading the body. Our timer never interrupts policy code.
"""

from dataclasses import KW_ONLY
from typing import Any

from .. import _check
from .._call import INF, Call
from .._policy import Next, Policy
from .._values import Value, value


@value
class Timeout(Value, Policy[None]):
    """Bounds everything inside it.

        Timeout(30)               # the call: queueing, backoff, every attempt, redirects, reading the body
        Timeout(30, body=False)   # the same, up to the response headers

    - `seconds`: above 0. One absolute deadline for the call, shared by its redirect and auth hops. A per-request
      `timeout` option takes its place.
    - `body` (default True): whether the deadline also bounds reading the response body.

    Inside `Retry` (or, without one, inside another Timeout) it bounds each attempt instead, from sending the
    request to its response headers; time in our own waiting lines does not count, and `body` has no meaning.

    Raises `TimedOut`, also the HTTP library's `TimeoutException`; a wait in a line that would pass the deadline
    raises `WaitTooLong`. Of httpx's own timeouts and this one the strictest wins.
    """

    seconds: float
    _: KW_ONLY
    body: bool = True

    def __post_init__(self) -> None:
        _check.number("Timeout", "seconds", self.seconds, above=0)
        _check.flag("Timeout", "body", self.body)

    async def handle(self, call: Call, state: None, next: Next) -> Any:
        # Only runs where other policies stand outside; an outermost Timeout is set when the call begins (see `Plan`).
        trail, outer = call.trail, call.deadline
        seconds = self.seconds
        if call.chain.timeout == INF and call.options.timeout is not None:
            seconds = call.options.timeout  # it takes the place of the outermost only
        deadline = min(outer, trail.deadline, call.runtime.now() + seconds)
        if trail.deadline == INF:
            trail.deadline = deadline  # later hops of this call keep to it
        call.deadline = deadline
        try:
            response = await next(call)
        finally:
            call.deadline = outer
        if self.body:
            call.bound(response, deadline)
        return response
