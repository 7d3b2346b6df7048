"""Policies of a user's own: one file is at once sync, async and testable in virtual time."""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from drivers import URL, exchange

import seawall
from seawall import Endpoints, Retry, Stack, StackError, State, Timeout
from seawall.httpx import AsyncClient, Client
from seawall.testing import ScriptedServer, VirtualRuntime, reply

LINES: list[str] = []


@dataclass(frozen=True, kw_only=True, slots=True)
class Log(seawall.Policy[None]):
    """The example of the documentation, which prints to a list."""

    prefix: str = ""

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        LINES.append(f"{self.prefix}sending {call.request.method}")
        response = await next(call)
        LINES.append(f"{self.prefix}got {response.status_code}")
        return response


@dataclass
class Count:
    """Calls seen so far."""

    calls: int = 0

    def snapshot(self) -> dict[str, Any]:
        return {"calls": self.calls}


def tenant(request: httpx.Request) -> Hashable:
    return request.headers.get("x-tenant")


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota(seawall.Policy[Count]):
    """At most `most` calls per key, the rest are turned away."""

    most: int
    key: Any = "origin"
    name: str | None = None

    def new_state(self) -> Count:
        return Count()

    async def handle(self, call: Any, state: Count, next: Any) -> Any:
        state.calls += 1
        if state.calls > self.most:
            raise call.rejected(seawall.QueueFull, f"Quota: {self.most} calls were made")
        return await next(call)


@dataclass(frozen=True, kw_only=True, slots=True)
class Slowly(seawall.Policy[None]):
    """Waits before each attempt, by the runtime's clock."""

    seconds: float
    times: list[float] = field(default_factory=list, compare=False)

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        self.times.append(call.runtime.now())
        await call.runtime.sleep(self.seconds)
        self.times.append(call.runtime.now())
        return await next(call)


@dataclass(frozen=True, kw_only=True, slots=True)
class Later(seawall.Policy[None]):
    """Asks for the response at once, and waits before it awaits it."""

    server: ScriptedServer

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        asked = next(call)
        await call.runtime.sleep(0)
        assert not self.server.requests
        return await asked


@dataclass(frozen=True, kw_only=True, slots=True)
class Stale(seawall.Policy[None]):
    """Answers by itself when the inside fails."""

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        try:
            return await next(call)
        except httpx.TransportError:
            return httpx.Response(203, text="stale", request=call.request)


@pytest.fixture(autouse=True)
def lines() -> list[str]:
    LINES.clear()
    return LINES


def test_one_policy_runs_under_every_driver(driver: str, lines: list[str]) -> None:
    """The same `handle` runs in threads, under asyncio and in virtual time."""
    done = exchange(driver, ScriptedServer(204), Log())
    assert done.status == 204
    assert lines == ["sending GET", "got 204"]


def test_the_place_in_the_stack_decides_what_it_sees(driver: str, lines: list[str]) -> None:
    """Outside Retry it sees the call once, inside each attempt."""
    outer, inner = Log(prefix="call "), type("Inner", (Log,), {})(prefix="attempt ")
    exchange(driver, ScriptedServer(503), outer, Retry(wait=lambda _: 0.0), inner)
    assert lines == [
        "call sending GET",
        "attempt sending GET",
        "attempt got 503",
        "attempt sending GET",
        "attempt got 200",
        "call got 200",
    ]


def test_errors_pass_through_it(driver: str, lines: list[str]) -> None:
    """What the inside raises reaches the policy, and through it the caller, as it is."""
    broken = httpx.ReadError("broken")
    assert exchange(driver, ScriptedServer(broken), Log()).error is broken
    assert lines == ["sending GET"]


def test_it_may_answer_by_itself(driver: str) -> None:
    """A response made by the policy is the caller's response, with a report."""
    done = exchange(driver, ScriptedServer(then=httpx.ConnectError("refused")), Stale(), Retry(2, wait=lambda _: 0.0))
    assert done.status == 203
    assert done.response is not None
    assert done.response.text == "stale"
    assert len(done.report.attempts) == 2


