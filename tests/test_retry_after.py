"""Waiting: Retry-After as a floor, jittered backoff, drained responses, and connections that died while idle."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import tenacity
from drivers import URL, Exchange, exchange
from hypothesis import given
from hypothesis import strategies as st

import seawall
import seawall.httpx
from seawall import ConcurrencyLimit, ReadBody, Retry, Stack, Timeout, full_jitter
from seawall.policies import retry
from seawall.testing import ScriptedServer, VirtualRuntime, reply

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
NO_WAIT = tenacity.wait_none()


def after(value: str, status: int = 503, **headers: str) -> Any:
    """A failure that says when to come back."""
    return reply(status, headers={"retry-after": value, **headers})


def waits(server: ScriptedServer, *policies: Any) -> Exchange:
    """One call in virtual time."""
    return exchange("virtual", server, *policies)


@pytest.mark.parametrize("status", [429, 503, 500, 408])
def test_retry_after_is_a_floor(status: int) -> None:
    """A retry waits as long as the server asks for, though the backoff alone would not."""
    done = waits(ScriptedServer(after("7", status)), Retry(wait=NO_WAIT))
    assert (done.status, done.took) == (200, 7)
    first, second = done.report.attempts
    assert (first.retry_after, second.waited) == (7, 7)


def test_a_date_is_measured_against_the_responses_own() -> None:
    """A Retry-After date counts from the response's Date, so the caller's wall clock does not matter."""
    answer = after("Wed, 21 Oct 2026 07:28:09 GMT", date=DATE)
    assert waits(ScriptedServer(answer), Retry(wait=NO_WAIT)).took == 9


@pytest.mark.parametrize("value", ["soon", "-5", "1e3", "nan", "inf", "", "0", "Wed, 21 Oct 2026 07:27:00 GMT", DATE])
def test_what_makes_no_sense_is_ignored(value: str) -> None:
    """A malformed, negative or past Retry-After changes nothing: the backoff alone is waited."""
    done = waits(ScriptedServer(after(value, date=DATE)), Retry(wait=tenacity.wait_fixed(2)))
    assert (done.status, done.took) == (200, 2)


def test_a_date_without_a_date_to_compare_is_ignored() -> None:
    """A response without a Date says nothing by a Retry-After date."""
    done = waits(ScriptedServer(after("Wed, 21 Oct 2099 07:28:00 GMT")), Retry(wait=tenacity.wait_fixed(2)))
    assert (done.status, done.took) == (200, 2)


def test_a_longer_backoff_stays() -> None:
    """Retry-After is a floor, not a replacement."""
    done = waits(ScriptedServer(after("1")), Retry(wait=tenacity.wait_fixed(5)))
    assert done.took >= 5


@given(asked=st.integers(1, 60), backoff=st.floats(0, 20), seed=st.integers(0, 2**16))
def test_jitter_is_only_added(asked: int, backoff: float, seed: int) -> None:
    """Whatever the coin says, a retry is never early, and never more than the smaller wait late."""
    runtime = VirtualRuntime(seed)

    async def main() -> None:
        stack = Stack(Retry(wait=tenacity.wait_fixed(backoff)))
        async with seawall.httpx.AsyncClient(stack, transport=ScriptedServer(after(str(asked)))) as client:
            await client.get(URL)

    runtime.run(main())
    floor = max(asked, backoff)
    assert floor <= runtime.now() <= floor + min(asked, backoff)


def test_more_than_the_most_is_not_waited_for(driver: str) -> None:
    """Above max_retry_after the call gives up at once and returns that very response."""
    server = ScriptedServer(after("61"))
    done = exchange(driver, server, Retry())
    assert (done.status, done.report.gave_up, len(server.requests)) == (503, "retry-after", 1)
    assert done.report.attempts[0].retry_after == 61


def test_the_most_itself_is_waited_for() -> None:
    """max_retry_after is inclusive, 60 s unless said otherwise."""
    assert waits(ScriptedServer(after("60")), Retry(wait=NO_WAIT)).took == 60
    assert waits(ScriptedServer(after("5")), Retry(wait=NO_WAIT, max_retry_after=4)).report.gave_up == "retry-after"
    assert waits(ScriptedServer(after("90")), Retry(wait=NO_WAIT, max_retry_after=90)).took == 90


def test_a_retry_after_past_the_deadline_is_not_waited_for() -> None:
    """A server that asks for more than the call has left gets no second request; its response is returned now."""
    done = waits(ScriptedServer(after("10")), Timeout(5), Retry(wait=NO_WAIT))
    assert (done.status, done.report.gave_up, done.took) == (503, "deadline", 0)


def test_the_default_backoff_is_full_jitter() -> None:
    """Waits are drawn from 0 up to 0.25 s, 0.5 s and 1 s, so that clients do not return in step."""
    seen = set()
    for seed in range(20):
        runtime = VirtualRuntime(seed)
        server = ScriptedServer(500, 500, 500)

        async def main(server: ScriptedServer = server) -> seawall.Report:
            async with seawall.httpx.AsyncClient(Stack(Retry()), transport=server) as client:
                return seawall.report(await client.get(URL))

        report = runtime.run(main())
        waited = [attempt.waited for attempt in report.attempts[1:]]
        assert all(0 <= wait <= bound for wait, bound in zip(waited, (0.25, 0.5, 1.0), strict=True))
        seen.add(tuple(waited))
    assert len(seen) == 20


@pytest.mark.parametrize(("status", "base"), [(500, 0.25), (502, 0.25), (429, 1.0), (503, 1.0)])
def test_a_throttled_server_is_given_more_time(status: int, base: float) -> None:
    """After 429 and 503 the backoff grows from 1 s instead of 0.25 s."""
    coin = VirtualRuntime(0).random()
    assert waits(ScriptedServer(status), Retry()).took == pytest.approx(base * coin)


def test_the_backoff_is_capped() -> None:
    """However many attempts, no wait is longer than the cap."""
    done = waits(ScriptedServer(then=500), Retry(40, wait=full_jitter(base=1, cap=3)))
    assert max(attempt.waited for attempt in done.report.attempts) <= 3
    assert len(done.report.attempts) == 36  # then the budget was empty


def test_full_jitter_combines_with_tenacitys_waits() -> None:
    """Our wait is a tenacity strategy, so it adds to others."""
    done = waits(ScriptedServer(500), Retry(wait=tenacity.wait_fixed(3) + full_jitter(base=0)))
    assert done.took == 3


@pytest.mark.parametrize("option", ["base", "cap", "throttled"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_backoff_that_cannot_be_is_refused(option: str, value: float) -> None:
    """Each number of full_jitter must be finite and at least 0."""
    with pytest.raises(ValueError, match=f"full_jitter: {option} must be a number of at least 0"):
        full_jitter(**{option: value})


class Tracked(httpx.AsyncByteStream, httpx.SyncByteStream):
    """A body that remembers how much of it was read, and when it was closed."""

    def __init__(self, *chunks: bytes, breaks: bool = False) -> None:
        self.chunks = chunks
        self.breaks = breaks
        self.read = 0
        self.ended = self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.read += len(chunk)
            yield chunk
        if self.breaks:
            raise httpx.ReadError("broken")
        self.ended = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


class Answers(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """A 500 with the given body, then 200s. Checks that the body was closed by the time of the second request."""

    def __init__(self, body: Tracked) -> None:
        self.body = body
        self.sent = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        if self.sent == 1:
            return httpx.Response(500, stream=self.body)
        assert self.body.closed
        return httpx.Response(200)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time to drain, however slow the machine: these tests are about bytes."""
    monkeypatch.setattr(retry, "DRAIN_SECONDS", 60.0)


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("chunks", [(), (b"x" * 4096,), (b"x",) * 4096], ids=["empty", "one chunk", "many chunks"])
def test_a_short_discarded_response_is_read_to_its_end(driver: str, chunks: tuple[bytes, ...]) -> None:
    """Up to 4 KiB of a failure is drained, so that its connection can be used again."""
    body = Tracked(*chunks)
    assert exchange(driver, Answers(body), Retry(wait=NO_WAIT)).status == 200
    assert body.ended
    assert body.closed


