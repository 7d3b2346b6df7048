"""IdempotencyKey: one key for each call, the same for each of its attempts."""

import uuid
from typing import Any

import httpx
import pytest
import tenacity
from drivers import URL, exchange

import seawall
import seawall.httpx
from seawall import IdempotencyKey, Retry, Stack
from seawall.testing import ScriptedServer, VirtualRuntime

AT_ONCE = Retry(wait=tenacity.wait_none())


def keys(server: ScriptedServer) -> list[str | None]:
    """The keys of the requests that a server got."""
    return [request.headers.get("idempotency-key") for request in server.requests]


def test_each_attempt_carries_the_same_key(driver: str) -> None:
    """A POST that failed is repeated under its own key, so that the server can tell a repeat."""
    server = ScriptedServer(500, 503)
    done = exchange(driver, server, IdempotencyKey(), AT_ONCE, method="POST", content=b"pay")
    assert done.status == 200
    assert len(server.requests) == 3
    [key] = set(keys(server))
    assert key is not None
    assert uuid.UUID(key).version == 4
    assert [request.content for request in server.requests] == [b"pay"] * 3


def test_each_call_has_another_key() -> None:
    """Two calls are two operations."""
    server, runtime = ScriptedServer(), VirtualRuntime()

    async def main() -> None:
        async with seawall.httpx.AsyncClient(Stack(IdempotencyKey()), transport=server) as client:
            await client.post(URL)
            await client.post(URL)

    runtime.run(main())
    assert len(set(keys(server))) == 2


def test_a_key_of_the_callers_is_left_alone(driver: str) -> None:
    """A key that the caller set is the key."""
    server = ScriptedServer(500)
    exchange(driver, server, IdempotencyKey(), AT_ONCE, method="POST", headers={"idempotency-key": "mine"})
    assert keys(server) == ["mine", "mine"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods_get_no_key(driver: str, method: str) -> None:
    """Only `methods`, POST unless said otherwise, get one."""
    server = ScriptedServer()
    exchange(driver, server, IdempotencyKey(), method=method)
    assert keys(server) == [None]


def test_methods_can_be_chosen(driver: str) -> None:
    """`methods` takes the place of the default, in either case of letters."""
    for method, given in (("PATCH", True), ("POST", False)):
        server = ScriptedServer()
        exchange(driver, server, IdempotencyKey(methods={"patch"}), method=method)
        assert (keys(server) != [None]) is given


def test_the_callers_request_is_not_touched() -> None:
    """The key goes out on a copy: a Request object of the caller's stays as it was."""
    server = ScriptedServer()
    with seawall.httpx.Client(Stack(IdempotencyKey()), transport=server) as client:
        request = client.build_request("POST", URL, headers={"x-other": "kept"}, params={"q": "1"}, json={"a": 1})
        response = client.send(request)
    assert response.request is request
    assert "idempotency-key" not in request.headers
    [received] = server.requests
    assert {name: received.headers[name] for name in request.headers} == dict(request.headers)
    assert (received.url, received.content) == (f"{URL}?q=1", request.content)


def test_an_error_tells_the_callers_request() -> None:
    """An error's `.request` is the request that the caller sent, not the copy that went out."""
    request = httpx.Request("POST", URL)
    with (
        seawall.httpx.Transport(Stack(IdempotencyKey()), transport=ScriptedServer(httpx.ReadError)) as transport,
        pytest.raises(httpx.ReadError) as raised,
    ):
        transport.handle_request(request)
    assert raised.value.request is request


def test_without_retry_a_key_is_still_given(driver: str) -> None:
    """The server may need it for a repeat by someone else."""
    server = ScriptedServer(500)
    assert exchange(driver, server, IdempotencyKey(), method="POST").status == 500
    assert keys(server) != [None]


@pytest.mark.parametrize(
    ("methods", "error"), [("POST", TypeError), (5, TypeError), ({"PO ST"}, ValueError), ({1}, ValueError)], ids=str
)
def test_methods_that_cannot_be_are_refused(methods: Any, error: type[Exception]) -> None:
    """A string is a likely slip for a set of strings, and is told so."""
    with pytest.raises(error, match="IdempotencyKey: methods must"):
        IdempotencyKey(methods=methods)
