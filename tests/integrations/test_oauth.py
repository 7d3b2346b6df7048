"""OAuth 2 around a protected client: flows of httpx's own, httpx-auth, and Authlib's clients."""

import json
import time
from collections.abc import Generator, Iterator
from typing import Any

import httpx
import pytest
import tenacity
from real.conftest import Serve
from real.modes import Mode, settle
from real.servers import Connection, Heard, Server, answers, hold, response

import seawall
from seawall import ConcurrencyLimit, Retry, Stack, TimedOut, Timeout

STACK = Stack(Timeout(30), Retry(wait=tenacity.wait_none()), ConcurrencyLimit(1, max_wait=5))
"""One slot: a hop that does not give its own back is noticed by the next."""

DENIED = response(b"who are you?", status="401 Unauthorized", WWW_Authenticate="Bearer")


def grants(token: str, *, expires_in: int = 3600) -> bytes:
    """What a token endpoint answers."""
    told = {"access_token": token, "token_type": "bearer", "expires_in": expires_in, "refresh_token": "again"}
    return response(json.dumps(told).encode(), Content_Type="application/json")


class Guarded:
    """An API that wants the latest token, and the endpoint that grants tokens."""

    def __init__(self) -> None:
        self.granted = 0

    def __call__(self, connection: Connection) -> None:
        while request := connection.request():
            connection.send(self.answer(request))

    def answer(self, request: Heard) -> bytes:
        if request.target == "/token":
            self.granted += 1
            return grants(f"token-{self.granted}")
        right = self.granted > 0 and request.headers.get("authorization") == f"Bearer token-{self.granted}"
        return response(b"welcome " + request.body) if right else DENIED


def told(server: Server) -> list[tuple[str, str, str, bytes]]:
    """What the server was asked, in order."""
    return [(heard.method, heard.target, heard.headers.get("authorization", ""), heard.body) for heard in server.heard]


class Refreshing(httpx.Auth):
    """The flow of most APIs: on a 401, get a new token and ask again."""

    requires_response_body = True

    def __init__(self, token_url: str) -> None:
        self.token_url = token_url
        self.token = "token-0"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["authorization"] = f"Bearer {self.token}"
        answer = yield request
        if answer.status_code == 401:
            granted = yield httpx.Request("POST", self.token_url, data={"grant_type": "refresh_token"})
            self.token = granted.json()["access_token"]
            request.headers["authorization"] = f"Bearer {self.token}"
            yield request


async def test_a_refresh_after_a_401_is_as_it_is_without_us(mode: Mode, serve: Serve) -> None:
    """401, token, once more: a bare and a protected client send the same and get the same."""
    outcomes = []
    for make in (mode.Plain, lambda: mode.Client(STACK)):
        server = serve(Guarded())
        async with mode.using(make()) as client:
            auth = Refreshing(server.url("/token"))
            first = await settle(client.post(server.url("/items"), content=b"one", auth=auth))
            second = await settle(client.post(server.url("/items"), content=b"two", auth=auth))
        outcomes.append((first.content, [past.status_code for past in first.history], second.content, told(server)))
    assert outcomes[0] == outcomes[1]
    assert outcomes[1][0] == b"welcome one"


async def test_the_hops_of_a_refresh_are_one_call(mode: Mode, serve: Serve) -> None:
    """The report of the answer lists the attempts of every hop, and a failure in between is retried."""
    busy = response(b"", status="503 Busy")
    server = serve(answers(DENIED, grants("token-1"), busy, response(b"welcome")))
    async with mode.using(mode.Client(STACK)) as client:
        answer = await mode.get(client, server.url("/items"), auth=Refreshing(server.url("/token")))
    assert answer.content == b"welcome"
    assert [attempt.status for attempt in seawall.report(answer).attempts] == [401, 200, 503, 200]
    assert [heard.target for heard in server.heard] == ["/items", "/token", "/items", "/items"]


@pytest.mark.parametrize("stalls", [0, 1, 2], ids=["at first", "at the token", "at last"])
async def test_every_hop_is_under_the_deadline_of_the_call(mode: Mode, serve: Serve, stalls: int) -> None:
    """Whichever hop does not answer, the call ends at its one deadline, and no later hop is sent."""
    server = serve(answers(*[DENIED, grants("token-1"), response(b"welcome")][:stalls], hold))
    async with mode.using(mode.Client(STACK)) as client:
        with seawall.options(timeout=0.25), pytest.raises(TimedOut):
            await mode.get(client, server.url("/items"), auth=Refreshing(server.url("/token")))
        assert len(server.heard) == stalls + 1
        assert (await mode.get(client, server.url("/items"))).content == b"ok"


