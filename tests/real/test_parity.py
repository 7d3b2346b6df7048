"""The front door is an httpx client: what a bare client makes of a server, a protected one makes of it too.

Each scenario is run with both against the same server, and must give the same.
"""

import gzip
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

import seawall
from seawall import Endpoints, ReadBody, Retry, Stack, Timeout

from .conftest import Serve
from .modes import Mode, settle
from .servers import Connection, Heard, chunked, response

STACKS: dict[str, Any] = {
    "standard": None,
    "bodies read ahead": Stack(Timeout(20), Retry(), ReadBody(1_000_000, chunked=True), Timeout(10)),
    "endpoints": Endpoints({"GET http://127.0.0.1/redirect/*": Stack(Timeout(20))}, default=Stack(Retry())),
}

LINES = b"".join(b"line %d\n" % number for number in range(50))


def site(connection: Connection) -> None:
    """A small web site."""
    while request := connection.request():
        connection.send(page(request))


def page(request: Heard) -> bytes:
    path, _, query = request.target.partition("?")
    if path.startswith("/redirect/"):
        count = int(path.rpartition("/")[2])
        target = f"/redirect/{count - 1}" if count > 1 else "/whoami"
        return response(b"gone", status="302 Found", Location=target, Set_Cookie=f"hop{count}=yes; Path=/")
    if path == "/see-other":
        return response(b"", status="303 See Other", Location="/whoami")
    if path == "/loop":
        return response(b"", status="301 Moved", Location="/loop")
    if path == "/login":
        return response(b"in", Set_Cookie="session=abc; Path=/; HttpOnly")
    if path == "/whoami":
        told = [request.method, request.headers.get("cookie", ""), request.headers.get("authorization", "")[:6]]
        return response("|".join([*told, query, request.body.decode()]).encode())
    if path == "/digest":
        return digest(request)
    if path == "/lines":
        return chunked(*(LINES[start : start + 77] for start in range(0, len(LINES), 77)))
    if path == "/zipped":
        body = gzip.compress(LINES, mtime=0)
        return response(body, Content_Encoding="gzip", Content_Type="text/plain; charset=utf-8")
    if path == "/upload":
        seen = hashlib.sha256(request.body).hexdigest()
        return response(f"{len(request.body)} {seen}".encode())
    if path.startswith("/status/"):
        return response(b"said", status=f"{path[8:]} Said")
    return response(b"ok", Content_Type="application/json", Vary="a", X_Case="Kept")


def digest(request: Heard) -> bytes:
    """Asks for digest credentials once."""
    given = request.headers.get("authorization", "")
    if not given.startswith("Digest") or 'username="me"' not in given:
        challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'
        return response(b"who?", status="401 Who", WWW_Authenticate=challenge)
    return response(b"welcome")


def told(answer: httpx.Response) -> dict[str, Any]:
    """What of a response must be the same."""
    return {
        "status": answer.status_code,
        "reason": answer.reason_phrase,
        "version": answer.http_version,
        "headers": answer.headers.raw,
        "content": answer.content,
        "text": answer.text,
        "encoding": answer.encoding,
        "url": str(answer.url),
        "sent": (answer.request.method, str(answer.request.url), answer.request.headers.raw),
        "history": [(each.status_code, str(each.url), each.content, each.is_closed) for each in answer.history],
        "next": str(answer.next_request and answer.next_request.url),
        "cookies": sorted(answer.cookies.items()),
        "downloaded": answer.num_bytes_downloaded,
        "flags": (answer.is_closed, answer.is_stream_consumed, answer.is_error, answer.has_redirect_location),
        "extensions": sorted(name for name in answer.extensions if not name.startswith("seawall")),
        "elapsed": answer.elapsed.total_seconds() > 0,
    }


