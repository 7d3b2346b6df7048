"""Waiting in a line is no way around an open circuit: what is queued when it opens fails, unsent."""

import threading
from typing import Any

import httpx
import pytest
from calls import ORIGIN, URL, asking, burst, client, outcome

import seawall
from seawall import CircuitBreaker, CircuitOpen, ConcurrencyLimit, Retry, Stack, Throttle, Timeout
from seawall.httpx import AsyncClient, AsyncPool, Client
from seawall.testing import ScriptedServer, VirtualRuntime, reply


def pool(server: Any, size: int) -> AsyncPool:
    """A pool of this many connections, each of them to the scripted server."""
    made = AsyncPool(size)
    made.shards.build = lambda: server
    return made


def lines() -> dict[str, Any]:
    """Each of our lines, with room for one call at a time: the policies, and the transport around a server."""
    return {
        "limit": (ConcurrencyLimit(1), lambda server: server),
        "throttle": (Throttle(1, per=1), lambda server: server),
        "paced": (Throttle(1, per=1, burst=1), lambda server: server),
        "pool": (None, lambda server: pool(server, 1)),
    }


@pytest.mark.parametrize("line", list(lines()))
def test_what_is_queued_fails_when_its_circuit_opens(line: str):
    """Every call in the line gets CircuitOpen at the moment the circuit opens, and none of them is sent."""
    policy, around = lines()[line]
    runtime, server = VirtualRuntime(), ScriptedServer(reply(500, after=0.5), then=200)
    ended: list[float] = []

    async def timed(c: AsyncClient) -> Any:
        result = await outcome(c.get(URL))
        ended.append(runtime.now())
        return result

    async def main() -> Any:
        stack = Stack(*(p for p in (CircuitBreaker(consecutive=1), policy) if p is not None))
        async with AsyncClient(stack, transport=around(server)) as c:
            tasks = [runtime.spawn(timed(c)) for _ in range(20)]
            return [await task for task in tasks]

    first, *rest = runtime.run(main())
    assert first.status_code == 500
    assert all(isinstance(error, CircuitOpen) for error in rest)
    assert len(server.requests) == 1
    assert set(ended) == {0.5}


@pytest.mark.parametrize("line", list(lines()))
def test_an_operator_s_isolation_reaches_into_the_line(line: str):
    """`isolate()` fails what waits at once, and the line is free for later calls."""
    policy, around = lines()[line]
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=0.5))

    async def main() -> None:
        stack = Stack(*(p for p in (CircuitBreaker(), policy) if p is not None))
        async with AsyncClient(stack, transport=around(server)) as c:
            tasks = [runtime.spawn(c.get(URL)) for _ in range(5)]
            await runtime.sleep(0.25)
            c.state.circuit(ORIGIN).isolate()
            first, *rest = [await outcome(task) for task in tasks]
            assert first.status_code == 200
            assert all(isinstance(error, CircuitOpen) for error in rest)
            c.state.circuit(ORIGIN).reset()
            await runtime.sleep(1)
            assert [r.status_code for r in await burst(runtime, c, 2)] == [200, 200]

    runtime.run(main())
    assert len(server.requests) == 3


