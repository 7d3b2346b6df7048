"""Bodies that are slow, cut short or reset, with and without somebody to repeat them."""

from collections.abc import Callable

import httpx
import pytest
import tenacity

import seawall
from seawall import ReadBody, Retry, Stack, Timeout

from .conftest import Certificates, Serve
from .modes import Mode, settle
from .servers import Connection, answers, chunked, cut_after, echo, reset, response

AT_ONCE = tenacity.wait_none()
PATIENT = Stack(Timeout(30), Retry(wait=AT_ONCE), ReadBody(1_000_000))
PATIENT_CHUNKED = Stack(Timeout(30), Retry(wait=AT_ONCE), ReadBody(1_000_000, chunked=True))
STREAMING = Stack(Timeout(30), Retry(wait=AT_ONCE))

TRUNCATED = cut_after(response(b"half", length=8))


def half_and_reset(connection: Connection) -> bool:
    """Send half a body, then break the connection."""
    connection.send(response(b"half", length=8))
    connection.reset()
    return True


async def test_slow_body_is_read_in_full(mode: Mode, serve: Serve) -> None:
    """A body that comes in pieces, slower than the headers, is complete and its connection is used again."""
    server = serve(answers(lambda c: c.drip(response(b"slow but whole"), every=0.001)))
    async with mode.using(mode.Client(STREAMING)) as client:
        first = await mode.get(client, server.url())
        assert first.content == b"slow but whole"
        await mode.get(client, server.url())
    assert len(server.connections) == 1


async def test_slow_chunks_are_passed_on_as_they_come(mode: Mode, serve: Serve) -> None:
    """A streamed body reaches the caller piece by piece: the second is only sent when the first was read."""
    server = serve()
    was_read: list[bytes] = []

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(chunked(b"one", end=False))
        server.wait_for(lambda: was_read)
        connection.send(b"3\r\ntwo\r\n0\r\n\r\n")

    server.script = script
    async with mode.using(mode.Client(STREAMING)) as client:
        answer = await mode.open(client, server.url())
        async for chunk in mode.chunks(answer):
            was_read.append(chunk)
            server.notice()
        await mode.close(answer)
    assert was_read == [b"one", b"two"]


@pytest.mark.parametrize("broken", [TRUNCATED, half_and_reset], ids=["truncated", "reset"])
async def test_broken_body_within_the_bound_is_a_failed_attempt(
    mode: Mode, serve: Serve, broken: Callable[[Connection], bool]
) -> None:
    """With ReadBody inside Retry, a body that breaks is sent for again, and the caller gets a whole one."""
    server = serve(answers(broken, broken, response(b"whole")))
    async with mode.using(mode.Client(PATIENT)) as client:
        answer = await mode.get(client, server.url())
    assert answer.content == b"whole"
    assert len(server.heard) == len(seawall.report(answer).attempts) == 3
    assert len(server.connections) == 3, "a connection whose response broke is not used again"


async def test_truncated_chunked_body_is_repeated_if_asked(mode: Mode, serve: Serve) -> None:
    """ReadBody(chunked=True) reads bodies without a length too, so that one cut short is sent for again."""
    server = serve(answers(cut_after(chunked(b"half", end=False)), chunked(b"who", b"le")))
    async with mode.using(mode.Client(PATIENT_CHUNKED)) as client:
        answer = await mode.get(client, server.url())
    assert answer.content == b"whole"
    assert len(server.heard) == 2


async def test_truncated_chunked_body_is_not_repeated_unasked(mode: Mode, serve: Serve) -> None:
    """Without `chunked=True` a body without a length streams on, and its break reaches the caller."""
    server = serve(answers(cut_after(chunked(b"half", end=False))))
    async with mode.using(mode.Client(PATIENT)) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await mode.get(client, server.url())
    assert len(server.heard) == 1


@pytest.mark.parametrize("policies", [STREAMING, Stack(ReadBody(1_000_000))], ids=["no ReadBody", "no Retry"])
async def test_truncated_body_reaches_the_caller_as_httpx_tells_it(mode: Mode, serve: Serve, policies: Stack) -> None:
    """Without Retry around ReadBody a body that is cut short is httpx's own RemoteProtocolError."""
    server = serve(answers(TRUNCATED))
    async with mode.using(mode.Client(policies)) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
            await mode.get(client, server.url())
        assert (await mode.get(client, server.url())).content == b"ok"
    assert len(server.heard) == 2


async def test_reset_body_reaches_the_caller_as_httpx_tells_it(mode: Mode, serve: Serve) -> None:
    """A connection reset in the middle of a streamed body is httpx's own ReadError, and the next call goes well."""
    headers_read: list[bool] = []

    def script(connection: Connection) -> bool:
        connection.send(response(b"half", length=8))
        server.wait_for(lambda: headers_read)  # what is unread when a reset arrives would be lost
        connection.reset()
        return True

    server = serve(answers(script))
    async with mode.using(mode.Client(STREAMING)) as client:
        answer = await mode.open(client, server.url())
        headers_read.append(True)
        server.notice()
        with pytest.raises(httpx.ReadError):
            await mode.read(answer)
        assert (await mode.get(client, server.url())).content == b"ok"


async def test_body_longer_than_the_bound_streams_on(mode: Mode, serve: Serve) -> None:
    """A body beyond ReadBody's bound is not read ahead: the caller streams it, unbroken and in full."""
    body = bytes(range(256)) * 40
    server = serve(answers(response(body)))
    async with mode.using(mode.Client(Stack(Retry(), ReadBody(1_000)))) as client:
        answer = await mode.open(client, server.url())
        assert not answer.is_closed
        assert await mode.read(answer) == body


