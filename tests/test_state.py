"""State: what is remembered between calls, for how long, by whom it is shared, and what is never forgotten."""

import gc
import json
import weakref
from typing import Any

import httpx
import pytest
from calls import ORIGIN, URL, client, outcome
from drivers import known

import seawall
from seawall import (
    CircuitBreaker,
    ConcurrencyLimit,
    Retry,
    RetryBudget,
    Stack,
    State,
    Throttle,
)
from seawall.httpx import Transport
from seawall.testing import ScriptedServer, VirtualRuntime, reply


def host(number: int) -> str:
    return f"https://h{number}.example.com"


def origins(state: State) -> set[Any]:
    """The origins of which a circuit is known."""
    return {circuit.key for circuit in state.circuits()}


def test_keys_are_bounded():
    """However many hosts are called, no more than `max_keys` are remembered."""

    async def main() -> Any:
        state, most = State(max_keys=50), 0
        async with client(ScriptedServer(), CircuitBreaker(), ConcurrencyLimit(1), state=state) as c:
            for number in range(1000):
                await c.get(host(number))
                most = max(most, len(state.chains), len(origins(state)))
            return most, len(state._all_cells())

    assert VirtualRuntime().run(main()) == (50, 100)


def test_redirects_to_endless_hosts_do_not_grow_memory():
    """A server that redirects for ever to hosts of its making is remembered as little as any other."""

    def answer(request: httpx.Request) -> Any:
        number = int(request.url.host.partition(".")[0][1:])
        return reply(302, headers={"location": host(number + 1)})

    async def main() -> Any:
        state = State(max_keys=20)
        server = ScriptedServer(then=answer)
        async with client(
            server, Retry(), CircuitBreaker(), state=state, follow_redirects=True, max_redirects=300
        ) as c:
            error = await outcome(c.get(host(0)))
            return error, len(server.requests), len(state.chains), len(state._all_cells())

    error, hops, chains, cells = VirtualRuntime().run(main())
    assert isinstance(error, httpx.TooManyRedirects)
    assert hops == 301
    assert (chains, cells) == (20, 40)


def drop(responses: list[Any]) -> None:
    """Let go of them, and have the collector find them."""
    responses.clear()
    gc.collect()


def test_a_dropped_response_does_not_pin_its_key_for_ever():
    """Hosts whose responses were never closed are forgotten like others."""
    runtime = VirtualRuntime()

    async def main() -> Any:
        server = ScriptedServer(then=reply(body=[b"a", b"b"]))
        async with client(server, CircuitBreaker(), state=State(max_keys=3)) as c:
            for number in range(12):
                held = [await c.send(c.build_request("GET", host(number)), stream=True)]
                with pytest.warns(ResourceWarning, match="dropped"):
                    drop(held)
                await runtime.sleep(10)
            return len(origins(c.state))

    assert runtime.run(main()) <= 4


def test_idle_keys_are_forgotten():
    """A key unused for longer than `idle` makes room as soon as another one comes."""
    runtime = VirtualRuntime()

    async def main() -> Any:
        state = State(idle=60)
        async with client(ScriptedServer(), CircuitBreaker(), state=state) as c:
            for number in range(3):
                await c.get(host(number))
            await runtime.sleep(59)
            await c.get(host(1))
            await runtime.sleep(2)
            await c.get(host(3))
            return origins(state)

    assert runtime.run(main()) == {host(1), host(3)}


def test_what_is_used_gets_a_second_chance():
    """When room is needed, a key in steady use stays; those used once go."""

    async def main() -> Any:
        state = State(max_keys=4)
        async with client(ScriptedServer(), CircuitBreaker(), state=state) as c:
            await c.get(URL)
            cell = state._all_cells()[0]
            for number in range(40):
                await virtual.sleep(1)
                await c.get(host(number))
                await c.get(URL)
            return cell in state._all_cells(), len(state.chains)

    virtual = VirtualRuntime()
    assert virtual.run(main()) == (True, 4)