# -- httpx-auth


@pytest.fixture
def httpx_auth() -> Iterator[Any]:
    """The library, its memory of tokens empty."""
    library = pytest.importorskip("httpx_auth")
    library.OAuth2.token_cache.clear()
    yield library
    library.OAuth2.token_cache.clear()


async def test_httpx_auth_gets_its_token_through_seawall(mode: Mode, serve: Serve, httpx_auth: Any) -> None:
    """With `client=` the token request is protected too: here a 429 of the token endpoint is waited for."""
    server = serve(
        answers(
            response(b"", status="429 Too Many Requests", Retry_After="0.02"),
            grants("token-1"),
            response(b"one"),
            response(b"two"),
        )
    )
    with seawall.httpx.Client(STACK) as tokens:
        auth = httpx_auth.OAuth2ClientCredentials(server.url("/token"), "me", "secret", client=tokens)
        async with mode.using(mode.Client(STACK, auth=auth)) as client:
            answered = [await mode.get(client, server.url("/items")) for _ in range(2)]
    assert [answer.content for answer in answered] == [b"one", b"two"]
    assert [heard.target for heard in server.heard] == ["/token", "/token", "/items", "/items"]
    assert {heard.headers["authorization"] for heard in server.heard[2:]} == {"Bearer token-1"}


# -- Authlib, which is made for httpx2


class Authlib:
    """Authlib's client around a transport of ours."""

    def __init__(self, mode: str) -> None:
        self.httpx2 = pytest.importorskip("httpx2")
        self.library = pytest.importorskip("authlib.integrations.httpx_client")
        self.family = pytest.importorskip("seawall.httpx2")
        self.mode = Mode(mode, self.family, self.httpx2)

    def client(self, server: Server, **options: Any) -> Any:
        make = self.library.AsyncOAuth2Client if self.mode.is_async else self.library.OAuth2Client
        return make(
            "me", "secret", token_endpoint=server.url("/token"), transport=self.mode.Transport(STACK), **options
        )


@pytest.fixture(params=["sync", "async"])
def authlib(request: pytest.FixtureRequest) -> Authlib:
    """Sync and async, one after the other."""
    return Authlib(request.param)


async def test_authlib_refreshes_an_expired_token(authlib: Authlib, serve: Serve) -> None:
    """An expired token is renewed before the request, and the request goes out with the new one."""
    server, mode = serve(Guarded()), authlib.mode
    expired = {"access_token": "old", "refresh_token": "again", "token_type": "bearer", "expires_at": 1}
    async with mode.using(authlib.client(server, token=expired)) as client:
        answer = await settle(client.post(server.url("/items"), content=b"one"))
    assert answer.content == b"welcome one"
    assert [heard.target for heard in server.heard] == ["/token", "/items"]
    assert len(seawall.report(answer).attempts) == 1


async def test_authlibs_token_endpoint_is_protected(authlib: Authlib, serve: Serve) -> None:
    """A token endpoint that asks for patience gets it; what fails later is retried with the token that came."""
    busy = response(b"", status="503 Busy")
    limited = response(b"", status="429 Too Many Requests", Retry_After="0.02")
    server, mode = serve(answers(limited, grants("token-1"), busy, response(b"welcome"))), authlib.mode
    async with mode.using(authlib.client(server)) as client:
        await settle(client.fetch_token(grant_type="client_credentials"))
        answer = await settle(client.get(server.url("/items")))
    assert answer.content == b"welcome"
    assert [heard.headers["authorization"] for heard in server.heard[2:]] == ["Bearer token-1"] * 2


async def test_one_deadline_for_the_token_and_the_request(authlib: Authlib, serve: Serve) -> None:
    """To Authlib a refresh is a call of its own: `options(deadline=...)` bounds both together."""
    server, mode = serve(answers(grants("token-1"), hold)), authlib.mode
    expired = {"access_token": "old", "refresh_token": "again", "token_type": "bearer", "expires_at": 1}
    async with mode.using(authlib.client(server, token=expired)) as client:
        with seawall.options(deadline=time.monotonic() + 0.5), pytest.raises(authlib.httpx2.TimeoutException):
            await settle(client.get(server.url("/items")))
    assert [heard.target for heard in server.heard] == ["/token", "/items"]
