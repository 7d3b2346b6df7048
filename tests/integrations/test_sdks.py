"""The OpenAI and Anthropic SDKs, their own retries off, through a Seawall client."""

import asyncio
import time
from email.utils import formatdate
from typing import Any

import pytest
import tenacity
from real.conftest import Serve
from real.modes import Mode, settle
from real.servers import Connection, answers, cut_after, hold

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, Retry, Stack, Throttle, Timeout
from seawall.policies.retry import METHODS
from seawall.testing import Recorder

from .sdks import Sdk

httpx2 = pytest.importorskip("httpx2")
family = pytest.importorskip("seawall.httpx2")

AT_ONCE = tenacity.wait_none()
PATIENT = Stack(
    Timeout(30),
    Retry(wait=AT_ONCE, methods=METHODS | {"POST"}),
    CircuitBreaker(),
    ConcurrencyLimit(1, max_wait=5),
    Throttle(None),
)
"""One slot: a call that does not give its own back is noticed by the next."""


@pytest.fixture(params=["openai", "anthropic"])
def sdk(request: pytest.FixtureRequest) -> Sdk:
    """Both SDKs, one after the other."""
    return Sdk(pytest.importorskip(request.param))


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Sync and async clients, of the library that the SDKs are made for."""
    return Mode(request.param, family, httpx2)


async def test_a_chat_completion(sdk: Sdk, mode: Mode, serve: Serve) -> None:
    """An answer goes through as it is, and the report of its call is with the raw response."""
    server = serve(answers(sdk.says("Good day")))
    async with mode.using(mode.Client(PATIENT)) as http:
        raw = await sdk.ask(sdk.client(mode, http, server), raw=True)
        assert sdk.text(await settle(raw.parse())) == "Good day"
        report = seawall.report(raw.http_response)
    assert [attempt.status for attempt in report.attempts] == [200]
    assert report.key == server.origin


async def test_a_stream_is_handed_over_event_by_event(sdk: Sdk, mode: Mode, serve: Serve) -> None:
    """The second word of a stream is only sent when the first was read; afterwards the slot is free."""
    server = serve()
    heard: list[str] = []

    def word_by_word(connection: Connection) -> None:
        begun = sdk.begins("one")
        connection.send(begun)
        server.wait_for(lambda: heard)
        connection.send(sdk.streams("one", "two")[len(begun) :])

    server.script = answers(word_by_word, sdk.says("next"))
    async with mode.using(mode.Client(PATIENT)) as http:
        client = sdk.client(mode, http, server)
        async for word in sdk.words(await sdk.ask(client, stream=True)):
            heard.append(word)
            server.notice()
        assert heard == ["one", "two"]
        assert sdk.text(await sdk.ask(client)) == "next"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_rate_limit_is_waited_for(sdk: Sdk, mode: Mode, serve: Serve, stream: bool) -> None:
    """A 429 is sent again after the time that its headers ask for, with the same body; the SDK does not notice."""
    asked = {"retry_after_ms": "30"} if sdk.name == "openai" else {"retry_after": "0.03"}
    limited = sdk.refuses("429 Too Many Requests", "rate_limit_error", **asked)
    server = serve(answers(limited, sdk.streams("on") if stream else sdk.says("on")))
    recorder = Recorder()
    async with mode.using(mode.Client(PATIENT, listeners=[recorder])) as http:
        said = await sdk.ask(sdk.client(mode, http, server), stream=stream)
        assert ([word async for word in sdk.words(said)] if stream else [sdk.text(said)]) == ["on"]
    (ended,) = recorder.of(seawall.CallEnded)
    refused, served = ended.report.attempts
    assert (refused.status, refused.retry_after, served.status) == (429, 0.03, 200)
    assert served.waited >= 0.03
    assert served.started >= refused.elapsed + 0.03
    first, second = (heard.body for heard in server.heard)
    assert first == second


async def test_an_exhausted_quota_pauses_the_next_call(sdk: Sdk, mode: Mode, serve: Serve) -> None:
    """Where an answer says that nothing is left, Throttle holds the next call back until the quota is renewed."""
    now = int(time.time())
    reset = "50s" if sdk.name == "openai" else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 50))
    quota = sdk.dialect.quota(remaining=0, reset=reset)
    server = serve(answers(sdk.says(Date=formatdate(now, usegmt=True), **quota)))
    recorder = Recorder()
    async with mode.using(mode.Client(PATIENT, listeners=[recorder])) as http:
        client = sdk.client(mode, http, server)
        await sdk.ask(client)
        with seawall.options(timeout=20), pytest.raises(sdk.module.APITimeoutError) as caught:
            await sdk.ask(client)
    (pause,) = recorder.of(seawall.Paused)
    assert pause.seconds == 50
    rejected = caught.value.__cause__
    assert isinstance(rejected, family.WaitTooLong)
    assert 20 < rejected.retry_after <= 50
    assert len(server.heard) == 1


async def test_an_overloaded_server_is_asked_again_if_that_is_allowed(sdk: Sdk, mode: Mode, serve: Serve) -> None:
    """A 529 is repeated where the stack says that a POST may be."""
    server = serve(answers(sdk.refuses("529 Overloaded", "overloaded_error"), sdk.says("at last")))
    async with mode.using(mode.Client(PATIENT)) as http:
        assert sdk.text(await sdk.ask(sdk.client(mode, http, server))) == "at last"
    assert len(server.heard) == 2


async def test_an_overloaded_server_is_the_sdks_error_otherwise(sdk: Sdk, mode: Mode, serve: Serve) -> None:
    """By default a POST that may have had effects is not repeated: the SDK raises, and the report says why."""
    server = serve(answers(sdk.refuses("529 Overloaded", "overloaded_error")))
    async with mode.using(mode.Client(PATIENT.replace(Retry(wait=AT_ONCE)))) as http:
        with pytest.raises(sdk.module.APIStatusError) as caught:
            await sdk.ask(sdk.client(mode, http, server))
    assert caught.value.status_code == 529
    assert seawall.report(caught.value.response).gave_up == "method"
    assert len(server.heard) == 1


async def test_options_reach_through_the_sdk(sdk: Sdk, mode: Mode, serve: Serve) -> None:
    """`with seawall.options(...)` around an SDK's method has its say: the POST may be repeated, or must not be."""
    overloaded = sdk.refuses("529 Overloaded", "overloaded_error")
    limited = sdk.refuses("429 Too Many Requests", "rate_limit_error")
    server = serve(answers(overloaded, sdk.says("once more"), limited))
    async with mode.using(mode.Client(PATIENT.replace(Retry(wait=AT_ONCE)))) as http:
        client = sdk.client(mode, http, server)
        with seawall.options(idempotent=True):
            assert sdk.text(await sdk.ask(client)) == "once more"
        with seawall.options(skip=["retry"]), pytest.raises(sdk.module.RateLimitError):
            await sdk.ask(client)
    assert len(server.heard) == 3