async def flood(c: Any, runtime: VirtualRuntime) -> None:
    """Other hosts, far more than there is room for."""
    for number in range(20):
        await c.get(host(number))
        await runtime.sleep(0.01)


@pytest.mark.parametrize("way", ["open", "half_open", "isolate"])
def test_a_circuit_that_is_not_closed_is_never_evicted(way: str):
    """An open, half-open or isolated circuit outlives any crowd of other keys."""
    runtime = VirtualRuntime()

    async def main() -> str:
        async with client(ScriptedServer(), CircuitBreaker(), state=State(max_keys=2, idle=1)) as c:
            await c.get(URL)
            getattr(c.state.circuit(ORIGIN), way)()
            before = c.state.circuit(ORIGIN).state
            await runtime.sleep(100)
            await flood(c, runtime)
            assert c.state.circuit(ORIGIN).state == before
            assert len(c.state.chains) <= 3
            return before

    assert runtime.run(main()) in ("open", "half-open", "isolated")


def test_a_limit_with_calls_in_flight_is_never_evicted():
    """While one call holds the slot of a limit of one, a crowd of other keys does not make it two limits."""
    runtime = VirtualRuntime()
    server = ScriptedServer(reply(after=1000), then=200)

    async def main() -> Any:
        async with client(server, ConcurrencyLimit(1), state=State(max_keys=1, idle=1)) as c:
            first = runtime.spawn(c.get(URL))
            await runtime.sleep(10)
            await flood(c, runtime)
            second = runtime.spawn(c.get(URL))
            await runtime.sleep(10)
            await flood(c, runtime)
            waits = not second.done
            await first
            return waits, (await second).status_code, runtime.now()

    assert runtime.run(main()) == (True, 200, 1000)


@pytest.mark.parametrize(
    "policy",
    [Throttle(1, per=3600), Throttle(1, per=3600, burst=1), Throttle(1, per=3600, strict=True)],
    ids=["window", "bucket", "strict"],
)
def test_a_spent_throttle_is_never_evicted(policy: Throttle):
    """A throttle that would admit sooner if it were forgotten is not."""
    runtime, server = VirtualRuntime(), ScriptedServer()

    async def main() -> float:
        async with client(server, policy, state=State(max_keys=1, idle=1)) as c:
            await c.get(URL)
            await runtime.sleep(100)
            await flood(c, runtime)
            await c.get(URL)
            return runtime.now()

    assert runtime.run(main()) == 3600


@pytest.mark.parametrize(
    ("told", "last"),
    [
        (reply(429, headers={"Retry-After": "50"}), 50),
        (reply(headers={"RateLimit": "limit=100, remaining=0, reset=50"}), 50),
        (reply(headers={"RateLimit": "limit=100, remaining=2, reset=50"}), 25),
    ],
    ids=["retry-after", "spent", "scarce"],
)
def test_what_the_server_asked_for_is_never_evicted(told: Any, last: float):
    """A pause, and the spacing of what little is left, hold for their time whoever else is called meanwhile."""
    runtime, server = VirtualRuntime(), ScriptedServer(told)

    async def main() -> None:
        async with client(server, Throttle(None), state=State(max_keys=1, idle=1)) as c:
            await c.get(URL)
            first_of_the_spread = runtime.spawn(c.get(URL))
            await runtime.sleep(1)
            await flood(c, runtime)
            await c.get(URL)
            await first_of_the_spread

    runtime.run(main())
    assert max(request.at for request in server.requests if request.url == URL) >= last


def test_calls_in_flight_keep_their_chain():
    """A call whose key is forgotten while it is on its way ends as if nothing had happened."""
    runtime = VirtualRuntime()
    server = ScriptedServer(reply(after=100, body=[b"a", b"b"], every=100), then=200)

    async def main() -> Any:
        async with client(server, CircuitBreaker(), state=State(max_keys=1, idle=1)) as c:
            first = runtime.spawn(c.get(URL))
            await runtime.sleep(10)
            await flood(c, runtime)
            assert ORIGIN not in origins(c.state)
            return (await first).content

    assert runtime.run(main()) == b"ab"


