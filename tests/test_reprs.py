"""Everything stateful has a repr that tells its state."""

import asyncio
from typing import Any

import httpx
import pytest
from calls import ORIGIN, URL, client

import seawall
import seawall.httpx
from seawall import CircuitBreaker, ConcurrencyLimit, Endpoints, Retry, Stack, State, Throttle
from seawall._family import Family
from seawall.policies.retry import BudgetState
from seawall.runtime.asyncio import ASYNCIO
from seawall.runtime.threads import THREADS
from seawall.testing import ScriptedServer, VirtualRuntime, reply


def test_a_body_tells_whether_it_has_ended_and_what_it_holds() -> None:
    """An open response of a limited endpoint holds its slot; a read one nothing."""
    seen: list[str] = []

    async def main() -> None:
        async with seawall.httpx.AsyncTransport(
            Stack(ConcurrencyLimit(1)), transport=ScriptedServer(reply(body=[b"a"]))
        ) as transport:
            response = await transport.handle_async_request(httpx.Request("GET", URL))
            seen.append(repr(response.stream))
            await response.aread()
            seen.append(repr(response.stream))

    VirtualRuntime().run(main())
    assert seen == ["<AsyncBody open holds=1>", "<AsyncBody ended holds=0>"]


def test_the_states_of_policies_tell_what_they_know() -> None:
    """A circuit, slots, a throttle's line and a budget, after one failed call."""
    state = State()

    async def main() -> None:
        stack = Retry(1), CircuitBreaker(), ConcurrencyLimit(7), Throttle(3)
        async with client(ScriptedServer(500), *stack, state=state) as c:
            await c.get(URL)

    VirtualRuntime().run(main())
    told = {repr(cell.state) for cell in state._all_cells()}
    assert told == {
        "<RetryBudget 500/500>",
        f"<Circuit {ORIGIN} closed 1/1 failed>",
        "<Slots 0/7 in use, 0 waiting>",
        "<Throttle 0 waiting>",
    }


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (ASYNCIO, "<seawall asyncio runtime>"),
        (THREADS, "<seawall thread runtime>"),
        (Family(httpx, "here"), f"<Family {httpx.__name__}>"),
        (BudgetState(None), "<RetryBudget inf/inf>"),
        (State(), "<State keys=0/10000 circuits=0>"),
        (Endpoints({"*.example.com": Stack(Retry(2))}).stacks, "attempts=2"),
        (Endpoints({"*.example.com": Stack(Retry(2))}), "Endpoints({'*.example.com': Stack(Retry(attempts=2"),
    ],
)
def test_what_has_no_calls_yet_tells_what_it_is(thing: Any, told: str) -> None:
    """Runtimes, families, states and settings are told apart at a glance."""
    assert told in repr(thing)


def test_a_pool_and_its_connections_tell_how_many_there_are() -> None:
    """The idle connection of a pool that has answered once is shown, with where it leads to."""

    async def main() -> list[str]:
        async with seawall.httpx.AsyncPool(3) as pool:
            pool.shards.build = lambda: ScriptedServer(reply(body=[b"a"]))
            response = await pool.handle_async_request(httpx.Request("GET", URL))
            busy = repr(pool)
            (shard,) = pool.shards._out
            await response.aread()
            return [busy, repr(pool), repr(shard)]

    busy, idle, shard = asyncio.run(main())
    assert "1/3 connections in use, 0 idle" in busy
    assert "0/3 connections in use, 1 idle" in idle
    assert shard == "<Shard for ('https', 'api.example.com', None) used>"