@pytest.mark.usefixtures("unhurried")
def test_a_long_discarded_response_is_closed(driver: str) -> None:
    """Beyond 4 KiB a failure is not worth reading: it is closed."""
    body = Tracked(*[b"x" * 1024] * 100)
    assert exchange(driver, Answers(body), Retry(wait=NO_WAIT)).status == 200
    assert body.read == 5 * 1024
    assert body.closed
    assert not body.ended


def test_a_discarded_response_that_breaks_is_no_concern(driver: str) -> None:
    """An error while a failure is drained changes nothing about its retry."""
    body = Tracked(b"x", breaks=True)
    assert exchange(driver, Answers(body), Retry(wait=NO_WAIT)).status == 200
    assert body.closed


def test_a_slow_discarded_response_is_closed_after_50_ms() -> None:
    """Draining takes 50 ms at most, which are part of the wait."""
    slow = reply(500, [b"x"] * 100, every=0.02)
    assert waits(ScriptedServer(slow), Retry(wait=tenacity.wait_none())).took == pytest.approx(0.05)
    assert waits(ScriptedServer(slow), Retry(wait=tenacity.wait_fixed(1))).took == pytest.approx(1)


@pytest.mark.parametrize("body", [[b"x"], [b"x" * 5000] * 5], ids=["short", "long"])
def test_nothing_is_held_through_a_backoff_sleep(body: list[bytes]) -> None:
    """The discarded response is gone before the sleep, so its connection and its slot are free in the meantime."""
    runtime, server = VirtualRuntime(), ScriptedServer(reply(500, body))

    async def main() -> None:
        stack = Stack(Retry(wait=tenacity.wait_fixed(10)), ConcurrencyLimit(1))
        async with seawall.httpx.AsyncClient(stack, transport=server) as client:
            first = runtime.spawn(client.get(URL))
            await runtime.sleep(5)
            assert server.open == 0
            assert (await client.get(URL)).status_code == 200
            assert runtime.now() == 5
            await first

    runtime.run(main())
    assert runtime.now() == 10


