"""What most calls need of the gates that they pass: nothing.

A call is calm if its circuit is closed, a slot is free and the rate has room, and if its answer is one about which
nobody has anything to say. Then there is nothing to decide, and what there is to write down is written down in one go
for all gates of a kind that is known here, which takes half the time of asking each. A call that is not calm on the way
in has taken nothing, and is run by `attempts`; with any other outcome it goes on there.
"""

import functools
from collections.abc import Callable, Container, Coroutine
from collections.abc import Set as AbstractSet
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ._admission import Admission
from ._body import Hold
from ._call import INF, Call
from ._options import DEFAULTS

if TYPE_CHECKING:
    from ._circuit import CircuitState
    from ._policy import Gate, Layers, Repeater, Step
    from ._slots import Slots
    from ._throttle import ThrottleState


def calm(
    gates: "Layers[Gate[Any]]",
    next: "Step",
    repeater: "tuple[Repeater[Any], Any] | None",
    attempts: Callable[..., Coroutine[Any, Any, Any]],
) -> "Step":
    """What runs calm calls through these gates, and `attempts` where one is not.

    No coroutine but that of a response which must be awaited: where that is there at once, so is what this returns.
    """
    parts: dict[str, tuple[Any, Any]] = {}
    for gate, state in gates:
        part = gate.part(state)
        if part is None or part in parts:
            return attempts
        parts[part] = gate, state
    repeat: Repeater[Any] | None
    budget: Any
    repeat, budget = repeater or (None, None)
    doubtful: Container[int] = frozenset() if repeat is None else repeat.doubtful
    if not isinstance(doubtful, AbstractSet):  # it wants to see every outcome
        return attempts
    notable = _either(frozenset(doubtful), *(frozenset(gate.notable) for gate, _ in gates))

    absent = None, None
    circuit: CircuitState | None = parts.get("circuit", absent)[1]
    slots: Slots | None = parts.get("limit", absent)[1]
    throttle, rate = parts.get("rate", absent)
    free = [] if slots is None else slots.free
    leases = [] if rate is None else rate.leases
    followed: ThrottleState | None = rate if throttle is not None and throttle.follow_server else None
    kept: list[Hold] = [] if slots is None else [slots]

    def run(call: Call) -> Any:
        if repeat is not None and type(call.request.stream) is not call.chain.bytes_stream:
            return attempts(call)  # the repeater has to remember where the body stands
        if rate is not None and call.options is not DEFAULTS and call.options.cost != 1:
            return attempts(call)
        if circuit is not None:
            generation = circuit.generation  # before the state: a transition in between revokes it
            if circuit.state != "closed":
                return attempts(call)
        if slots is not None:
            try:
                free.pop()
            except IndexError:
                return attempts(call)
        if rate is not None:
            try:
                leases.pop()[0] = call.runtime.now()
            except IndexError:
                if slots is not None:
                    slots.release()
                return attempts(call)
        if circuit is not None:
            admission = Admission()
            admission.circuit, admission.generation, admission.outer = circuit, generation, call.guard
            call.guard = admission
        try:
            response = next(call)
        except BaseException as failure:
            return attempts(call, (None, failure))
        return later(call, response) if type(response) is CoroutineType else passed(call, response)

    async def later(call: Call, answer: Any) -> Any:
        try:
            response = await answer
        except BaseException as raised:
            failure = raised
        else:
            response = passed(call, response)
            return await response if type(response) is CoroutineType else response
        try:
            return await attempts(call, (None, failure))
        finally:
            del failure  # or it and this frame would keep each other

    def passed(call: Call, response: Any) -> Any:
        if response.status_code in notable:
            return attempts(call, (response, None))
        if followed is not None:
            if followed.until_look > 1:
                followed.until_look -= 1
            else:
                throttle.passed(call, followed, response)
        if circuit is not None:
            admission: Any = call.guard
            call.guard = admission.outer
            wait = call.chain.attempt_timeout  # as `await_body`, which would be a call
            admission.due = call.runtime.now() + (wait if wait < INF else circuit.settings.open_for)
            circuit.pending.append(admission)
            call.hold(response, [admission, *kept])  # the verdict comes before the slot is handed on
        elif kept:
            call.hold(response, kept.copy())
        if repeat is not None and not budget.full:
            repeat.succeeded(budget, None)
        return response

    return run


@functools.lru_cache
def _either(*statuses: frozenset[int]) -> frozenset[int]:
    """All of them: one set for every key, since it takes more memory than all else that a calm call needs."""
    return frozenset[int]().union(*statuses)