def test_its_state_is_kept_per_origin(driver: str) -> None:
    """`new_state` makes one state per key, by default per origin, that lives from call to call."""
    state = State()
    policy = Quota(most=1)
    assert exchange(driver, ScriptedServer(), policy, state=state).status == 200
    refused = exchange(driver, ScriptedServer(), policy, state=state)
    assert isinstance(refused.error, seawall.QueueFull)
    assert isinstance(refused.error, httpx.TransportError)
    assert (refused.error.endpoint, refused.error.key) == ("*", "https://api.example.com")
    assert exchange(driver, ScriptedServer(), policy, state=state, url="https://b.example/").status == 200
    assert state.snapshot() == [
        {"policy": "Quota", "name": None, "key": "https://api.example.com", "calls": 2},
        {"policy": "Quota", "name": None, "key": "https://b.example", "calls": 1},
    ]


def test_its_key_may_be_a_function_of_the_request(driver: str) -> None:
    """A key callable partitions the state by whatever it returns."""
    state, policy = State(), Quota(most=1, key=tenant)
    for name, outcome in [("a", 200), ("b", 200), ("a", None), (None, 200)]:
        headers = {} if name is None else {"x-tenant": name}
        assert exchange(driver, ScriptedServer(), policy, state=state, headers=headers).status == outcome
    assert {entry["key"]: entry["calls"] for entry in state.snapshot()} == {"a": 2, "b": 1, None: 1}


@pytest.mark.parametrize(("key", "states"), [("origin", 2), ("client", 1), ("endpoint", 2)])
def test_its_key_may_be_one_of_the_words(key: Any, states: int) -> None:
    """ "origin", "endpoint" and "client" partition as they do for Seawall's own policies."""
    policy = Quota(most=9, key=key, name="one" if key == "client" else None)
    endpoints = Endpoints({"https://a.example/x/*": Stack(policy)}, default=Stack(policy))
    with Client(endpoints, transport=ScriptedServer()) as client:
        for url in ("https://a.example/", "https://a.example/y", "https://a.example/x/1", "https://a.example/x/2"):
            client.get(url)
        assert len(client.state.snapshot()) == states


def test_its_name_shares_its_state(driver: str) -> None:
    """Two clients of one State share a policy of one name; another setting under that name is refused."""
    state, policy = State(), Quota(most=1, name="mine")
    exchange(driver, ScriptedServer(), policy, state=state)
    assert isinstance(exchange(driver, ScriptedServer(), policy, state=state).error, seawall.QueueFull)
    with pytest.raises(StackError, match="the name 'mine' is used for two different Quota: "):
        exchange(driver, ScriptedServer(), Quota(most=2, name="mine"), state=state)


def test_it_is_skipped_by_its_type_or_name() -> None:
    """`skip` works for a user's policy too."""
    with Client(Stack(Log(), Quota(most=1, name="mine")), transport=ScriptedServer()) as client:
        client.get(URL)
        assert client.get(URL, extensions={"seawall": {"skip": ["mine", "log"]}}).status_code == 200
    assert len(LINES) == 2


def test_it_waits_by_the_runtimes_clock() -> None:
    """In virtual time a wait of a day takes no time, and the call's deadline bounds what comes after."""
    policy = Slowly(seconds=86_400)
    done = exchange("virtual", ScriptedServer(), policy)
    assert (done.status, done.took, policy.times) == (200, 86_400, [0, 86_400])
    late = exchange("virtual", ScriptedServer(), Timeout(5), Slowly(seconds=6))
    assert isinstance(late.error, seawall.TimedOut)


def test_it_waits_in_real_runtimes_too() -> None:
    """The same wait blocks a thread, or suspends a task."""
    assert exchange("threads", ScriptedServer(), Slowly(seconds=0)).status == 200
    assert exchange("asyncio", ScriptedServer(), Slowly(seconds=0)).status == 200


