"""What storms found, as small as it got."""

import gc
import weakref
from typing import Any

import httpx
import pytest
from calls import URL, client, outcome

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, ReadBody, Retry, Stack, State, Timeout
from seawall.httpx import AsyncClient
from seawall.testing import Recorder, ScriptedServer, VirtualRuntime, reply

from .case import Answer, Case, Fixed, Visit
from .replay import replay

CASES = {
    "discarding an answer does not outlast the deadline": Case(
        policies=(Timeout(1), Retry(2, wait=Fixed(0))),
        calls=(Visit(),),
        script=(Answer(status=503, after=0.98, chunks=3, every=0.02),),
    ),
    "an answer that breaks while it is read may have told when to come back": Case(
        policies=(Retry(2, wait=Fixed(0)), ReadBody(100, chunked=True)),
        calls=(Visit(),),
        script=(Answer(status=503, retry_after=1, breaks=True),),
    ),
    "a result that no longer counts does not linger": Case(
        policies=(CircuitBreaker(minimum_calls=1, shadow=True),),
        calls=(Visit(), Visit(), Visit(), Visit(at=0.25, reading="stream"), Visit(at=0.25)),
        script=(Answer(error=httpx.ConnectError),),
    ),
    "a limit is not forgotten through a backoff": Case(
        policies=(Retry(2, wait=Fixed(1), budget=None), ConcurrencyLimit(1)),
        calls=(Visit(), Visit(host=1, at=0.25), Visit(host=2, at=0.5), Visit(at=0.75, reading="linger", pause=2)),
        script=(Answer(status=503),),
        max_keys=1,
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_it_holds(what: str):
    """Every law holds of a case in which one did not."""
    replay(CASES[what])


def test_a_bound_method_hears_of_a_change_once():
    """A method given to two clients of one State is one listener, though each time it is another object."""

    class Log(list[Any]):
        def hear(self, event: Any) -> None:
            self.append(event)

    log, state, stack = Log(), State(), Stack(CircuitBreaker(consecutive=1))

    async def main() -> None:
        async with (
            AsyncClient(stack, transport=ScriptedServer(503), state=state, listeners=[log.hear]) as first,
            AsyncClient(stack, transport=ScriptedServer(), state=state, listeners=[log.hear]),
        ):
            await first.get(URL)

    VirtualRuntime().run(main())
    assert len([event for event in log if isinstance(event, seawall.CircuitChanged)]) == 1


def test_a_report_does_not_keep_the_answer():
    """Who keeps a report of a retried error does not keep the response with it."""

    async def main() -> tuple[Any, Any]:
        async with client(ScriptedServer(httpx.ConnectError), Retry(wait=Fixed(0))) as door:
            response = await door.get(URL)
            return seawall.report(response), weakref.ref(response)

    report, response = VirtualRuntime().run(main())
    gc.collect()
    assert report.attempts[0].error is not None
    assert response() is None


def test_only_the_error_that_is_raised_has_a_traceback():
    """Frames keep what they hold: the errors of earlier attempts, and what caused them, have none."""

    def fail(request: httpx.Request) -> Any:
        try:
            raise OSError("refused")
        except OSError as cause:
            raise httpx.ConnectError("no connection") from cause

    async def main() -> Any:
        async with client(ScriptedServer(then=fail), Retry(2, wait=Fixed(0))) as door:
            return await outcome(door.get(URL))

    raised = VirtualRuntime().run(main())
    first, last = (attempt.error for attempt in seawall.report(raised).attempts)
    assert (first.__traceback__, first.__cause__.__traceback__) == (None, None)
    assert last is raised
    assert raised.__traceback__ is not None
    assert raised.__cause__.__traceback__ is not None


def test_an_opening_circuit_wakes_in_the_order_of_the_line():
    """Calls that wait behind a circuit which opens are told in the order in which they came."""
    recorder, order = Recorder(), []
    stack = (CircuitBreaker(consecutive=1), ConcurrencyLimit(1))
    runtime = VirtualRuntime()

    async def main() -> None:
        async with client(ScriptedServer(reply(500, after=1)), *stack, listeners=[recorder]) as door:

            async def call(number: int) -> None:
                try:
                    await door.get(URL)
                except seawall.CircuitOpen:
                    order.append(number)

            for task in [runtime.spawn(call(number)) for number in range(12)]:
                await task

    runtime.run(main())
    assert order == list(range(1, 12))
