"""What most calls need of the gates that they pass: nothing.

A call is calm if its circuit is closed, a slot is free and the rate has room, and if its answer is one about which no
gate has anything to say. Then there is nothing to decide, and what there is to write down is written down by two
functions for all gates of a kind that is known here, which takes a third of the time of asking each. A call that is
not calm on the way in has taken nothing, and each gate is asked; so it is with an answer.
"""

from collections.abc import Callable, Container
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from ._admission import Admission
from ._body import Hold
from ._call import INF, Call

if TYPE_CHECKING:
    from ._circuit import CircuitState
    from ._policy import Gate, Layers
    from ._slots import Slots
    from ._throttle import ThrottleState

Enter = Callable[[Call], bool]
"""Lets a call in through all gates at once. False if one of them must be asked; then nothing is taken."""
Pass = Callable[[Call, Any], bool]
"""Passes an answer that is in no doubt on through all gates at once. False if it is, or if a gate must be told."""


def calm(gates: "Layers[Gate[Any]]", doubtful: Container[int]) -> tuple[Enter, Pass]:
    """How calm calls pass these gates, which have a repeater around them that has doubts about some statuses."""
    parts: dict[str, tuple[Any, Any]] = {}
    for gate, state in gates:
        part = gate.part(state)
        if part is None or part in parts:
            return _never, _never
        parts[part] = gate, state
    absent = None, None
    circuit: CircuitState | None = parts.get("circuit", absent)[1]
    slots: Slots | None = parts.get("limit", absent)[1]
    throttle, rate = parts.get("rate", absent)
    followed: ThrottleState | None = rate if throttle is not None and throttle.follow_server else None
    free = [] if slots is None else slots.free
    leases = [] if rate is None else rate.leases
    kept: list[Hold] = [] if slots is None else [slots]
    notable = doubtful
    if isinstance(doubtful, AbstractSet):
        notable = frozenset(doubtful).union(*(gate.notable for gate, _ in gates))

    def enter(call: Call) -> bool:
        if circuit is not None:
            generation = circuit.generation  # before the state: a transition in between revokes it
            if circuit.state != "closed":
                return False
        if rate is not None and call.options.cost != 1:
            return False
        if slots is not None:
            try:
                free.pop()
            except IndexError:
                return False
        if rate is not None:
            try:
                leases.pop()[0] = call.runtime.now()
            except IndexError:
                if slots is not None:
                    slots.release()
                return False
        if circuit is not None:
            admission = Admission()
            admission.circuit, admission.generation, admission.outer = circuit, generation, call.guard
            call.guard = admission
        return True

    def passed(call: Call, response: Any) -> bool:
        if response.status_code in notable:
            return False
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
        return True

    return enter, passed


def _never(*_: Any) -> bool:
    """Each gate must be asked each time."""
    return False
