"""One call of one client: a task of virtual time that notes how it ends."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from ..._errors import Rejected, TimedOut
from ..virtual import Cancelled
from .tally import OUTCOMES, Calls
from .world import CoinTask, Endless, World

if TYPE_CHECKING:
    from .client import Client

ATTEMPTS = 10_000
"""Attempts that one call may make."""

CODE = {name: code for code, name in enumerate(OUTCOMES)}
ANSWERED = CODE["answered"]


class Visit(CoinTask):
    """A call through a client's policies."""

    __slots__ = ("attempts", "calls", "number", "request", "then")

    def __init__(self, world: World, client: "Client", calls: Calls, then: Callable[[bool], None] | None) -> None:
        self.request = client.request(self)
        super().__init__(world, client.transport.handle_async_request(self.request), client.name)
        self.coin = client.coin
        self.calls = calls
        self.number = calls.begin(world._now, client.group, client.number)
        self.attempts = 0
        self.then = then
        """Called at the end, with whether it was answered."""

    def attempted(self) -> None:
        """It reached the server once more."""
        self.attempts += 1
        if self.attempts > ATTEMPTS:
            raise Endless

    def _end(self, result: Any, error: BaseException | None) -> None:
        # It keeps neither result nor error, which are cycles that nobody looks at any more: to collect them would take
        # longer than to simulate the call.
        super()._end(None, None)
        if isinstance(error, Endless):
            raise RuntimeError(
                f"a call of {self.name} made more than {ATTEMPTS:,} attempts: this stack repeats without end"
            )
        calls, number = self.calls, self.number
        code = ANSWERED if error is None and result.status_code < 400 else outcome(result, error)
        calls.ended[number] = self._runtime._now
        calls.attempts[number] = self.attempts
        calls.outcome[number] = code
        self.request.extensions.clear()  # from the call's report to its errors, to their request, and back
        while error is not None:
            error.__traceback__ = None
            error = error.__context__
        if self.then is not None:
            self.then(code == ANSWERED)


def outcome(response: Any, error: BaseException | None) -> int:
    """How a call ended, as a place in `OUTCOMES`. Raises what is a fault of the stack: nobody wants figures of that."""
    if error is None:
        return ANSWERED if response.status_code < 400 else CODE["failed"]
    if isinstance(error, Cancelled):
        return CODE["cancelled"]
    if isinstance(error, TimedOut):
        return CODE["timed out"]
    if isinstance(error, Rejected):
        return CODE["rejected"]
    if isinstance(error, httpx.TransportError):
        return CODE["broken"]
    raise error
