"""What most calls need of the gates that they pass: nothing.

A call is calm if its circuit is closed, a slot is free and the rate has room, and if its answer is one about which
nobody has anything to say. Then there is nothing to decide, and what there is to write down is written down in one go
for all gates of a kind that is known here, which takes half the time of asking each. A call that is not calm on the way
in has taken nothing, and is run by `attempts`; with any other outcome it goes on there.
"""

from collections.abc import Callable, Container
from collections.abc import Set as AbstractSet
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ._admission import Admission
from ._body import Hold
from ._call import INF, Call
from ._options import DEFAULTS

if TYPE_CHECKING:
    from ._circuit import CircuitState
    from ._policy import Gate, Layers, Next, Repeater
    from ._slots import Slots
    from ._throttle import ThrottleState


def calm(
    gates: "Layers[Gate[Any]]",
    next: Callable[[Call], Any],
    repeater: "tuple[Repeater[Any], Any] | None",
    attempts: Callable[..., Any],
) -> "Next":
    """What runs calm calls through these gates, and `attempts` where one is not."""
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
    notable = frozenset(doubtful).union(*(gate.notable for gate, _ in gates))

    absent = None, None
    circuit: CircuitState | None = parts.get("circuit", absent)[1]
    slots: Slots | None = parts.get("limit", absent)[1]
    throttle, rate = parts.get("rate", absent)
    free = [] if slots is None else slots.free
    leases = [] if rate is None else rate.leases
    followed: ThrottleState | None = rate if throttle is not None and throttle.follow_server else None
    kept: list[Hold] = [] if slots is None else [slots]

    async def run(call: Call) -> Any:
        chain = call.chain
        calmly = True
        if repeat is not None and type(call.request.stream) is not chain.bytes_stream:
            calmly = False  # the repeater has to remember where the body stands
        elif rate is not None and call.options is not DEFAULTS and call.options.cost != 1:
            calmly = False
        elif circuit is not None:
            generation = circuit.generation  # before the state: a transition in between revokes it
            calmly = circuit.state == "closed"
        if calmly:
            try:
                if slots is not None:
                    free.pop()
            except IndexError:
                calmly = False
            else:
                try:
                    if rate is not None:
                        leases.pop()[0] = call.runtime.now()
                except IndexError:
                    calmly = False
                    if slots is not None:
                        slots.release()
        if not calmly:
            return await attempts(call)

        if circuit is not None:
            admission = Admission()
            admission.circuit, admission.generation, admission.outer = circuit, generation, call.guard
            call.guard = admission
        response, failure = None, None
        try:
            response = next(call)
            if type(response) is CoroutineType:  # a transport that answers at once is not awaited
                response = await response
        except BaseException as raised:
            failure = raised
        else:
            if response.status_code not in notable:
                if followed is not None:
                    if followed.until_look > 1:
                        followed.until_look -= 1
                    else:
                        throttle.passed(call, followed, response)
                if circuit is not None:
                    call.guard = admission.outer
                    wait = chain.attempt_timeout  # as `await_body`, which would be a call
                    admission.due = call.runtime.now() + (wait if wait < INF else circuit.settings.open_for)
                    circuit.pending.append(admission)
                    call.hold(response, [admission, *kept])  # the verdict comes before the slot is handed on
                elif kept:
                    call.hold(response, kept.copy())
                if repeat is not None and not budget.full:
                    repeat.succeeded(budget, None)
                return response
        try:
            return await attempts(call, (response, failure))
        finally:
            failure = None  # or it and this frame would keep each other

    return run