async def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """The type and the text of the error that a call ends in."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whichever it is, it must be the same
        await settle(call())
    return type(caught.value).__name__, str(caught.value)


Scenario = Callable[[Mode, Any, str], Awaitable[Any]]


async def plain_requests(mode: Mode, client: Any, site: str) -> Any:
    """Every method, with query, headers and bodies."""
    answers = [
        await settle(client.request(method, site + "/whoami", params={"q": "a b"}, headers={"X-Mine": "1"}))
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    ]
    answers.append(await settle(client.post(site + "/whoami", json={"a": [1, 2]})))
    answers.append(await settle(client.post(site + "/whoami", data={"field": "value"})))
    return [told(answer) for answer in answers]


async def redirects(mode: Mode, client: Any, site: str) -> Any:
    """Followed, not followed, turned into a GET, and without end."""
    return [
        told(await settle(client.get(site + "/redirect/3", follow_redirects=True))),
        told(await settle(client.get(site + "/redirect/3"))),
        told(await settle(client.post(site + "/see-other", content=b"x", follow_redirects=True))),
        await refused(lambda: client.get(site + "/loop", follow_redirects=True)),
    ]


async def cookies(mode: Mode, client: Any, site: str) -> Any:
    """Set by a response, kept by the client, sent with the next request."""
    first = told(await settle(client.get(site + "/login")))
    client.cookies.set("mine", "too")
    return first, told(await settle(client.get(site + "/whoami"))), sorted(client.cookies.items())


class Twice(httpx.Auth):
    """An auth flow that needs the body of a first response."""

    requires_response_body = True

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        answer = yield request
        request.headers["Authorization"] = f"Token {answer.text}"
        yield request


async def auth(mode: Mode, client: Any, site: str) -> Any:
    """Basic, digest with its challenge, wrong credentials, and a flow of one's own."""
    answers = [
        await settle(client.get(site + "/whoami", auth=("me", "secret"))),
        await settle(client.get(site + "/digest", auth=httpx.BasicAuth("no", "body"))),
        await settle(client.get(site + "/whoami", auth=Twice())),
    ]
    challenged = await settle(client.get(site + "/digest", auth=httpx.DigestAuth("me", "secret")))
    history = [each.status_code for each in challenged.history]
    return [told(answer) for answer in answers], challenged.content, history


async def streaming(mode: Mode, client: Any, site: str) -> Any:
    """Bytes, text and lines of chunked and of compressed bodies, and what comes of using a stream wrongly."""
    found: list[Any] = []
    for path in ("/lines", "/zipped"):
        for way in ("iter_bytes", "iter_raw", "iter_text", "iter_lines"):
            answer = await mode.open(client, site + path)
            pieces = getattr(answer, f"a{way}" if mode.is_async else way)()
            collected = [piece async for piece in pieces] if mode.is_async else list(pieces)
            joiner: Any = b"" if way in ("iter_bytes", "iter_raw") else ""
            found.append((joiner.join(collected), answer.num_bytes_downloaded, answer.is_closed, way))
    half = await mode.open(client, site + "/lines")
    found.append(await refused(lambda: half.content))
    async with aclosing(mode.chunks(half)) as chunks:
        await anext(chunks)
    await mode.close(half)
    found.append(await refused(half.aread if mode.is_async else half.read))
    whole = await mode.open(client, site + "/lines")
    await mode.read(whole)
    found.append(await mode.read(whole) == LINES)
    return found


async def uploads(mode: Mode, client: Any, site: str) -> Any:
    """Bytes, files, multipart forms and generators."""

    def pieces() -> Iterator[bytes]:
        yield from (b"piece", b"of", b"it")

    async def apieces() -> AsyncIterator[bytes]:
        for piece in pieces():
            yield piece

    length = {"Content-Length": "9"}
    bodies: list[dict[str, Any]] = [
        {"content": b"bytes"},
        {"content": apieces() if mode.is_async else pieces(), "headers": length},
        {"files": {"f": ("name.txt", io.BytesIO(b"file"), "text/plain")}, "headers": {"Content-Type": FORM}},
    ]
    return [told(await settle(client.post(site + "/upload", **body))) for body in bodies]


FORM = "multipart/form-data; boundary=fixed"


async def errors(mode: Mode, client: Any, site: str) -> Any:
    """`raise_for_status`, URLs that cannot be, and a host that refuses."""
    found: list[Any] = []
    for status in (404, 418, 201):
        answer = await settle(client.put(f"{site}/status/{status}"))
        found.append(told(answer))
        found.append(await refused(answer.raise_for_status) if status > 400 else answer.raise_for_status().text)
    found.append(await refused(lambda: client.get("ftp://127.0.0.1/")))
    found.append(await refused(lambda: client.get("/relative")))
    at_once = {"seawall": {"skip": ["retry"]}}
    found.append(await refused(lambda: client.post("http://127.0.0.1:1/", extensions=at_once)))
    found.append(await refused(lambda: client.get("http://127.0.0.1:port/")))
    return found


