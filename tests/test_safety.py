"""What must never be told: header values and URL userinfo stay out of events, errors, reprs and logs."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, IdempotencyKey, ReadBody, Retry, Stack, Throttle, Timeout
from seawall.httpx import AsyncClient, AsyncPool, AsyncTransport, Client, Pool, Transport
from seawall.testing import Recorder, ScriptedServer, VirtualRuntime, reply

SECRET = "hunter2"
URL = f"https://joe-{SECRET}:pw-{SECRET}@a.example/items?x=1"
HEADERS = {"Authorization": f"Bearer {SECRET}", "Cookie": f"session={SECRET}", "Idempotency-Key": SECRET}
ANSWERED = {"Set-Cookie": f"session={SECRET}", "X-Trace": SECRET}
ILLEGAL = httpx.RemoteProtocolError(f"illegal header line: bytearray(b'Set-Cookie : {SECRET}')")
# what h11 says of a malformed response; the error itself is the caller's, with its message as it is

STACK = Stack(
    Timeout(60),
    IdempotencyKey(),
    Retry(3),
    CircuitBreaker(consecutive=4, open_for=30),
    ConcurrencyLimit(1, queue=0),
    Throttle(None),
    ReadBody(100),
    Timeout(10),
)
REFUSED = httpx.ConnectError("refused")
SCRIPTS: dict[str, tuple[list[Any], Any]] = {
    "an answer": ([], reply(headers=ANSWERED, body=b"x")),
    "retries": ([503, reply(429, headers={**ANSWERED, "Retry-After": "1"})], reply(headers=ANSWERED)),
    "a last 503": ([], reply(503, headers=ANSWERED)),
    "a malformed response": ([ILLEGAL], 200),
    "a malformed body": ([reply(503, headers=ANSWERED, body=b"x", breaks=ILLEGAL)], 200),
    "a connect error": ([], REFUSED),
    "an attempt timeout": ([], reply(after=100)),
    "a long pause": ([], reply(503, headers={**ANSWERED, "Retry-After": "1000"})),
}


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Everything that was said, filled in by the tests and by the logs; searched for the secret at the end."""
    caplog.set_level(logging.DEBUG, logger="seawall")
    said: list[str] = []
    yield said
    said += [logging.Formatter().format(record) for record in caplog.get_records("call") if record.name == "seawall"]
    assert said
    assert [text for text in said if SECRET in text] == []


def shown(client: Any, recorder: Recorder) -> list[str]:
    """All that a client, its state and its events show."""
    state = client.state
    texts = [repr(client), repr(client._transport), repr(client._transport.inner), repr(state), repr(state.snapshot())]
    texts += [repr(circuit) + repr(circuit.breaker) for circuit in state.circuits()]
    texts += [repr(chain) for chain in state.chains.values()]
    # an error of the HTTP library keeps its words; what we add to it is checked here
    texts += [repr(event) for event in recorder.events if not isinstance(event, seawall.CallEnded)]
    for event in recorder.of(seawall.CallEnded):
        texts.append(repr((event.endpoint, event.key, event.status, event.error)))
        texts.append(repr([a.error for a in event.report.attempts if a.error is not ILLEGAL]))
    return texts


def error_text(error: BaseException) -> list[str]:
    """What an error of ours says, or what we noted on one of the library."""
    own = [str(error), repr(error)] if isinstance(error, seawall.SeawallError) else []
    return own + list(getattr(error, "__notes__", ()))


@pytest.mark.parametrize("script", list(SCRIPTS))
def test_async_calls_tell_no_secrets(script: str, told: list[str]) -> None:
    """Whatever becomes of an async call, its headers and its password are not in what Seawall says of it."""
    steps, then = SCRIPTS[script]
    recorder = Recorder()
    client = AsyncClient(STACK, transport=ScriptedServer(*steps, then=then), listeners=[recorder])

    async def main() -> None:
        for _ in range(3):
            try:
                response = await client.get(URL, headers=HEADERS)
                told.append(repr(seawall.report(response).endpoint) + repr(response.stream))
            except httpx.TransportError as error:
                told.extend(error_text(error))
        told.extend(shown(client, recorder))

    VirtualRuntime().run(main())


