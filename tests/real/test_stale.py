"""Kept-alive connections that died while idle, and servers that die and come back."""

import httpx
import pytest
import tenacity

import seawall
from seawall import CircuitBreaker, ReadBody, Retry, Stack, Timeout

from .conftest import Certificates, Serve
from .modes import Mode, settle
from .servers import OK, Connection, answers, cut_after, echo, hang_up, hold, response

# a backoff that no test could sit out: only a retry at once comes through
LONG = tenacity.wait_fixed(25)
AT_ONCE = Stack(Timeout(20), Retry(wait=LONG))


@pytest.mark.parametrize("encrypted", [False, True], ids=["http", "tls"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_stale_connection_is_replaced_at_once(
    mode: Mode, serve: Serve, tls: Certificates, method: str, encrypted: bool
) -> None:
    """A kept-alive connection that the server closes instead of answering is retried at once, without backoff."""
    server = serve(answers(OK, hang_up, response(b"")), tls=tls.server if encrypted else None)
    async with mode.using(mode.Client(AT_ONCE, verify=tls.client())) as client:
        await mode.get(client, server.url())
        answer = await settle(client.request(method, server.url()))
    assert answer.status_code == 200
    report = seawall.report(answer)
    assert [type(attempt.error) for attempt in report.attempts] == [httpx.RemoteProtocolError, type(None)]
    assert [attempt.waited for attempt in report.attempts] == [0, 0]
    assert len(server.heard) == 3
    assert len(server.connections) == 2


async def test_stale_connection_is_not_replaced_for_a_post(mode: Mode, serve: Serve) -> None:
    """What must not be carried out twice is not repeated: nobody knows whether the server read it."""
    server = serve(answers(OK, hang_up))
    async with mode.using(mode.Client(AT_ONCE)) as client:
        await mode.get(client, server.url())
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            await settle(client.post(server.url(), content=b"pay"))
    assert seawall.report(caught.value).gave_up == "method"
    assert len(server.heard) == 2


async def test_stale_connection_is_replaced_for_an_idempotent_post(mode: Mode, serve: Serve) -> None:
    """A POST that its caller calls idempotent is repeated at once like a GET."""
    server = serve(answers(OK, hang_up))
    async with mode.using(mode.Client(AT_ONCE)) as client:
        await mode.get(client, server.url())
        idempotent = {"seawall": {"idempotent": True}}
        answer = await settle(client.post(server.url(), content=b"pay", extensions=idempotent))
    assert [attempt.waited for attempt in seawall.report(answer).attempts] == [0, 0]
    assert [heard.body for heard in server.heard] == [b"", b"pay", b"pay"]


async def test_new_connection_that_is_hung_up_on_backs_off(mode: Mode, serve: Serve) -> None:
    """The same error on a connection that was never used is the server's failing: it is backed off from."""
    server = serve(answers(hang_up))
    async with mode.using(mode.Client(AT_ONCE)) as client:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            await mode.get(client, server.url())
    assert seawall.report(caught.value).gave_up == "deadline", "25 s of backoff do not fit into 20"


async def test_body_that_breaks_on_a_used_connection_backs_off(mode: Mode, serve: Serve) -> None:
    """Once a response has begun, its connection did not die idle: a body cut short is backed off from."""
    server = serve(answers(OK, cut_after(response(b"half", length=8))))
    async with mode.using(mode.Client(Stack(Timeout(20), Retry(wait=LONG), ReadBody(1000)))) as client:
        await mode.get(client, server.url())
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            await mode.get(client, server.url())
    assert seawall.report(caught.value).gave_up == "deadline"
    assert len(server.heard) == 2


@pytest.mark.parametrize("encrypted", [False, True], ids=["http", "tls"])
async def test_connection_closed_while_idle_costs_no_attempt(
    mode: Mode, serve: Serve, tls: Certificates, encrypted: bool
) -> None:
    """A connection that the server is seen to have closed is not used: the request goes out once, on a new one."""

    def once(connection: Connection) -> None:
        connection.request()
        connection.send(OK)

    server = serve(once, tls=tls.server if encrypted else None)
    async with mode.using(mode.Client(AT_ONCE, verify=tls.client())) as client:
        await mode.get(client, server.url())
        await mode.until(server, lambda: server.open == 0)
        answer = await mode.get(client, server.url())
    assert len(seawall.report(answer).attempts) == 1
    assert len(server.heard) == len(server.connections) == 2


async def test_connection_that_the_server_announced_to_close_is_not_used(mode: Mode, serve: Serve) -> None:
    """`Connection: close` is believed: the next request goes out on a new connection, once."""
    server = serve(answers(response(b"bye", Connection="close")))
    async with mode.using(mode.Client(AT_ONCE)) as client:
        assert (await mode.get(client, server.url())).content == b"bye"
        answer = await mode.get(client, server.url())
    assert len(seawall.report(answer).attempts) == 1
    assert len(server.connections) == 2


async def test_connections_that_died_with_their_server_cost_no_attempt(mode: Mode, serve: Serve) -> None:
    """After a server was restarted none of its old connections is tried: the next request goes out once."""
    server = serve()
    async with mode.using(mode.Client(AT_ONCE)) as client:
        for answer in [await mode.open(client, server.url()) for _ in range(5)]:
            await mode.read(answer)
        assert len(server.connections) == 5
        server.stop()
        server.restart()
        answer = await mode.get(client, server.url())
    assert answer.content == b"ok"
    assert len(seawall.report(answer).attempts) == 1


@pytest.mark.parametrize("kill", [False, True], ids=["closed", "reset"])
async def test_server_that_comes_back_is_found_again(mode: Mode, serve: Serve, kill: bool) -> None:
    """A server killed in the middle of an answer and started again: the call is repeated until it is back."""
    server = serve(answers(OK, hold))
    calls = Stack(Timeout(30), Retry(attempts=1000, wait=tenacity.wait_fixed(0.01), budget=None))
    async with mode.using(mode.Client(calls)) as client:
        await mode.get(client, server.url())
        waiting = mode.start(mode.get(client, server.url()))
        await mode.until(server, lambda: len(server.heard) == 2)
        server.stop(reset=kill)
        server.script = echo
        server.restart()
        answer = await waiting.result()
    assert answer.content == b"ok"
    attempts = seawall.report(answer).attempts
    assert isinstance(attempts[0].error, httpx.RemoteProtocolError | httpx.ReadError)
    assert attempts[-1].status == 200


async def test_server_that_is_down_refuses_and_the_circuit_closes_when_it_is_back(mode: Mode, serve: Serve) -> None:
    """Refused connections open the circuit; the probe after its open time finds the server again and closes it."""
    server = serve()
    breaker = CircuitBreaker(consecutive=3, open_for=0.05)
    async with mode.using(mode.Client(Stack(breaker))) as client:
        await mode.get(client, server.url())
        server.stop()
        for _ in range(3):
            with pytest.raises((httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError)):
                await mode.get(client, server.url())
        circuit = client.state.circuit(server.origin)
        assert circuit.state == "open"
        with pytest.raises(seawall.CircuitOpen):
            await mode.get(client, server.url())
        server.restart()
        circuit.half_open()
        assert (await mode.get(client, server.url())).content == b"ok"
        assert circuit.state == "closed"


async def test_connect_error_is_retried_for_a_post(mode: Mode, serve: Serve) -> None:
    """Where no connection was made nothing was sent: a POST too is tried again, until the server is back."""
    server = serve()
    server.stop()
    refused: list[seawall.Event] = []

    def listen(event: seawall.Event) -> None:
        if isinstance(event, seawall.RetryScheduled) and not refused:
            refused.append(event)
            server.restart()

    calls = Stack(Timeout(30), Retry(wait=tenacity.wait_none()))
    async with mode.using(mode.Client(calls, listeners=[listen])) as client:
        answer = await settle(client.post(server.url(), content=b"pay"))
    assert answer.content == b"ok"
    assert len(server.heard) == 1
    assert isinstance(seawall.report(answer).attempts[0].error, httpx.ConnectError)
