"""The end of every chain: reserve a connection, then send the request.

Reserving is waiting in our own line. Sending begins when a connection is held; an attempt's clock, a circuit's
slow-call timing and probe leases start there, so that time spent in our line never looks like a slow server.
"""

from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ._body import close_all
from ._call import Call
from ._errors import Expired
from .runtime.threads import Escaped

if TYPE_CHECKING:
    from ._pool import Shards


async def reserve_and_send(call: Call) -> Any:
    """Send through a pool: wait for one of its connections, send on it, and hold it until the body ends."""
    shards: Shards = call.chain.shards
    runtime = call.runtime
    shard = await shards.reserve(call)
    call.reused = shard.used
    try:
        response = send(call, shard.transport, shard.wire)
        if type(response) is CoroutineType:
            response = await response
        shard.used = True
        network = response.extensions.get("network_stream")
        if network is not shard.network:
            shard.network = network
            shard.wire.learn(network)
    except GeneratorExit:  # thrown away by a collector: nothing can be awaited there, and no lock
        shard.abandon()
        raise
    except BaseException:
        await close_all(shards.put(shard, runtime, keep=False), runtime)
        raise
    if response.is_closed:
        await close_all(shards.put(shard, runtime, keep=True), runtime)
    else:
        call.body(response).add(call, [shard])
    return response


def send(call: Call, transport: Any = None, wire: Any = None) -> Any:
    """Send through a transport; one that knows its own connections if none is given.

    Returns the response if it is there at once, or else the coroutine to await for it.
    """
    chain, runtime, deadline = call.chain, call.runtime, call.deadline
    now = runtime.now()
    if now >= deadline:
        raise call.timed_out("the call's deadline passed before an attempt was sent", "call")
    guard = call.guard
    while guard is not None:  # every circuit that let it in has a last word
        if guard.generation.revoked:
            guard.check(call)
        guard.sent_at = now
        guard = guard.outer
    until = now + chain.attempt_timeout
    if until < deadline:
        deadline = until
    try:
        response = runtime.send(chain.transport if transport is None else transport, call.request, deadline, wire)
    except Expired as expired:
        raise _expired(call, now, deadline) from expired.__cause__
    except Exception as error:
        _broke(call, now, error)
        raise
    if type(response) is CoroutineType:
        return _sent(call, response, now, deadline)
    call.trail.attempts.append((now, runtime.now(), response.status_code, None, call.waited, None))
    return response


async def _sent(call: Call, response: Any, now: float, deadline: float) -> Any:
    """The rest of an attempt that was sent now."""
    try:
        response = await response
    except Expired as expired:
        raise _expired(call, now, deadline) from expired.__cause__
    except Exception as error:
        _broke(call, now, error)
        raise
    call.trail.attempts.append((now, call.runtime.now(), response.status_code, None, call.waited, None))
    return response


def _broke(call: Call, sent: float, error: Exception) -> None:
    real = error.original if isinstance(error, Escaped) else error
    call.trail.attempts.append((sent, call.runtime.now(), None, real, call.waited, None))


def _expired(call: Call, sent: float, deadline: float) -> Exception:
    if deadline < call.deadline:
        waited = f"no response headers within {call.chain.attempt_timeout:g} s of sending"
        error = call.timed_out(waited, "attempt")
    else:
        error = call.timed_out(f"the call's deadline passed after {deadline - call.trail.started:.3g} s", "call")
    _broke(call, sent, error)
    return error