async def test_a_deadline_is_the_sdks_timeout(sdk: Sdk, mode: Mode, serve: Serve) -> None:
    """A call that passes its deadline ends in the SDK's timeout error, with Seawall's as its cause and its report."""
    server = serve(answers(hold))
    async with mode.using(mode.Client(PATIENT)) as http:
        client = sdk.client(mode, http, server)
        with seawall.options(timeout=0.05), pytest.raises(sdk.module.APITimeoutError) as caught:
            await sdk.ask(client)
        assert isinstance(caught.value.__cause__, family.TimedOut)
        assert len(seawall.report(caught.value).attempts) == 1
        server.script = answers(sdk.says())
        await sdk.ask(client)


async def test_the_sdks_own_client_protected(sdk: Sdk, mode: Mode, serve: Serve) -> None:
    """A client that the SDK makes, with its defaults, is protected in place."""
    server = serve(answers(sdk.refuses("529 Overloaded", "overloaded_error"), sdk.says("at last")))
    make = sdk.module.DefaultAsyncHttpxClient if mode.is_async else sdk.module.DefaultHttpxClient
    async with mode.using(seawall.protect(make(), PATIENT)) as http:
        raw = await sdk.ask(sdk.client(mode, http, server), raw=True)
    assert [attempt.status for attempt in seawall.report(raw.http_response).attempts] == [529, 200]


async def test_a_stream_that_breaks_is_the_callers(sdk: Sdk, mode: Mode, serve: Serve) -> None:
    """A connection that is lost in the middle of a stream is an error where it is read; nothing is sent again."""
    server = serve(answers(cut_after(sdk.begins("one", "two")), sdk.says()))
    async with mode.using(mode.Client(PATIENT)) as http:
        client = sdk.client(mode, http, server)
        heard = []
        with pytest.raises((httpx2.RemoteProtocolError, sdk.module.APIConnectionError)):  # noqa: PT012 - as it comes
            async for word in sdk.words(await sdk.ask(client, stream=True)):
                heard.append(word)  # noqa: PERF401 - it raises half-way
        assert heard == ["one", "two"]
        assert len(server.heard) == 1
        await sdk.ask(client)  # the slot is back


async def test_a_stream_that_is_left_early_gives_its_slot_back(sdk: Sdk, mode: Mode, serve: Serve) -> None:
    """A stream that is closed after its first word frees slot and connection for the next call."""
    server = serve(answers(cut_after(sdk.begins("one")), sdk.says("next")))
    async with mode.using(mode.Client(PATIENT)) as http:
        client = sdk.client(mode, http, server)
        stream = await sdk.ask(client, stream=True)
        words = sdk.words(stream)
        assert await anext(words) == "one"
        await settle(stream.close())
        await words.aclose()
        assert sdk.text(await sdk.ask(client)) == "next"


async def test_a_cancelled_stream_gives_its_slot_back(sdk: Sdk, serve: Serve) -> None:
    """A task that is cancelled while it waits for the next event leaves slot and connection in order."""
    server = serve()
    begun = asyncio.Event()

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(sdk.begins("one"))
        server.script = answers(sdk.says("next"))
        connection.hold()

    server.script = script
    mode = Mode("async", family, httpx2)
    async with mode.Client(PATIENT) as http:
        client = sdk.client(mode, http, server)

        async def listen() -> None:
            async for _ in sdk.words(await sdk.ask(client, stream=True)):
                begun.set()

        task = asyncio.create_task(listen())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sdk.text(await sdk.ask(client)) == "next"


async def test_an_open_circuit_is_the_sdks_connection_error(sdk: Sdk, mode: Mode, serve: Serve) -> None:
    """While a circuit is open nothing is sent: the SDK's error has CircuitOpen as its cause, with the time to wait."""
    server = serve(answers(sdk.refuses("529 Overloaded", "overloaded_error")))
    async with mode.using(mode.Client(Stack(CircuitBreaker(consecutive=1)))) as http:
        client = sdk.client(mode, http, server)
        with pytest.raises(sdk.module.APIStatusError):
            await sdk.ask(client)
        with pytest.raises(sdk.module.APIConnectionError) as caught:
            await sdk.ask(client)
    rejected: Any = caught.value.__cause__
    assert isinstance(rejected, seawall.CircuitOpen)
    assert rejected.retry_after > 0
    assert seawall.report(caught.value).attempts == ()
    assert len(server.heard) == 1
