"""What is struck: each policy alone, pools, bodies, whole stacks, in the moments in which something changes hands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import tenacity
from aiolimiter import AsyncLimiter
from calls import ORIGIN, asking

from seawall import (
    CircuitBreaker,
    CircuitOpen,
    ConcurrencyLimit,
    IdempotencyKey,
    Policy,
    ReadBody,
    Retry,
    RetryBudget,
    Stack,
    Throttle,
    TimedOut,
    Timeout,
    WaitTooLong,
    standard,
)
from seawall.testing import reply

from .stage import GOOD, Scenario, Stage

OTHER = "https://other.example.com"
DRIP = reply(after=0.25, body=[b"x"] * 6, every=0.5)
BREAKS = reply(after=0.25, body=[b"x"] * 2, every=0.25, breaks=httpx.ReadError("reset"))
FAILED = reply(503, after=0.25, body=[b"x"] * 3, every=0.01)
BABBLE = reply(503, body=[b"x" * 1000] * 50, every=0.005)
MUTE = reply(503, body=[b"x"] * 50, every=0.04)
AWAY = reply(302, headers={"Location": f"{ORIGIN}/victim"})
SECOND = tenacity.wait_fixed(1)
BUDGET = RetryBudget(100, transient=14, throttled=5, success=0)


# -- what the victim does


@asynccontextmanager
async def streaming(stage: Stage) -> AsyncIterator[Any]:
    async with stage.client.stream("GET", f"{ORIGIN}/victim") as response:
        yield response


async def stream(stage: Stage) -> Any:
    """Read in chunks, with a pause after each."""
    async with streaming(stage) as response:
        async for _ in response.aiter_raw():
            await stage.driver.sleep(0.1)
        return response


async def leave(stage: Stage) -> Any:
    """Close the response half-way."""
    async with streaming(stage) as response:
        await anext(response.aiter_raw())
        return response


async def linger(stage: Stage) -> Any:
    """Close the response, unread, after some time."""
    async with streaming(stage) as response:
        await stage.driver.sleep(1)
        return response


async def post(stage: Stage) -> Any:
    return await stage.client.post(f"{ORIGIN}/victim", content=b"body")


async def follow(stage: Stage) -> Any:
    return await stage.get("victim", follow_redirects=True)


async def hurry(stage: Stage) -> Any:
    """A call that waits for a connection for half a second."""
    return await stage.get("victim", timeout=httpx.Timeout(None, pool=0.5))


async def prefer(stage: Stage) -> Any:
    """A call that overtakes others in line."""
    return await stage.get("victim", **asking(priority=2))


# -- what happens before and after


async def fail_then_wait(stage: Stage) -> None:
    """Have a circuit opened by its first failure, and its open time pass: the victim is to be the probe."""
    stage.scripts["/first"] = [500]
    assert (await stage.get("first")).status_code == 500
    await stage.driver.sleep(2)


async def half_open(stage: Stage) -> None:
    """The victim is to be the probe."""
    await stage.get("first")
    stage.client.state.circuit(ORIGIN).half_open()


async def half_open_in_line(stage: Stage) -> None:
    """The victim is to be the probe, and to wait in a line behind a call to another origin."""
    await half_open(stage)
    stage.neighbours.append(stage.driver.spawn(stage.neighbour(OTHER)))


async def heal(stage: Stage) -> None:
    stage.client.state.circuit(ORIGIN).reset()


async def rest(stage: Stage) -> None:
    await stage.driver.sleep(60)


async def pause(stage: Stage) -> None:
    """Have the server ask for a pause of 2 s."""
    stage.scripts["/first"] = [reply(429, headers={"Retry-After": "2"})]
    assert (await stage.get("first")).status_code == 429


async def keep_another_alive(stage: Stage) -> None:
    """An idle connection to another origin."""
    await stage.get("first", OTHER)


async def keep_one_alive(stage: Stage) -> None:
    """An idle connection to the same origin."""
    await stage.get("first")


async def let_two_expire(stage: Stage) -> None:
    """Connections that have been idle for too long: the next call closes them, one after the other."""
    for task in [stage.driver.spawn(stage.get("first")) for _ in range(2)]:
        await task
    await stage.driver.sleep(60)


# -- policies of users


@dataclass(frozen=True)
class Pauses(Policy[None]):
    """Waits before a call and after it, and closes a response that it cannot hand on."""

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        await call.runtime.sleep(0.1)
        response = await next(call)
        try:
            await call.runtime.sleep(0.1)
        except BaseException:
            await call.runtime.close(call.body(response))
            raise
        return response


@dataclass(frozen=True)
class Twice(Policy[None]):
    """Sends each call twice, one after the other, and hands the second answer on."""

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        first = await next(call.fork())
        await call.runtime.drain(call.body(first), 4096, 5)
        return await next(call)


def of(*policies: Any, **options: Any) -> Scenario:
    """A scenario of these policies."""
    return Scenario(stack=lambda: Stack(*(policies or (IdempotencyKey(),))), **options)  # which leaves a GET alone


def full() -> Stack:
    return Stack(
        Timeout(60),
        IdempotencyKey(),
        Retry(wait=SECOND, budget=BUDGET),
        CircuitBreaker(),
        ConcurrencyLimit(2),
        Throttle(4, per=1),
        ReadBody(100),
        Timeout(10),
    )


LIMIT: Any = {"ahead": 2, "behind": 3}
"""Neighbours around a limit of two."""
LINE: Any = {"ahead": 1, "behind": 2}
"""Neighbours around a line with room for one."""
OPENS: Any = {**LINE, "neighbour": reply(500, after=0.5), "spared": (200, 500, CircuitOpen), "ends": CircuitOpen}
RETRY = Retry(wait=SECOND, budget=BUDGET)

POLICIES = {
    "none": of(),
    "timeout of a call": of(Timeout(30)),
    "timeout of a call, expiring": of(Timeout(2), script=(reply(after=5),), ends=TimedOut),
    "timeout of a body, expiring": of(Timeout(2), script=(DRIP,), ends=TimedOut),
    "timeout without the body": of(Timeout(2, body=False), script=(DRIP,), act=stream),
    "timeout of an attempt": of(Retry(wait=SECOND), Timeout(1), script=(reply(after=5),)),
    "retry": of(RETRY, script=(FAILED,), cost=5),
    "retry twice": of(RETRY, script=(FAILED, FAILED), cost=5),
    "retry after an error": of(RETRY, script=(httpx.ReadError,), cost=14),
    "retry without waiting": of(Retry(wait=tenacity.wait_none(), budget=BUDGET), script=(FAILED,), cost=5),
    "retry of too long a body": of(RETRY, script=(BABBLE,), cost=5),
    "retry of too slow a body": of(RETRY, script=(MUTE,), cost=5),
    "retry in vain": of(Retry(2, wait=SECOND), script=(FAILED, FAILED), act=stream, ends=503),
    "circuit": of(CircuitBreaker()),
    "circuit, streamed": of(CircuitBreaker(), act=stream),
    "circuit, failing": of(CircuitBreaker(), script=(FAILED,), ends=503),
    "circuit, body breaks": of(CircuitBreaker(), script=(BREAKS,), ends=httpx.ReadError),
    "probe": of(CircuitBreaker(), prepare=half_open),
    "probe, streamed": of(CircuitBreaker(), prepare=half_open, act=stream),
    "probe, open time over": of(CircuitBreaker(consecutive=1, open_for=1), prepare=fail_then_wait),
    "probe in line": of(CircuitBreaker(), ConcurrencyLimit(1, key="client"), prepare=half_open_in_line, later=2),
    "circuit opens on a limit": of(CircuitBreaker(consecutive=1), ConcurrencyLimit(1), mend=heal, **OPENS),
    "circuit opens on a throttle": of(CircuitBreaker(consecutive=1), Throttle(1, per=1), mend=heal, **OPENS),
    "circuit opens on a pool": of(CircuitBreaker(consecutive=1), connections=1, mend=heal, **OPENS),
    "throttle": of(Throttle(1, per=1), **LINE),
    "throttle, overtaking": of(Throttle(1, per=1), ahead=3, behind=1, act=prefer),
    "throttle, paced": of(Throttle(1, per=1, burst=1), **LINE),
    "throttle, strict": of(Throttle(1, per=1, strict=True), **LINE),
    "throttle, paused": of(Throttle(10), prepare=pause, **LINE),
    "throttle, without a rate": of(Throttle(None), prepare=pause, **LINE),
    "throttle, too long": of(
        Throttle(1, per=3, strict=True, max_wait=2), ahead=1, ends=WaitTooLong, mend=rest, later=0
    ),
    "limiter": Scenario(stack=lambda: Stack(Throttle(AsyncLimiter(1, 1))), drivers=("asyncio",), **LINE),
    "limiter, paused": Scenario(
        stack=lambda: Stack(Throttle(AsyncLimiter(2, 1))), drivers=("asyncio",), prepare=pause, **LINE
    ),
    "limit": of(ConcurrencyLimit(2), **LIMIT),
    "limit, overtaking": of(ConcurrencyLimit(2), act=prefer, ahead=4, behind=1),
    "limit, streamed": of(ConcurrencyLimit(2), act=stream, **LIMIT),
    "limit, left half-way": of(ConcurrencyLimit(2), act=leave, script=(DRIP,), **LIMIT),
    "limit until the headers": of(ConcurrencyLimit(2, release_on="headers"), act=linger, **LIMIT),
    "limit, bounded queue": of(ConcurrencyLimit(2, queue=1), ahead=2),
    "limit, no patience": of(ConcurrencyLimit(1, max_wait=0.5), ahead=1, ends=WaitTooLong, later=0),
    "limit, patience ends at the grant": of(ConcurrencyLimit(1, max_wait=0.749), ahead=1, ends=WaitTooLong, later=0),
    "limit, body breaks": of(ConcurrencyLimit(2), script=(BREAKS,), ends=httpx.ReadError, **LIMIT),
    "read body": of(ReadBody(100), script=(DRIP,)),
    "read body, too long": of(ReadBody(3, chunked=True), script=(DRIP,), act=stream),
    "read body, breaks": of(RETRY, ConcurrencyLimit(1), ReadBody(100, chunked=True), script=(BREAKS,), cost=14),
    "idempotency key": of(IdempotencyKey(), RETRY, script=(FAILED,), act=post, cost=5),
    "own policy": of(Pauses(), ConcurrencyLimit(2), **LIMIT),
    "own policy, inside": of(Retry(wait=SECOND), CircuitBreaker(), ConcurrencyLimit(2), Pauses(), script=(FAILED,)),
    "own policy, twice": of(Twice(), CircuitBreaker(), ConcurrencyLimit(1), **LINE),
}

POOLS = {
    "pool": of(connections=2),
    "pool, streamed": of(connections=2, act=stream),
    "pool, left half-way": of(connections=1, act=leave, **LINE),
    "pool, in line": of(connections=1, **LINE),
    "pool, no patience": of(connections=1, act=hurry, ahead=1, ends=WaitTooLong),
    "pool, connection kept": of(connections=2, prepare=keep_one_alive),
    "pool, connections expired": of(connections=2, prepare=let_two_expire),
    "pool, another origin's connection": of(connections=1, prepare=keep_another_alive),
    "pool without keep-alive": of(connections=2, keepalive=0, **LIMIT),
    "pool without keep-alive, alone": of(connections=1, keepalive=0),
    "pool, body breaks": of(connections=1, script=(BREAKS,), ends=httpx.ReadError, **LINE),
    "pool, retried": of(RETRY, connections=1, prepare=keep_one_alive, script=(FAILED,), cost=5),
    "pool, attempt timeout": of(Retry(wait=SECOND), Timeout(1), connections=1, script=(reply(after=5),)),
}

STACKS = {
    "standard": Scenario(stack=standard, script=(FAILED, DRIP)),
    "standard over a pool": Scenario(stack=standard, script=(FAILED, BREAKS), connections=2, ends=httpx.ReadError),
    "full": Scenario(stack=full, script=(FAILED, BREAKS), connections=2, ends=httpx.ReadError, **LIMIT),
    "full, streamed": Scenario(
        stack=full, script=(FAILED, reply(body=[b"x" * 60] * 3, every=0.5)), act=stream, **LIMIT
    ),
    "full, posted": Scenario(stack=full, script=(FAILED, httpx.ConnectError), connections=1, act=post, **LINE),
    "full, redirected": Scenario(stack=full, script=(AWAY, FAILED, GOOD), connections=1, act=follow, **LINE),
}

SCENARIOS: dict[str, Scenario] = POLICIES | POOLS | STACKS