def test_it_draws_from_the_runtimes_coin() -> None:
    """`call.runtime.random()` repeats with the seed in virtual time."""

    class Draw(seawall.Policy[None]):
        async def handle(self, call: Any, state: None, next: Any) -> Any:
            drawn.append(call.runtime.random())
            return await next(call)

    drawn: list[float] = []

    async def main() -> None:
        await AsyncClient(Stack(Draw()), transport=ScriptedServer()).get(URL)

    for seed in (1, 2, 1):
        VirtualRuntime(seed=seed).run(main())
    assert drawn[0] == drawn[2] != drawn[1]
    asyncio.run(main())
    assert 0 <= drawn[3] < 1


@pytest.mark.parametrize(
    "inside",
    [(), (Retry(),), tuple(seawall.standard())[1:], (Log(),), (Log(), Retry())],
    ids=["the transport", "a retry", "the standard stack", "another one", "another one around a retry"],
)
def test_what_is_inside_begins_when_it_is_awaited(driver: str, inside: Any) -> None:
    """Also where it would be there at once: whoever races branches starts each when it is due."""
    server = ScriptedServer(then=200)
    done = exchange(driver, server, Later(server=server), *inside)
    assert done.response is not None
    assert len(server.requests) == 1


def test_it_sees_the_call() -> None:
    """A policy reads the request, the options, the endpoint and the key of the call."""

    class See(seawall.Policy[None]):
        async def handle(self, call: Any, state: None, next: Any) -> Any:
            seen.append((call.request.url.path, call.options.priority, call.endpoint, call.key, call.runtime.name))
            return await next(call)

    seen: list[Any] = []
    endpoints = Endpoints({"*.example.com": Stack(See())})
    with Client(endpoints, transport=ScriptedServer()) as client, seawall.options(priority=3):
        client.get(URL)
    assert seen == [("/items", 3, "*.example.com", "https://api.example.com", "threads")]


def test_it_may_keep_the_deadline_of_the_call() -> None:
    """A policy that tightens `call.deadline` bounds what is inside it."""

    class Hurry(seawall.Policy[None]):
        async def handle(self, call: Any, state: None, next: Any) -> Any:
            call.deadline = min(call.deadline, call.runtime.now() + 2)
            return await next(call)

    done = exchange("virtual", ScriptedServer(reply(after=9)), Timeout(60), Hurry())
    assert isinstance(done.error, seawall.TimedOut)
    assert done.took == 2


def test_a_policy_without_handle_says_what_is_missing(driver: str) -> None:
    """A subclass that forgot `handle` is named, with the signature to write."""

    class Empty(seawall.Policy[None]):
        pass

    error = exchange(driver, ScriptedServer(), Empty()).error
    assert isinstance(error, NotImplementedError)
    assert str(error) == "Empty must define: async def handle(self, call, state, next)"


def test_a_policy_may_refuse_a_driver() -> None:
    """What `unsupported` says is told when a client of that driver is made."""

    class AsyncOnly(seawall.Policy[None]):
        def unsupported(self, driver: str) -> str | None:
            return "it awaits things of asyncio" if driver == "sync" else None

        async def handle(self, call: Any, state: None, next: Any) -> Any:
            await asyncio.sleep(0)
            return await next(call)

    stack = Stack(AsyncOnly())
    with pytest.raises(StackError, match="AsyncOnly: it awaits things of asyncio"):
        Client(stack)
    assert exchange("asyncio", ScriptedServer(), AsyncOnly()).status == 200


def test_a_state_of_ones_own_keeps_its_own_attributes() -> None:
    """A state is told whose it is only if it asks; an attribute that happens to be called `key` is left alone."""

    class Secret:
        key = "mine"

    @dataclass(frozen=True, kw_only=True)
    class Keyed(seawall.Policy[Secret]):
        def new_state(self) -> Secret:
            return Secret()

        async def handle(self, call: seawall.Call, state: Secret, next: seawall.Next) -> Any:
            seen.append(state.key)
            return await next(call)

    seen: list[str] = []
    with seawall.httpx.Client(seawall.Stack(Keyed()), transport=seawall.testing.ScriptedServer()) as client:
        client.get("http://a.example/")
    assert seen == ["mine"]
