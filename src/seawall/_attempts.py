"""How neighbouring gates, and a repeater around them, are run: as one coroutine.

A coroutine for each would cost more than all that they do.
"""

from collections.abc import Container
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ._call import Call
from ._calm import calm

if TYPE_CHECKING:
    from ._policy import Gate, Layers, Repeater, Step

Outcome = tuple[Any, BaseException | None]
"""A response, or what was raised in its place."""


def together(gates: "Layers[Gate[Any]]", next: "Step", repeater: "tuple[Repeater[Any], Any] | None" = None) -> "Step":
    """Neighbouring gates, the first outermost, and a repeater around them."""
    inward = tuple((gate.enter, state) for gate, state in gates)
    outward = tuple((gate.passed, state) for gate, state in reversed(gates) if gate.keeps(state) is None)
    kept = [hold for gate, state in gates if (hold := gate.keeps(state)) is not None]
    repeat: Repeater[Any] | None
    budget: Any
    repeat, budget = repeater or (None, None)
    doubtful: Container[int] = () if repeat is None else repeat.doubtful

    async def attempts(call: Call, outcome: Outcome | None = None) -> Any:
        """Each gate is asked. `outcome`: of a first attempt that had been let in by all of them."""
        tries = None
        if repeat is not None and type(call.request.stream) is not call.chain.bytes_stream:
            tries = repeat.remember(call)  # plain bytes can be sent again as they are
        while True:
            entered = 0
            response, error = None, None
            try:
                if outcome is None:
                    for enter, state in inward:
                        wait = enter(call, state)
                        if wait is not None:
                            await wait
                        entered += 1
                    response = next(call)
                    if type(response) is CoroutineType:
                        response = await response
                else:
                    entered = len(gates)
                    (response, failure), outcome = outcome, None
                    if failure is not None:
                        raise failure
            except BaseException as raised:
                for gate, state in reversed(gates[:entered]):
                    gate.failed(call, state, raised)
                if repeat is None:
                    raise
                if not isinstance(raised, Exception):
                    repeat.cancelled(budget, tries)
                    raise
                response, error = None, raised
            else:
                holds = kept.copy()
                for passed, state in outward:
                    hold = passed(call, state, response)
                    if hold is not None:
                        holds.insert(0, hold)  # a verdict: it comes before a slot is handed on
                if holds:
                    call.hold(response, holds)
                if response.status_code not in doubtful:
                    if repeat is not None and (tries is not None or not budget.full):
                        repeat.succeeded(budget, tries)
                    return response
            finally:
                failure = None
            assert repeat is not None
            try:
                tries = await repeat.again(call, budget, tries, response, error)
            finally:
                error = None  # or it and this frame would keep each other
            if tries is None:
                return response

    return calm(gates, next, repeater, attempts)
