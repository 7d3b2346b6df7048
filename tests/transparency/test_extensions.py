"""Extensions: what a response tells of its connection, tracing, upgrades."""

import ssl
from typing import Any

import pytest
from real.conftest import Certificates, Serve
from real.servers import Server

from .site import site
from .user import ONCE, User


async def test_of_a_response(user: User) -> None:
    """`http_version`, `reason_phrase` and `network_stream` are those of the connection."""
    async with user.client() as client:
        answer = await user.open(client, "/odd-reason")
        given = answer.extensions
        user.note(answer, given["http_version"], given.get("reason_phrase"))
        stream = given["network_stream"]
        user.note(
            type(stream),
            stream.get_extra_info("server_addr"),
            stream.get_extra_info("socket").getpeername(),
            stream.get_extra_info("ssl_object"),
            stream.get_extra_info("unheard-of"),
            stream.get_extra_info("is_readable") in (True, False),
        )
        await user.read(answer)
        user.note(answer.extensions["http_version"])


async def test_trace(user: User) -> None:
    """The `trace` extension sees each step, on a new connection and on one that is used again."""

    def trace(event: str, info: dict[str, Any]) -> None:
        user.note(event, sorted(info))

    async with user.client() as client:
        for path in ("/plain", "/lines", "/redirect/302/1"):
            answer = await user(client.get(path, extensions={"trace": user.hook(trace)}, follow_redirects=True))
            user.note(sorted(answer.request.extensions.keys() - {"seawall.trail"}))


async def test_trace_that_raises(user: User) -> None:
    """An error of a tracer's comes through, and the client is of use afterwards."""

    async with user.client() as client:
        for last in ("http11.send_request_headers.started", "http11.receive_response_headers.complete"):

            def trace(event: str, info: dict[str, Any], last: str = last) -> None:
                user.note(event)
                if event == last:
                    raise ZeroDivisionError(event)

            given = {"trace": user.hook(trace)}
            await user.refused(lambda given=given: client.get("/plain", extensions=given))
        user.note(await user(client.get("/plain")))


async def test_target(user: User) -> None:
    """The `target` extension is what is asked for."""
    async with user.client() as client:
        user.note(await user(client.get("/plain", extensions={"target": b"/mirror?as%2Fit;is"})))
        user.note(await user(client.options("/plain", extensions={"target": b"*"})))


@pytest.mark.parametrize("read", [True, False])
async def test_upgrade(user: User, read: bool) -> None:
    """After a 101 the connection is the user's: written to, read from, and closed with the response."""
    async with user.client() as client:
        headers = {"Connection": "Upgrade", "Upgrade": "shout"}
        answer = await user.open(client, "/upgrade", headers=headers)
        user.note(answer)
        stream = answer.extensions["network_stream"]
        user.note(await user(stream.read(100, timeout=5)))
        for word in (b"one", b"two"):
            await user(stream.write(word, timeout=5))
            user.note(await user(stream.read(100, timeout=5)))
        if read:
            user.note(await user(client.get("/plain")))
            await user(stream.write(b"three", timeout=5))
            user.note(await user(stream.read(100, timeout=5)))
        await user.close(answer)
        user.note(answer)
        user.note(await user(client.get("/plain")))


async def test_upgrade_that_is_refused(user: User) -> None:
    """A server that does not upgrade answers as ever."""
    async with user.client() as client:
        user.note(await user(client.get("/plain", headers={"Connection": "Upgrade", "Upgrade": "shout"})))
        user.note(await user(client.get("/plain")))


@pytest.fixture
def secure(serve: Serve, tls: Certificates) -> Server:
    """The site, by TLS."""
    return serve(site, tls=tls.server)


@pytest.mark.without("transport", "pool")  # they have a `verify` of their own
@pytest.mark.parametrize("verify", ["context", "wrong", "none"])
async def test_tls(user: User, secure: Server, tls: Certificates, verify: str) -> None:
    """TLS is that of `verify`, with the certificate that the server shows."""
    context: Any = {"context": tls.client(), "wrong": ssl.create_default_context(), "none": False}[verify]
    async with user.client(verify=context, base_url=secure.origin) as client:
        if verify == "wrong":
            await user.refused(lambda: client.get("/plain", extensions=ONCE))
        else:
            answer = await user.open(client, "/plain")
            about = answer.extensions["network_stream"].get_extra_info("ssl_object")
            user.note(about.version(), about.getpeercert(True), about.selected_alpn_protocol())
            await user.read(answer)
            user.note(answer, await user(client.get("/plain")))
            user.note(await user(client.get("/plain", extensions={"sni_hostname": "localhost"})))
