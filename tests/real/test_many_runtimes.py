"""One State, and one transport, for both libraries and every runtime at once."""

import threading
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import httpx2
import pytest

import seawall.httpx
import seawall.httpx2
from seawall import CircuitBreaker, CircuitOpen, ConcurrencyLimit, Retry, Stack, State, Timeout

from .conftest import Serve
from .modes import ASYNC, MODES, SYNC, TRIO, UVLOOP, Mode, run
from .servers import PATIENCE, answers, response


def new(family: Any, mode: Mode, *given: Any, **options: Any) -> Any:
    """A client of one library."""
    return (family.AsyncClient if mode.is_async else family.Client)(*given, **options)


def at_once(*work: tuple[Mode, Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Run each in a thread, and in a loop, of its own."""
    failures: list[BaseException] = []

    def main(mode: Mode, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            run(scenario(), mode)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=main, args=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "it does not end"
    if failures:
        raise failures[0]


@pytest.mark.parametrize("waiter", MODES, ids=repr)
@pytest.mark.parametrize("holder", MODES, ids=repr)
def test_a_slot_goes_from_one_to_another(serve: Serve, holder: Mode, waiter: Mode) -> None:
    """What httpx gives back under one runtime goes to who waits in line with httpx2 under another."""
    server, state, stack = serve(), State(), Stack(Timeout(20), ConcurrencyLimit(1))
    held = threading.Event()

    def known() -> dict[str, Any]:
        return state.snapshot()[0]

    async def hold() -> None:
        async with holder.using(new(seawall.httpx, holder, stack, state=state)) as client:
            answer = await holder.open(client, server.url("/held"))
            held.set()
            await holder.reach(lambda: known()["waiting"] == 1)
            assert await holder.read(answer) == b"ok"

    async def wait() -> None:
        assert held.wait(PATIENCE)
        async with waiter.using(new(seawall.httpx2, waiter, stack, state=state)) as client:
            assert (await waiter.get(client, server.url("/waited"))).content == b"ok"

    at_once((holder, hold), (waiter, wait))
    assert [heard.target for heard in server.heard] == ["/held", "/waited"]
    assert (known()["in_use"], known()["waiting"]) == (0, 0)


def test_a_circuit_is_open_for_both_libraries(serve: Serve) -> None:
    """A circuit that a client of httpx opened rejects one of httpx2, with an error of httpx2's."""
    server = serve(answers(response(b"", status="500 Broken")))
    state, stack = State(), Stack(CircuitBreaker(consecutive=1))
    with (
        seawall.httpx.Client(stack, state=state) as old,
        seawall.httpx2.Client(stack, state=state) as fresh,
    ):
        assert old.get(server.url()).status_code == 500
        with pytest.raises(CircuitOpen) as caught:
            fresh.get(server.url())
        with pytest.raises(httpx.TransportError):
            old.get(server.url())
    assert isinstance(caught.value, httpx2.TransportError)
    assert isinstance(caught.value, httpx.TransportError) == (httpx is httpx2)
    assert len(server.heard) == 1


def test_one_transport_under_every_runtime_at_once(serve: Serve) -> None:
    """asyncio, uvloop and trio, two threads of each, use one client: each call ends well, no connection is shared."""
    server = serve()
    stack = Stack(Timeout(20), Retry(), CircuitBreaker(), ConcurrencyLimit(3), Timeout(10))
    transport = seawall.httpx.AsyncTransport(stack, transport=seawall.httpx.AsyncPool(4))
    client = httpx.AsyncClient(transport=transport)
    users = [mode for mode in (ASYNC, UVLOOP, TRIO) for _ in range(2)]

    def user(number: int, mode: Mode) -> Callable[[], Coroutine[Any, Any, None]]:
        async def main() -> None:
            for _ in range(5):
                batch = [mode.start(mode.get(client, server.url(f"/{number}"))) for _ in range(4)]
                assert [(await each.result()).content for each in batch] == [b"ok"] * 4
            await transport.aclose()

        return main

    at_once(*((mode, user(number, mode)) for number, mode in enumerate(users)))
    users_of: dict[int, set[str]] = {}
    for heard in server.heard:
        users_of.setdefault(heard.connection, set()).add(heard.target)
    assert len(server.heard) == 20 * len(users)
    assert all(len(those) == 1 for those in users_of.values()), "a connection was used in two loops"
    (limit,) = (known for known in transport.state.snapshot() if known["policy"] == "ConcurrencyLimit")
    assert (limit["in_use"], limit["waiting"], transport.inner.shards.slots.in_use) == (0, 0, 0)
    server.wait_for(lambda: server.open == 0)


def test_sync_and_async_in_one_thread(serve: Serve) -> None:
    """A sync client used inside a loop, as scripts do, shares its State with the async one beside it."""
    server, state, stack = serve(), State(), Stack(ConcurrencyLimit(1, max_wait=0.01))

    async def main() -> None:
        async with new(seawall.httpx, TRIO, stack, state=state) as client:
            with new(seawall.httpx2, SYNC, stack, state=state) as beside:
                answer = await TRIO.open(client, server.url())
                with pytest.raises(seawall.WaitTooLong):
                    beside.get(server.url())
                await TRIO.close(answer)
                assert beside.get(server.url()).content == b"ok"

    run(main(), TRIO)
