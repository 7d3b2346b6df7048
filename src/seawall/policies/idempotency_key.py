"""IdempotencyKey: one key per call, the same for each attempt, so that a server can tell a repeat."""

from typing import Any

from .. import _check
from .._call import Call
from .._policy import Methods, Next, Policy
from .._values import Value, value

HEADER = "Idempotency-Key"


@value
class IdempotencyKey(Value, Policy[None]):
    """Gives each call one `Idempotency-Key` header, which also makes it safe for `Retry` to repeat.

        Stack(IdempotencyKey(), Retry())

    - `methods` (default {"POST"}): which requests get one. A key that the caller set is left alone.

    Stands outside Retry. Only for servers that honour the header: others would do the work twice. Source:
    draft-ietf-httpapi-idempotency-key-header. The key is a UUID as in version 4.
    """

    not_repeated = "each attempt would get a key of its own"

    methods: Methods = frozenset({"POST"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", _check.methods("IdempotencyKey", "methods", self.methods))

    async def handle(self, call: Call, state: None, next: Next) -> Any:
        request = call.request
        if request.method not in self.methods or HEADER in request.headers:
            return await next(call)
        trail = call.trail
        if trail.idempotency_key is None:
            trail.idempotency_key = _uuid4(call.runtime.random)
        # a copy: a request that its owner sends again is another call and gets another key
        call.request = call.family.with_header(request, HEADER, trail.idempotency_key)
        try:
            return await next(call)
        finally:
            call.request = request


def _uuid4(random: Any) -> str:
    """A version 4 UUID from the runtime's coin, so that virtual runs repeat exactly."""
    from uuid import UUID  # looks for the kind of machine when it is imported, which takes 3 ms

    bits = 0
    for _ in range(3):
        bits = bits << 48 | int(random() * (1 << 48))
    return str(UUID(int=bits & ((1 << 128) - 1), version=4))


IdempotencyKey.__module__ = "seawall"  # its public name, however it is come by