async def test_chunked_body_longer_than_the_bound_streams_on(mode: Mode, serve: Serve) -> None:
    """What ReadBody read of a chunked body that proves too long is not lost: the caller gets it from its start."""
    pieces = [bytes([65 + i]) * 400 for i in range(10)]
    server = serve(answers(chunked(*pieces)))
    async with mode.using(mode.Client(Stack(Retry(), ReadBody(1_000, chunked=True)))) as client:
        answer = await mode.open(client, server.url())
        assert await mode.read(answer) == b"".join(pieces)
        await mode.get(client, server.url())
    assert len(server.connections) == 1


async def test_reset_before_an_answer_is_retried(mode: Mode, serve: Serve) -> None:
    """A reset on a new connection is a failed attempt, and the request is sent again."""
    server = serve(answers(reset, reset))
    async with mode.using(mode.Client(STREAMING)) as client:
        answer = await mode.get(client, server.url())
    assert answer.content == b"ok"
    errors = [attempt.error for attempt in seawall.report(answer).attempts]
    assert [type(error) for error in errors] == [httpx.ReadError, httpx.ReadError, type(None)]


async def test_resets_without_end_give_the_real_error(mode: Mode, serve: Serve) -> None:
    """When every attempt is reset, the caller gets the last real error and the report says why it was the last."""
    server = serve(answers(*[reset] * 9))
    async with mode.using(mode.Client(STREAMING)) as client:
        with pytest.raises(httpx.ReadError) as caught:
            await mode.get(client, server.url())
    assert seawall.report(caught.value).gave_up == "attempts"
    assert len(server.connections) == 4


async def test_reset_over_tls_is_retried(mode: Mode, serve: Serve, tls: Certificates) -> None:
    """TLS changes nothing: a reset connection is replaced and the request repeated."""
    server = serve(answers(reset), tls=tls.server)
    async with mode.using(mode.Client(STREAMING, verify=tls.client())) as client:
        answer = await mode.get(client, server.url())
    assert answer.content == b"ok"
    assert len(server.connections) == 2


async def test_post_is_not_repeated_after_a_reset(mode: Mode, serve: Serve) -> None:
    """A request that may have been carried out, and must not be twice, is not sent again."""
    server = serve(answers(reset))
    async with mode.using(mode.Client(STREAMING)) as client:
        request = client.build_request("POST", server.url(), content=b"once")
        with pytest.raises(httpx.ReadError) as caught:
            await settle(client.send(request))
    assert seawall.report(caught.value).gave_up == "method"
    assert [heard.body for heard in server.heard] == [b"once"]


async def test_discarded_response_is_drained_and_its_connection_used_again(mode: Mode, serve: Serve) -> None:
    """The short body of a 503 that is retried is read off, so that the same connection carries the next attempt."""
    server = serve(answers(response(b"sorry", status="503 Busy")))
    async with mode.using(mode.Client(STREAMING)) as client:
        answer = await mode.get(client, server.url())
    assert answer.content == b"ok"
    assert len(server.heard) == 2
    assert len(server.connections) == 1


async def test_discarded_response_that_drips_is_closed(mode: Mode, serve: Serve) -> None:
    """The body of a 503 that does not come soon is not waited for: the attempt goes out on another connection."""

    def dripping(connection: Connection) -> bool:
        connection.send(response(b"", length=1000, status="503 Busy"))
        connection.drip(bytes(1000), every=0.02)
        return True

    server = serve(answers(dripping))
    async with mode.using(mode.Client(STREAMING)) as client:
        answer = await mode.get(client, server.url())
    assert answer.content == b"ok"
    assert len(server.connections) == 2
    assert answer.elapsed.total_seconds() < 5


async def test_early_close_of_a_streamed_body_frees_the_slot(mode: Mode, serve: Serve) -> None:
    """A response that is closed in the middle of its body gives its permit back; the connection is not used again."""
    server = serve(answers(lambda c: c.send(response(b"begun", length=1_000_000))))
    async with mode.using(mode.Plain(transport=mode.Pool(1))) as client:
        answer = await mode.open(client, server.url())
        await mode.close(answer)
        assert (await mode.get(client, server.url())).content == b"ok"
    assert len(server.connections) == 2


async def test_request_body_is_replayed_in_full(mode: Mode, serve: Serve) -> None:
    """Each attempt of a PUT carries the whole body."""
    server = serve(answers(reset, TRUNCATED))
    async with mode.using(mode.Client(PATIENT)) as client:
        answer = await settle(client.put(server.url(), content=b"x" * 100_000))
    assert answer.content == b"ok"
    assert [len(heard.body) for heard in server.heard] == [100_000] * 3


async def test_head_and_no_content_keep_their_connection(mode: Mode, serve: Serve) -> None:
    """Responses without a body give their connection back in good order."""
    server = serve(answers(response(b"", length=12345), b"HTTP/1.1 204 No Content\r\n\r\n"))
    async with mode.using(mode.Client(STREAMING)) as client:
        assert (await settle(client.head(server.url()))).headers["content-length"] == "12345"
        assert (await mode.get(client, server.url())).status_code == 204
        assert (await mode.get(client, server.url())).content == b"ok"
    assert len(server.connections) == 1


def test_echo_is_what_a_server_does_by_default(serve: Serve) -> None:
    """The scripted server itself: requests are heard, answered and remembered."""
    server = serve(echo)
    with httpx.Client() as client:
        assert client.post(server.url("/path"), content=b"body").content == b"ok"
    (heard,) = server.heard
    assert (heard.method, heard.target, heard.body) == ("POST", "/path", b"body")