SCENARIOS: list[Scenario] = [plain_requests, redirects, cookies, auth, streaming, uploads, errors]


# httpx itself leaves generators half-way when a stream is closed early, in a bare client too; trio warns of each
@pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")
@pytest.mark.parametrize("policies", STACKS.values(), ids=list(STACKS))
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_as_in_a_bare_client(mode: Mode, serve: Serve, scenario: Scenario, policies: Any) -> None:
    """The same requests reach the server, and the same responses and errors the caller, as in a bare client."""
    server = serve(site)
    found, reached = [], []
    for make in (lambda: mode.Plain(), lambda: mode.Client(policies)):
        client = make()
        server.heard.clear()
        async with mode.using(client):
            found.append(await scenario(mode, client, server.origin))
        reached.append([(heard.method, heard.target, heard.headers, heard.body) for heard in server.heard])
        if scenario is auth:  # a digest has a random nonce of the client's
            reached[-1] = [each[:2] for each in reached[-1]]
    assert found[0] == found[1]
    assert reached[0] == reached[1]


async def test_event_hooks(mode: Mode, serve: Serve) -> None:
    """Request and response hooks run once per hop, in order, and a response hook may read the body."""
    server = serve(site)
    heard: list[list[Any]] = []
    for make in (mode.Plain, mode.Client):
        told_now: list[Any] = []

        def on_request(request: httpx.Request, told_now: list[Any] = told_now) -> None:
            told_now.append(("request", request.method, str(request.url)))
            request.headers["X-Hooked"] = "yes"

        def on_response(answer: httpx.Response, told_now: list[Any] = told_now) -> None:
            told_now.append(("response", answer.status_code, answer.read() if not mode.is_async else answer.content))

        async def on_request_async(request: httpx.Request) -> None:
            on_request(request)

        async def on_response_async(answer: httpx.Response) -> None:
            await answer.aread()
            on_response(answer)

        hooks: dict[str, list[Any]] = {"request": [on_request], "response": [on_response]}
        if mode.is_async:
            hooks = {"request": [on_request_async], "response": [on_response_async]}
        async with mode.using(make(event_hooks=hooks, follow_redirects=True)) as client:
            await mode.get(client, server.url("/redirect/2"))
        heard.append(told_now)
    assert heard[0] == heard[1]
    assert len(heard[0]) == 6
    assert all(request.headers["x-hooked"] == "yes" for request in server.heard)


async def test_client_options(mode: Mode, serve: Serve) -> None:
    """`base_url`, `params`, `headers`, `cookies`, `auth` and `timeout` of the client keep their meaning."""
    server = serve(site)
    found = []
    for make in (mode.Plain, mode.Client):
        options: dict[str, Any] = {
            "base_url": server.url("/whoami"),
            "params": {"of": "client"},
            "headers": {"User-Agent": "mine"},
            "cookies": {"c": "1"},
            "auth": ("me", "secret"),
            "timeout": 7,
            "default_encoding": "latin-1",
            "max_redirects": 3,
        }
        async with mode.using(make(**options)) as client:
            answer = await mode.get(client, "", params={"of": "request"})
            found.append(
                (told(answer), answer.request.extensions["timeout"], repr(client.timeout), client.max_redirects)
            )
    assert found[0] == found[1]


async def test_response_extensions_are_of_use(mode: Mode, serve: Serve) -> None:
    """`network_stream` of a response is the live connection, as in a bare client."""
    server = serve(site)
    async with mode.using(mode.Client()) as client:
        answer = await mode.open(client, server.url())
        stream = answer.extensions["network_stream"]
        assert stream.get_extra_info("server_addr")[:2] == ("127.0.0.1", server.port)
        assert answer.extensions["http_version"] == b"HTTP/1.1"
        await mode.read(answer)
    assert isinstance(client, mode.Plain)


async def test_protected_client_reports_what_the_bare_one_cannot(mode: Mode, serve: Serve) -> None:
    """One report covers all hops of a redirected call, and each response of the history has its own request."""
    server = serve(site)
    async with mode.using(mode.Client(follow_redirects=True)) as client:
        answer = await mode.get(client, server.url("/redirect/2"))
    assert [attempt.status for attempt in seawall.report(answer).attempts] == [302, 302, 200]
    assert [str(each.request.url) for each in answer.history] == [server.url("/redirect/2"), server.url("/redirect/1")]