class Connection(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """One of a pool's connections: answers by the script of all of them."""

    def __init__(self, script: list[Any], **options: Any) -> None:
        self.script = script

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        step = self.script.pop(0)
        if isinstance(step, httpx.Response):
            return step
        raise step

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


GONE = httpx.RemoteProtocolError("Server disconnected without sending a response.")


def over_a_pool(
    monkeypatch: pytest.MonkeyPatch, *script: Any, method: str = "GET", policies: tuple[Any, ...] = (), calls: int = 2
) -> seawall.Report:
    """Calls over a pool of scripted connections, with a backoff of 9 s. Returns the report of the last."""
    steps, runtime = list(script), VirtualRuntime()
    monkeypatch.setattr(httpx, "AsyncHTTPTransport", lambda **options: Connection(steps, **options))

    async def main() -> seawall.Report:
        stack = Stack(Retry(2, wait=tenacity.wait_fixed(9)), *policies)
        async with seawall.httpx.AsyncClient(stack) as client:
            for _ in range(calls - 1):
                await client.get(URL)
            try:
                return seawall.report(await client.request(method, URL))
            except httpx.HTTPError as error:
                return seawall.report(error)

    return runtime.run(main())


def test_a_connection_that_died_while_idle_is_no_reason_to_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept-alive connection that the server had closed is replaced, and the request sent again, at once."""
    report = over_a_pool(monkeypatch, httpx.Response(200), GONE, httpx.Response(204))
    assert [attempt.status for attempt in report.attempts] == [None, 204]
    assert report.elapsed == 0


def test_a_new_connection_that_is_dropped_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that drops a new connection is failing: there the backoff is waited."""
    report = over_a_pool(monkeypatch, GONE, httpx.Response(204), calls=1)
    assert [attempt.status for attempt in report.attempts] == [None, 204]
    assert report.elapsed == 9


def test_a_request_with_effects_on_a_dead_connection_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the server got a POST before it closed cannot be known."""
    report = over_a_pool(monkeypatch, httpx.Response(200), GONE, method="POST")
    assert report.gave_up == "method"


def test_a_body_that_breaks_on_a_kept_connection_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that began to answer was alive: a break in its body is backed off from."""

    class Cut(Tracked):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"half"
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    broken = httpx.Response(200, headers={"content-length": "10"}, stream=Cut())
    report = over_a_pool(monkeypatch, httpx.Response(200), broken, httpx.Response(204), policies=(ReadBody(100),))
    assert [attempt.status for attempt in report.attempts] == [200, 204]
    assert report.elapsed == 9