def test_a_slot_granted_just_before_the_circuit_opened_is_passed_on_unused():
    """The grant is checked again: a failing call hands its slot on, then its failure opens the circuit."""
    runtime, sent = VirtualRuntime(), []

    class Refusing(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            sent.append(runtime.now())
            await runtime.sleep(1)
            raise httpx.ConnectError("refused")

    async def main() -> Any:
        async with client(Refusing(), CircuitBreaker(consecutive=1), ConcurrencyLimit(1)) as c:
            results = await burst(runtime, c, 10)
            slots = next(e for e in c.state.snapshot() if e["policy"] == "ConcurrencyLimit")
            return results, (slots["in_use"], slots["waiting"])

    (first, *rest), left = runtime.run(main())
    assert isinstance(first, httpx.ConnectError)
    assert all(isinstance(error, CircuitOpen) for error in rest)
    assert (sent, left) == ([0], (0, 0))


def test_other_keys_in_a_shared_line_go_on():
    """Only calls of the circuit that opened fail; those of another origin in the same line are sent."""
    runtime, other = VirtualRuntime(), "https://other.example.com/"

    def answer(request: httpx.Request) -> Any:
        return reply(500 if request.url.host == "api.example.com" else 200, after=1)

    async def main() -> Any:
        server = ScriptedServer(then=answer)
        async with client(server, CircuitBreaker(consecutive=1), ConcurrencyLimit(1, key="client")) as c:
            tasks = [runtime.spawn(c.get(url)) for url in (URL, URL, other, URL, other)]
            return [await outcome(task) for task in tasks]

    results = runtime.run(main())
    assert [getattr(r, "status_code", None) for r in results] == [500, None, 200, None, 200]


def test_both_circuits_of_a_call_watch_over_its_wait():
    """Of two nested circuits, the outer one's opening reaches a call that waits inside the inner one as well."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=1))

    async def main() -> Any:
        stack = CircuitBreaker(name="outer"), CircuitBreaker(name="inner"), ConcurrencyLimit(1)
        async with client(server, *stack) as c:
            tasks = [runtime.spawn(c.get(URL)) for _ in range(2)]
            await runtime.sleep(0.5)
            c.state.circuit("outer").open()
            return [await outcome(task) for task in tasks]

    first, second = runtime.run(main())
    assert first.status_code == 200
    assert isinstance(second, CircuitOpen)


def test_a_queued_call_that_is_refused_is_not_retried():
    """CircuitOpen in a line is a rejection like any other: it gets through Retry as it is."""
    runtime, server = VirtualRuntime(), ScriptedServer(reply(500, after=1))

    async def main() -> Any:
        stack = Retry(4, methods=()), CircuitBreaker(consecutive=1), ConcurrencyLimit(1)
        async with client(server, *stack) as c:
            return await burst(runtime, c, 3)

    _, second, third = runtime.run(main())
    for error in (second, third):
        assert isinstance(error, CircuitOpen)
        assert seawall.report(error).attempts == ()


def test_a_half_open_circuit_s_waiting_probe_keeps_its_place():
    """A probe that waits in our own line is not lost: it is sent when its turn comes, and closes the circuit."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=10))

    async def main() -> Any:
        stack = Timeout(100), CircuitBreaker(open_for=1), ConcurrencyLimit(1, key="client")
        async with client(server, *stack) as c:
            await outcome(c.get(URL))
            other = runtime.spawn(c.get("https://other.example.com/"))
            await runtime.sleep(0)
            c.state.circuit(ORIGIN).half_open()
            probe = await outcome(c.get(URL))
            await other
            return probe.status_code, c.state.circuit(ORIGIN).state

    assert runtime.run(main()) == (200, "closed")


def test_threads_in_line_fail_when_the_circuit_opens():
    """Blocked threads are woken by the opening and raise CircuitOpen; nothing of theirs is sent."""
    state, queued, arrived = seawall.State(), 5, threading.Event()

    class Gate(httpx.BaseTransport):
        sent = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.sent += 1
            arrived.set()
            assert release.wait(30)
            return httpx.Response(500)

    release, gate, errors = threading.Event(), Gate(), []
    stack = Stack(CircuitBreaker(consecutive=1, name="c"), ConcurrencyLimit(1, name="l"))
    with Client(stack, transport=gate, state=state) as c:

        def fetch() -> None:
            try:
                c.get(URL)
            except CircuitOpen as error:
                errors.append(error)

        threads = [threading.Thread(target=fetch)]
        threads[0].start()
        assert arrived.wait(30)
        threads += [threading.Thread(target=fetch) for _ in range(queued)]
        for thread in threads[1:]:
            thread.start()
        slots = next(cell.state for cell in state._all_cells() if isinstance(cell.policy, ConcurrencyLimit))
        while slots.waiting < queued:
            threading.Event().wait(0.001)
        state.circuit("c").open()
        for thread in threads[1:]:
            thread.join(30)
        release.set()
        threads[0].join(30)
    assert (len(errors), gate.sent, slots.in_use) == (queued, 1, 0)


def test_a_cancelled_call_in_line_is_forgotten_by_its_circuit():
    """A circuit keeps no waiter of a call that left the line."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=5))

    async def main() -> Any:
        async with client(server, CircuitBreaker(), ConcurrencyLimit(1)) as c:
            first = runtime.spawn(c.get(URL))
            tasks = [runtime.spawn(c.get(URL, **asking(priority=1))) for _ in range(3)]
            await runtime.sleep(1)
            circuit = c.state.circuit(ORIGIN)._machine
            waiting = len(circuit.generation.waiters)
            for task in tasks:
                task.cancel()
            await runtime.sleep(0)
            await first
            return waiting, len(circuit.generation.waiters)

    assert runtime.run(main()) == (3, 0)