@pytest.mark.parametrize("script", ["an answer", "a malformed response", "a malformed body", "a connect error"])
def test_sync_calls_tell_no_secrets(script: str, told: list[str]) -> None:
    """Whatever becomes of a sync call, its headers and its password are not in what Seawall says of it."""
    steps, then = SCRIPTS[script]
    recorder = Recorder()
    stack = STACK.replace(Retry(3, wait=lambda _: 0.0))
    with Client(stack, transport=ScriptedServer(*steps, then=then), listeners=[recorder]) as client:
        for _ in range(3):
            try:
                told.append(repr(client.get(URL, headers=HEADERS).stream))
            except httpx.TransportError as error:
                told.extend(error_text(error))
        told.extend(shown(client, recorder))


def test_rejections_tell_no_secrets(told: list[str]) -> None:
    """A full queue, a wait too long and an open circuit are told by origin, without password or headers."""
    client = AsyncClient(STACK, transport=ScriptedServer(then=reply(after=5)))
    kinds = set()

    async def one(**seawall_options: Any) -> None:
        try:
            await client.get(URL, headers=HEADERS, extensions={"seawall": seawall_options})
        except seawall.Rejected as error:
            kinds.add(type(error).__name__)
            told.extend([str(error), repr(error), repr(error.key), repr(error.endpoint)])

    async def main() -> None:
        runtime.spawn(one())
        await runtime.sleep(1)
        await one()
        await runtime.sleep(10)
        client.state.circuit("https://a.example").isolate()
        await one()

    runtime = VirtualRuntime()
    runtime.run(main())
    assert kinds == {"QueueFull", "CircuitOpen"}


def test_a_call_shows_method_and_origin_only(told: list[str]) -> None:
    """The repr of a call, as policies see it, has neither path nor query nor password."""

    class Peek(seawall.Policy[None]):
        async def handle(self, call: Any, state: None, next: Any) -> Any:
            told.append(repr(call))
            told.append(repr(call.options) + repr(call.key) + repr(call.endpoint))
            return await next(call)

    with Client(Stack(Peek()), transport=ScriptedServer()) as client:
        client.get(URL, headers=HEADERS)
    assert told[0] == "<Call GET https://a.example attempts=0>"


@pytest.mark.parametrize("pattern", [URL, f"joe:{SECRET}@a.example", f"GET https://{SECRET}@a.example/x"])
@pytest.mark.parametrize("stack", [Stack(Retry()), None], ids=["stack", "no stack"])
def test_a_pattern_with_a_password_is_refused_without_repeating_it(pattern: str, stack: Any, told: list[str]) -> None:
    """A pattern is shown in its error, but not the user information in it."""
    with pytest.raises(seawall.StackError) as caught:
        seawall.Endpoints({pattern: stack})
    assert "a.example" in str(caught.value)
    told.append(str(caught.value))


@pytest.mark.parametrize("make", [Client, AsyncClient, Pool, AsyncPool], ids=lambda make: make.__name__)
def test_proxies_keep_their_passwords(make: Callable[..., Any], told: list[str]) -> None:
    """The repr of a client or pool does not show the password of its proxy."""
    made = make(proxy=f"http://joe:{SECRET}@proxy.example:3128", verify=False)
    told.append(repr(made))
    if hasattr(made, "_transport"):
        told.append(repr(made._transport) + repr(made._mounts.values()))


def test_reprs_tell_state() -> None:
    """What has state says it in its repr: connections, circuits, budgets, lines, virtual time."""
    server = ScriptedServer(503)
    with Client(Stack(Retry(1), CircuitBreaker(), ConcurrencyLimit(3)), transport=server) as client:
        client.get("https://a.example/x")
        circuit = client.state.circuit("https://a.example")
        assert repr(circuit) == "<Circuit https://a.example closed 1/1 failed>"
        circuit.open()
        assert repr(circuit.breaker) == "<Breaker https://a.example open>"
        assert repr(client.state) == "<State keys=1/10000 circuits=1>"
    assert repr(Transport(transport=server)) == "<Transport around <ScriptedServer 1 requests, 0 steps left>>"
    assert repr(AsyncTransport(transport=server)) == "<AsyncTransport around <ScriptedServer 1 requests, 0 steps left>>"
    assert repr(Pool(7, verify=False)) == "<Pool <0/7 connections in use, 0 idle, 0 calls waiting>>"
    assert repr(VirtualRuntime(start=2)) == "<VirtualRuntime at 2 s, 0 tasks>"
    assert repr(Stack(Timeout(1))).replace("seawall.", "") == "Stack(Timeout(seconds=1, body=True))"
