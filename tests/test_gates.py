"""Gates: neighbouring policies that only let through and hear how it went are run by one coroutine."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from calls import URL, client, outcome
from drivers import run

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, Retry, Stack, Throttle
from seawall._policy import Gate, bind
from seawall.testing import ScriptedServer, VirtualRuntime, reply

HEARD: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_heard() -> None:
    HEARD.clear()


@dataclass(frozen=True)
class Door(Gate[None]):
    """Tells what it is asked; may refuse, or make a call wait."""

    name: str = "door"
    refuses: bool = False
    waits: float = 0.0

    def enter(self, call: Any, state: None) -> Any:
        if self.refuses:
            raise httpx.TransportError(f"{self.name} is shut")
        HEARD.append(f"{self.name} entered")
        return call.runtime.sleep(self.waits) if self.waits else None

    def failed(self, call: Any, state: None, error: BaseException) -> None:
        HEARD.append(f"{self.name} failed")

    def passed(self, call: Any, state: None, response: Any) -> None:
        HEARD.append(f"{self.name} passed")


def test_gates_are_entered_from_the_outside_and_left_from_the_inside() -> None:
    """Fused or not, the order is that of policies around policies."""

    async def main() -> None:
        async with client(ScriptedServer(200), Door("outer"), Door("middle"), Door("inner")) as c:
            await c.get(URL)

    VirtualRuntime().run(main())
    assert [
        *("outer entered", "middle entered", "inner entered"),
        *("inner passed", "middle passed", "outer passed"),
    ] == HEARD


@pytest.mark.parametrize("error", [httpx.ConnectError("no"), asyncio.CancelledError()])
def test_a_gate_hears_of_every_way_to_get_no_response(error: BaseException) -> None:
    """An error of the network and a cancellation alike end every gate that was entered, the innermost first."""
    chain = bind([(Door("outer"), None), (Door("inner"), None)], broken(error))
    with pytest.raises(type(error)):
        asyncio.run(chain(None))  # type: ignore[arg-type]
    assert HEARD[2:] == ["inner failed", "outer failed"]


def broken(error: BaseException) -> Any:
    async def leaf(call: Any) -> Any:
        raise error

    return leaf


def test_a_refusal_ends_only_the_gates_that_were_entered() -> None:
    """Neither the gate that refuses nor the ones inside it took anything, so they give nothing back."""

    async def main() -> None:
        async with client(ScriptedServer(200), Door("outer"), Door("shut", refuses=True), Door("inner")) as c:
            assert isinstance(await outcome(c.get(URL)), httpx.TransportError)

    VirtualRuntime().run(main())
    assert HEARD == ["outer entered", "outer failed"]


def test_a_cancelled_wait_ends_only_the_gates_before_it() -> None:
    """A gate that is still being waited for was not entered."""
    runtime = VirtualRuntime()

    async def main() -> None:
        async with client(ScriptedServer(200), Door("outer"), ConcurrencyLimit(1), Door("inner")) as c:
            async with c.stream("GET", URL):
                waiting = runtime.spawn(c.get(URL))
                await runtime.sleep(1)
                HEARD.clear()
                waiting.cancel()
                await runtime.sleep(1)
                assert HEARD == ["outer failed"]
            assert (await c.get(URL)).status_code == 200

    runtime.run(main())


@dataclass(frozen=True)
class Twice(ConcurrencyLimit):
    """A user's own limit, with a `handle` of its own."""

    async def handle(self, call: Any, state: Any, next: Any) -> Any:
        HEARD.append("before")

        response = await super().handle(call, state, next)
        HEARD.append("after")
        return response


def test_a_subclass_with_a_handle_of_its_own_is_run_by_it() -> None:
    """Whoever overrides `handle` of a policy that ships as a gate is not bypassed by the shortcut."""
    state = seawall.State()

    async def main() -> None:
        async with client(
            ScriptedServer(reply(body=[b"a"])), CircuitBreaker(), Twice(3), Throttle(9), state=state
        ) as c:
            async with c.stream("GET", URL):
                assert {entry["policy"]: entry for entry in state.snapshot()}["Twice"]["in_use"] == 1
            assert {entry["policy"]: entry for entry in state.snapshot()}["Twice"]["in_use"] == 0

    VirtualRuntime().run(main())
    assert HEARD == ["before", "after"]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_any_order_of_gates_gives_everything_back(order: tuple[int, ...]) -> None:
    """A success, a failing status, an error and a body left unread: afterwards no slot is taken in any order."""
    gates = (CircuitBreaker(), ConcurrencyLimit(2), Throttle(100))
    state = seawall.State()
    answers = reply(body=[b"a", b"b"]), 500, httpx.ReadError("reset"), reply(body=[b"a", b"b"])

    async def main() -> None:
        async with client(ScriptedServer(*answers), Retry(1), *(gates[i] for i in order), state=state) as c:
            for _ in range(3):
                await outcome(c.get(URL))
            async with c.stream("GET", URL):
                pass

    VirtualRuntime().run(main())
    found = {entry["policy"]: entry for entry in state.snapshot()}
    assert found["ConcurrencyLimit"]["in_use"] == 0
    assert (found["CircuitBreaker"]["calls"], found["CircuitBreaker"]["failures"]) == (4, 2)


def test_a_body_that_was_read_has_nothing_more(driver: str) -> None:
    """Iterating the stream of a finished response again ends at once, whatever was beneath it."""
    stack = Stack(ConcurrencyLimit(1))
    body = reply(body=[b"a", b"b"])

    async def twice() -> list[bytes]:
        async with seawall.httpx.AsyncTransport(stack, transport=ScriptedServer(body)) as transport:
            response = await transport.handle_async_request(httpx.Request("GET", URL))
            stream: Any = response.stream
            return [chunk async for chunk in stream] + [chunk async for chunk in stream]

    if driver == "threads":
        with seawall.httpx.Transport(stack, transport=ScriptedServer(body)) as transport:
            stream: Any = transport.handle_request(httpx.Request("GET", URL)).stream
            assert [*stream, *stream] == [b"a", b"b"]
    else:
        assert run(driver, twice) == [b"a", b"b"]
