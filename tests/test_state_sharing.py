"""One State for several clients: what they share, what they do not, and what a forked child starts with."""

import asyncio
import subprocess
import sys
import textwrap
from typing import Any

import httpx
import pytest
from calls import ORIGIN, URL, client, outcome, starts

from seawall import (
    CircuitBreaker,
    CircuitOpen,
    ConcurrencyLimit,
    Endpoints,
    Retry,
    Stack,
    StackError,
    State,
    Throttle,
    WaitTooLong,
)
from seawall.httpx import AsyncClient, Client
from seawall.testing import ScriptedServer, VirtualRuntime


def test_two_clients_of_one_state_share_what_they_know():
    """A circuit opened through one client rejects the other's calls; a throttle counts both; a limit bounds both."""
    runtime, state = VirtualRuntime(), State()
    stack = CircuitBreaker(consecutive=1), Throttle(1, per=10)
    first, second = ScriptedServer(200, 500), ScriptedServer(200)

    async def main() -> Any:
        async with client(first, *stack, state=state) as a, client(second, *stack, state=state) as b:
            await a.get(URL)
            await b.get(URL)
            await a.get(URL)
            return await outcome(b.get(URL))

    assert isinstance(runtime.run(main()), CircuitOpen)
    assert (starts(first), starts(second)) == ([0, 20], [10])


def test_a_sync_and_an_async_client_share_a_state():
    """The same circuit serves threads and an event loop."""
    state, stack = State(), Stack(CircuitBreaker(consecutive=2, open_for=300), ConcurrencyLimit(1, max_wait=0.001))
    failing = httpx.MockTransport(lambda request: httpx.Response(500))

    async def awaiting(c: Client) -> Any:
        async with AsyncClient(stack, transport=ScriptedServer(), state=state) as other:
            with c.stream("GET", URL) as held:  # a limit of one: the thread's response holds it
                assert isinstance(await outcome(other.get(URL)), WaitTooLong)
                held.read()
            return (await other.get(URL)).status_code

    with Client(
        stack, transport=httpx.MockTransport(lambda r: httpx.Response(200, content=iter([b"x"]))), state=state
    ) as c:
        assert asyncio.run(awaiting(c)) == 200
    with Client(stack, transport=failing, state=state) as c:
        assert [c.get(URL).status_code for _ in range(2)] == [500, 500]

    async def rejected() -> Any:
        async with AsyncClient(stack, transport=ScriptedServer(), state=state) as other:
            return await outcome(other.get(URL))

    assert isinstance(asyncio.run(rejected()), CircuitOpen)


def test_equal_policies_at_the_same_place_share_and_others_do_not():
    """Sharing goes by pattern, place and settings: another setting is another circuit."""

    async def main() -> int:
        state = State()
        for policies in (
            (CircuitBreaker(),),
            (CircuitBreaker(),),
            (CircuitBreaker(probes=2),),
            (Retry(), CircuitBreaker()),
        ):
            async with client(ScriptedServer(), *policies, state=state) as c:
                await c.get(URL)
        return len(list(state.circuits()))

    assert VirtualRuntime().run(main()) == 3


@pytest.mark.parametrize(("name", "expected"), [(None, [0, 0]), ("api", [0, 1])])
def test_a_name_shares_across_patterns(name: str | None, expected: list[float]):
    """Two endpoints of one origin have a rate each, unless their throttles bear the same name."""
    runtime, server = VirtualRuntime(), ScriptedServer()
    stack = Stack(Throttle(1, name=name))

    async def main() -> None:
        endpoints = Endpoints({f"{ORIGIN}/a": stack, f"{ORIGIN}/b": stack})
        async with AsyncClient(endpoints, transport=server) as c:
            await c.get(f"{ORIGIN}/a")
            await c.get(f"{ORIGIN}/b")

    runtime.run(main())
    assert starts(server) == expected


def test_one_name_with_different_settings_is_an_error():
    """Within one client, or between clients of one State; the error shows the name and both settings."""
    a, b = Stack(Throttle(1, name="api")), Stack(Throttle(2, name="api"))
    with pytest.raises(StackError, match=r"'api'.*rate=1.*rate=2"):
        AsyncClient(Endpoints({f"{ORIGIN}/a": a}, default=b), transport=ScriptedServer())
    state = State()
    Client(a, transport=ScriptedServer(), state=state).close()
    with pytest.raises(StackError, match="'api'"):
        Client(b, transport=ScriptedServer(), state=state)
    Client(Stack(ConcurrencyLimit(1, name="api")), transport=ScriptedServer(), state=state).close()  # another kind


def test_circuits_survive_the_client_that_opened_them():
    """With a State of its own making, an outage seen by one short-lived client spares the next one."""
    state, stack = State(), (CircuitBreaker(consecutive=1),)

    async def main() -> Any:
        async with client(ScriptedServer(500), *stack, state=state) as c:
            await c.get(URL)
        assert state.circuit(ORIGIN).state == "open"
        async with client(ScriptedServer(), *stack, state=state) as c:
            return await outcome(c.get(URL))

    assert isinstance(VirtualRuntime().run(main()), CircuitOpen)


FORK = """
    import os, sys, threading
    import httpx, seawall
    from seawall.httpx import Client

    fail = lambda request: httpx.Response(500)
    stack = seawall.Stack(seawall.CircuitBreaker(consecutive=1, open_for=300), seawall.ConcurrencyLimit(1, max_wait=5))
    client = Client(stack, transport=httpx.MockTransport(fail))
    client.get("https://api.example.com")
    locks = [client.state._lock, *(cell.state._lock for cell in client.state._all_cells())]
    for cell in client.state._all_cells():
        if hasattr(cell.state, "try_enter"):
            assert cell.state.try_enter()          # a call of another thread, in flight while we fork
    for lock in locks:
        lock.acquire()                             # and its locks held
    child = os.fork()
    if child == 0:
        assert not list(client.state.circuits()), "the child knows what the parent saw"
        assert client.get("https://api.example.com").status_code == 500
        assert client.state.circuit("https://api.example.com").state == "open"
        os._exit(0)
    for lock in locks:
        lock.release()
    _, status = os.waitpid(child, 0)
    assert client.state.circuit("https://api.example.com").state == "open"
    sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_child_starts_afresh():
    """After fork() the child has no circuits, no slots in use and no held locks; the parent keeps its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(FORK)],
        timeout=50,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_key_function_is_called_once_for_each_call():
    """Also for the first call of a key: one that counts, or draws lots, gets no second say."""
    asked: list[str] = []

    def key(request: Any) -> str:
        asked.append(request.url.path)
        return str(len(asked))

    async def main() -> Any:
        async with client(ScriptedServer(), ConcurrencyLimit(1, key=key)) as c:
            for path in ("/a", "/b", "/a"):
                await c.get(f"{ORIGIN}{path}")
            return [entry["key"] for entry in c.state.snapshot()]

    assert VirtualRuntime().run(main()) == ["1", "2", "3"]
    assert asked == ["/a", "/b", "/a"]
