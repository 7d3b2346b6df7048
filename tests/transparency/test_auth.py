"""Authentication: built in, by netrc, and flows of the user's own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from .user import User


@pytest.mark.parametrize("how", ["tuple", "basic", "url", "function", "client", "none"])
async def test_given(user: User, how: str) -> None:
    """Credentials of a request or a client, in each form."""

    def own(request: Any) -> Any:
        request.headers["Authorization"] = "Own"
        return request

    auth: Any = {"tuple": ("me", "s\u00e9cret"), "basic": user.lib.BasicAuth("me", "x"), "function": own}.get(how)
    client_auth = ("client", "secret") if how in ("client", "none") else None
    async with user.client(auth=client_auth) as client:
        if how == "url":
            user.note(await user(client.get(user.url("/mirror").replace("//", "//me:s%40crt@"))))
        elif how == "client":
            user.note(await user(client.get("/mirror")), await user(client.get("/redirect/302/1")))
            client.auth = ("other", "one")
            user.note(await user(client.get("/mirror")))
        else:
            user.note(await user(client.get("/mirror", auth=auth)))


@pytest.mark.parametrize("known", [True, False])
async def test_netrc(user: User, tmp_path: Path, known: bool) -> None:
    """Credentials of a netrc file, for the hosts that it knows."""
    file = tmp_path / "netrc"
    file.write_text(f"machine {'127.0.0.1' if known else 'elsewhere.example'}\nlogin me\npassword secret\n")
    async with user.client(auth=user.lib.NetRCAuth(str(file))) as client:
        user.note(await user(client.get("/mirror")))


async def test_digest(user: User) -> None:
    """A digest challenge is answered, and the next request goes with credentials at once."""
    auth = user.lib.DigestAuth("me", "secret")
    async with user.client() as client:
        user.note(await user(client.get("/digest", auth=auth)), await user(client.post("/digest", auth=auth)))
        user.note(await user(client.get("/digest", auth=user.lib.DigestAuth("you", "secret"))))
        streamed = await user.open(client, "/digest")
        user.note(await user.read(streamed))


def flow(user: User, *, reads: bool) -> Any:
    """A flow of two steps: it asks for a token at another path, and reads it."""

    class Steps(user.lib.Auth):  # type: ignore[misc,name-defined]
        requires_response_body = reads

        def auth_flow(self, request: Any) -> Iterator[Any]:
            asked = yield user.lib.Request("POST", user.url("/token"), content=b"who am I")
            user.note(asked)
            request.headers["Authorization"] = f"Token {asked.text if reads else asked.status_code}"
            answer = yield request
            user.note(answer)
            if answer.status_code == 404:
                request.headers["X-Again"] = "1"
                yield request

    return Steps()


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("path", ["/token", "/404", "/redirect/302/1"])
async def test_flow_of_several_steps(user: User, path: str, reads: bool) -> None:
    """A flow may send requests of its own, read their bodies and send the user's request more than once."""
    user.expect("timeouts")  # its own request has none
    async with user.client(follow_redirects=True) as client:
        answer = await user(client.get(path, auth=flow(user, reads=reads)))
        user.note(answer, answer.history)
        async with user.using(client.stream("GET", path, auth=flow(user, reads=reads))) as answer:
            user.note(await user.read(answer))


async def test_flow_of_its_own_kind(user: User) -> None:
    """`sync_auth_flow` and `async_auth_flow` of the user's own are driven as they are, and closed."""

    class Own(user.lib.Auth):  # type: ignore[misc,name-defined]
        def sync_auth_flow(self, request: Any) -> Iterator[Any]:
            try:
                answer = yield request
                user.note(answer.read())
                request.headers["X-Step"] = "2"
                yield request
            finally:
                user.note("over")

        async def async_auth_flow(self, request: Any) -> AsyncIterator[Any]:
            try:
                answer = yield request
                user.note(await answer.aread())
                request.headers["X-Step"] = "2"
                yield request
            finally:
                user.note("over")

    async with user.client() as client:
        user.note(await user(client.post("/mirror", content=b"kept", auth=Own())))
        user.note(await user(client.get("/lines", auth=Own())))


@pytest.mark.parametrize("step", [1, 2])
async def test_flow_that_breaks(user: User, step: int) -> None:
    """An error of the flow's comes through as it is; the response before it is closed."""

    class Broken(user.lib.Auth):  # type: ignore[misc,name-defined]
        def auth_flow(self, request: Any) -> Iterator[Any]:
            if step == 2:
                yield request
            raise ZeroDivisionError("mine")

    async with user.client() as client:
        await user.refused(lambda: client.get("/lines", auth=Broken()))
        user.note(await user(client.get("/plain")))


async def test_wrong_kind_of_credentials(user: User) -> None:
    """What is no kind of credentials is told to be none."""
    async with user.client() as client:
        await user.refused(lambda: client.get("/plain", auth="secret"))
        user.note(await user(client.get("/plain")))