def test_closed_clients_leave_nothing_of_no_consequence_behind():
    """Many short-lived clients with as many hosts do not grow a shared State."""

    async def main() -> Any:
        state = State(max_keys=10, idle=5)
        for number in range(100):
            async with client(ScriptedServer(), CircuitBreaker(), ConcurrencyLimit(1), state=state) as c:
                await c.get(host(number))
            await virtual.sleep(1)
        return len(state._all_cells()), len(state.chains)

    virtual = VirtualRuntime()
    cells, chains = virtual.run(main())
    assert cells <= 20
    assert chains == 0


def test_an_unknown_key_lists_the_near_ones():
    """A typo in `state.circuit(...)` shows what there is."""

    async def main() -> None:
        async with client(ScriptedServer(), CircuitBreaker()) as c:
            with pytest.raises(KeyError, match="there is none"):
                c.state.circuit(ORIGIN)
            await c.get(URL)
            await c.get("https://files.example.com")
            with pytest.raises(
                KeyError, match=r"no circuit 'https://api\.exampel\.com'; there is 'https://api\.example\.com'"
            ):
                c.state.circuit("https://api.exampel.com")
            assert c.state.circuit(ORIGIN + "/").key == ORIGIN

    VirtualRuntime().run(main())


def test_of_very_many_circuits_the_near_ones_are_found():
    """Where comparing with each would take long, those are shown that begin alike."""

    async def main() -> None:
        async with client(ScriptedServer(), CircuitBreaker()) as c:
            for number in range(1000):
                await c.get(f"https://host-{number:04}.example.com")
            with pytest.raises(KeyError, match=r"there is 'https://host-0500\.example\.com', "):
                c.state.circuit("https://host-0500.example.co")

    VirtualRuntime().run(main())


def test_a_circuit_is_the_same_each_time():
    """However it is asked for: what listens to its breaker goes on doing so."""

    async def main() -> None:
        async with client(ScriptedServer(), CircuitBreaker()) as c:
            await c.get(URL)
            circuit = c.state.circuit(ORIGIN)
            assert circuit is c.state.circuit(ORIGIN)
            assert [circuit] == list(c.state.circuits())
            assert circuit.breaker is c.state.circuit(ORIGIN).breaker

    VirtualRuntime().run(main())


def test_an_evicted_key_is_gone_at_once():
    """It leaves no garbage for the collector, whose passes over many keys would cost more than all the calls."""
    state, stack = State(max_keys=2), Stack(Retry(), CircuitBreaker(), ConcurrencyLimit(2), Throttle(None))

    def visit(transport: Transport, numbers: range) -> None:  # without a client: its responses are such garbage
        for number in numbers:
            transport.handle_request(httpx.Request("GET", host(number))).read()

    gc.disable()
    try:
        with Transport(stack, transport=ScriptedServer(), state=state) as transport:
            visit(transport, range(9))
            kept = [weakref.ref(cell.state) for cell in state._all_cells()]
            visit(transport, range(9, 18))
    finally:
        gc.enable()
    assert [one() for one in kept] == [None] * 8


def test_a_circuit_is_found_by_what_its_key_gives():
    """With a key function, circuits are known by its values."""

    async def main() -> Any:
        breaker = CircuitBreaker(key=lambda request: request.url.path)
        async with client(ScriptedServer(), breaker) as c:
            await c.get(URL)
            return c.state.circuit("/items").key, [circuit.key for circuit in c.state.circuits()]

    assert VirtualRuntime().run(main()) == ("/items", ["/items"])


