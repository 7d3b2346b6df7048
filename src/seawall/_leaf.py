"""The end of every chain: reserve a connection, then send the request.

Reserving is waiting in our own line. Sending begins when a connection is held; an attempt's clock, a circuit's
slow-call timing and probe leases start there, so that time spent in our line never looks like a slow server.
"""

from typing import Any

from ._call import Call, Sent
from ._errors import Expired
from ._pool import Lease, Shards


async def send(call: Call) -> Any:
    """Send through the inner transport that the call's chain ends in."""
    chain, runtime = call.chain, call.runtime
    call.sent_at = None
    shards: Shards | None = chain.shards
    if shards is None:
        return await _attempt(call, chain.transport, None)
    shard = await shards.reserve(call)
    call.reused = shard.used
    try:
        response = await _attempt(call, shard.transport, shard.wire)
        shard.used = True
        network = response.extensions.get("network_stream")
        if network is not shard.network:
            shard.network = network
            if shard.wire is not None:
                shard.wire.learn(network)
    except BaseException:
        await shards.close_all(shards.put(shard, runtime.now(), keep=False), runtime)
        raise
    if response.is_closed:
        await shards.close_all(shards.put(shard, runtime.now(), keep=True), runtime)
    else:
        call.body(response).add(Lease(shards, shard, runtime))
    return response


async def _attempt(call: Call, transport: Any, wire: Any) -> Any:
    runtime, trail, limit = call.runtime, call.trail, call.chain.attempt_timeout
    guard = call.guard
    if guard is not None:
        call.check()
    now, deadline = runtime.now(), call.deadline
    if now >= deadline:
        raise call.timed_out("the call's deadline passed before an attempt was sent", "call")
    call.sent_at = now
    while guard is not None:
        guard.sent_at = now
        guard = guard.outer
    sent = Sent(now, call.waited)
    trail.attempts.append(sent)
    if now + limit < deadline:
        deadline = now + limit
    try:
        response = await runtime.send(transport, call.request, deadline, wire)
    except Expired as expired:
        if deadline < call.deadline:
            error = call.timed_out(f"no response headers within {limit:g} s of sending", "attempt")
        else:
            error = call.timed_out(f"the call's deadline passed after {deadline - trail.started:.3g} s", "call")
        sent.ended, sent.error = runtime.now(), error
        raise error from expired.__cause__
    except Exception as error:
        sent.ended, sent.error = runtime.now(), error
        raise
    sent.ended = runtime.now()
    sent.status = response.status_code
    return response