def test_a_snapshot_is_plain_data_of_every_live_key():
    """Circuits, slots in use, lines and budgets, as something that JSON can carry."""
    runtime = VirtualRuntime()

    async def main() -> Any:
        server = ScriptedServer(500, then=reply(after=5))
        stack = Retry(1, budget=RetryBudget(capacity=50)), CircuitBreaker(), ConcurrencyLimit(1), Throttle(10)
        async with client(server, *stack) as c:
            await c.get(URL)
            tasks = [runtime.spawn(c.get(URL)) for _ in range(3)]
            await runtime.sleep(1)
            snapshot = c.state.snapshot()
            for task in tasks:
                await task
            return snapshot

    snapshot = runtime.run(main())
    assert json.loads(json.dumps(snapshot)) == snapshot
    found = {entry["policy"]: entry for entry in snapshot}
    assert {entry["key"] for entry in snapshot} == {ORIGIN}
    assert found["CircuitBreaker"]["state"] == "closed"
    assert (found["CircuitBreaker"]["calls"], found["CircuitBreaker"]["failures"]) == (1, 1)
    assert (found["ConcurrencyLimit"]["in_use"], found["ConcurrencyLimit"]["waiting"]) == (1, 2)
    assert found["Throttle"]["waiting"] == 0
    assert "Retry" in found


@pytest.mark.parametrize("options", [{"max_keys": 0}, {"idle": 0}, {"idle": float("nan")}])
def test_bounds_that_cannot_be_are_refused_by_name(options: dict[str, Any]):
    """Each impossible bound is a ValueError that names it."""
    with pytest.raises(ValueError, match=next(iter(options))):
        State(**options)


def test_a_state_s_repr_tells_how_full_it_is():
    """Keys in use, of how many, and circuits."""

    async def main() -> str:
        async with client(ScriptedServer(), CircuitBreaker(), state=State(max_keys=7)) as c:
            await c.get(URL)
            assert known(c.state, CircuitBreaker)["state"] == "closed"
            return repr(c.state)

    assert VirtualRuntime().run(main()) == "<State keys=1/7 circuits=1>"
    assert isinstance(seawall.State(), State)


def test_the_snapshot_of_a_throttle_tells_what_could_still_start() -> None:
    """The tokens left when a call last asked are plain data; a throttle without a rate has none to tell."""

    async def main() -> list[dict[str, Any]]:
        state = State()
        stack = seawall.Stack(Throttle(10, name="ten"), Throttle(None, name="any"))
        async with seawall.httpx.AsyncClient(stack, transport=ScriptedServer(), state=state) as http:
            for _ in range(3):
                await http.get("http://a.example/")
        return state.snapshot()

    told = {entry["name"]: entry["tokens"] for entry in VirtualRuntime().run(main())}
    assert told == {"ten": 7, "any": None}


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "collected"])
@pytest.mark.parametrize(
    ("policy", "answer", "remembered"),
    [
        (CircuitBreaker(consecutive=1), reply(500, after=5), {"state": "open"}),
        (Throttle(None), reply(429, after=5, headers={"Retry-After": "30"}), {"paused_until": 35.0}),
        (Retry(2, budget=RetryBudget(50)), reply(500, after=5), {"tokens": 36.0}),
    ],
    ids=["circuit", "throttle", "budget"],
)
def test_what_a_call_changed_after_its_key_was_evicted_is_remembered(
    policy: Any, answer: Any, remembered: Any, kept: bool
):
    """A call is under way while others push its key out; what its end makes of its circuit still holds for the next."""
    runtime = VirtualRuntime()
    server = ScriptedServer(then=lambda request: 200 if request.url.host == "other" else answer)

    async def main() -> None:
        async with client(server, policy, state=State(max_keys=1)) as c:
            slow = runtime.spawn(c.get(URL))
            await runtime.sleep(1)
            await c.get("https://other")
            assert [entry["key"] for entry in c.state.snapshot()] == ["https://other"]
            response = await outcome(slow)
            if not kept:
                del response, slow
                gc.collect()
            (entry,) = (entry for entry in c.state.snapshot() if entry["key"] == ORIGIN)
            assert remembered.items() <= entry.items()

    runtime.run(main())
