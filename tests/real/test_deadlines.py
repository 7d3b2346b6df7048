"""Deadlines are real, in threads too: whatever the server drips or withholds, a call ends when it must."""

import threading
import time
from collections.abc import Callable

import httpx
import pytest
import tenacity

import seawall
from seawall import ReadBody, Retry, Stack, TimedOut, Timeout

from . import proxies
from .conftest import Certificates, Serve
from .modes import SYNC, Mode, settle
from .servers import OK, Connection, answers, chunked, cut_after, hold, response, stalled_listener

# httpx itself leaves generators half-way when a deadline passes between two pieces of a body; trio warns of each
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")

LIMIT = 0.15
DRIPS = 400
EVERY = 0.02
MUCH_TOO_LONG = DRIPS * EVERY / 3
"""A third of what the server takes, which is far above the limit and far below the time of a deadline missed."""

BOUNDED = Stack(Timeout(LIMIT))
DRIPPED_HEADERS = response(b"ok", X_Slow="x" * DRIPS)
DRIPPED_BODY = response(b"x" * DRIPS)


def drip_headers(connection: Connection) -> bool:
    """Headers, one byte at a time."""
    connection.drip(DRIPPED_HEADERS, EVERY)
    return True


def drip_body(connection: Connection) -> bool:
    """The headers at once, then the body one byte at a time."""
    head, _, body = DRIPPED_BODY.partition(b"\r\n\r\n")
    connection.send(head + b"\r\n\r\n")
    connection.drip(body, EVERY)
    return True


def flood(connection: Connection) -> bool:
    """A body without end, as fast as it is read."""
    connection.send(response(b"", length=10**15))
    while True:
        connection.send(bytes(65_536))


class ends_in_time:  # noqa: N801 - reads as a statement
    """`with ends_in_time():` whatever is inside raises TimedOut, long before the server is done."""

    def __enter__(self) -> None:
        self.began = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        took = time.monotonic() - self.began
        assert isinstance(error, TimedOut), f"no TimedOut but {error!r}"
        assert isinstance(error, httpx.TimeoutException)
        assert error.request is not None
        assert LIMIT * 0.9 < took < MUCH_TOO_LONG
        return True


def proxy_for(way: str, serve: Serve) -> str | None:
    if "SOCKS" in way:
        return serve(proxies.socks5()).origin.replace("http", "socks5")
    if "CONNECT" in way:
        return serve(proxies.tunnel()).origin
    return serve(proxies.forward()).origin if "proxy" in way else None


EVERYWHERE = ["http", "tls", "http through a proxy", "tls through CONNECT", "http through SOCKS", "tls through SOCKS"]
CASES = [(drip_headers, way, "new") for way in EVERYWHERE]
CASES += [
    (slow, way, age) for slow in (drip_headers, drip_body) for way in ("http", "tls") for age in ("new", "reused")
]
CASES += [(drip_body, "tls through CONNECT", "reused"), (flood, "http", "new"), (flood, "tls", "new")]


@pytest.mark.parametrize(
    ("slow", "way", "age"), sorted(set(CASES), key=str), ids=lambda case: getattr(case, "__name__", case)
)
async def test_deadline_holds_whatever_is_sent(
    mode: Mode, serve: Serve, tls: Certificates, slow: Callable[[Connection], bool], way: str, age: str
) -> None:
    """Headers or a body that come byte by byte, or without end, are cut off at the call's deadline."""
    reused = age == "reused"
    first = [OK] if reused else []
    server = serve(answers(*first, slow), tls=tls.server if "tls" in way else None)
    context = tls.client()
    async with mode.using(mode.Client(BOUNDED, verify=context, proxy=proxy_for(way, serve), timeout=None)) as client:
        if reused:
            await mode.get(client, server.url(), extensions={"seawall": {"timeout": 20.0}})
        with ends_in_time():
            await mode.get(client, server.url())
        # the connection that was cut is not used again, and the next call is fine
        answer = await mode.get(client, server.url(), extensions={"seawall": {"timeout": 20.0}})
    assert answer.content == b"ok"
    assert server.heard[-1].connection > server.heard[-2].connection


@pytest.mark.parametrize("farewell", ["announced", "unannounced"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["http", "tls"])
async def test_deadline_holds_on_the_connection_after_one_that_was_closed(
    mode: Mode, serve: Serve, tls: Certificates, encrypted: bool, farewell: str
) -> None:
    """A call that comes right after the server closed its connection is cut off on its new one like any other."""
    goodbye = response(b"bye", Connection="close") if farewell == "announced" else response(b"bye")
    server = serve(answers(cut_after(goodbye), drip_headers), tls=tls.server if encrypted else None)
    async with mode.using(mode.Client(BOUNDED, verify=tls.client(), timeout=None)) as client:
        await mode.get(client, server.url(), extensions={"seawall": {"timeout": 20.0}})
        await mode.until(server, lambda: server.open == 0)
        with ends_in_time():
            await mode.get(client, server.url())


@pytest.mark.parametrize(
    ("way", "own_timeout"),
    [
        ("tls", 5.0),
        ("tls", None),
        ("tls through CONNECT", 5.0),
        ("tls through CONNECT", None),
        ("tls through SOCKS", None),
    ],
)
async def test_deadline_holds_in_a_stalled_handshake(
    mode: Mode, serve: Serve, tls: Certificates, way: str, own_timeout: float | None
) -> None:
    """A TLS handshake that the server never answers ends at the call's deadline."""
    server = serve(lambda connection: connection.hold())
    url = server.url().replace("http", "https")
    options = {"verify": tls.client(), "proxy": proxy_for(way, serve), "timeout": own_timeout}
    async with mode.using(mode.Client(BOUNDED, **options)) as client:
        with ends_in_time():
            await mode.get(client, url)
        await mode.until(server, lambda: server.open == 0)


@pytest.mark.parametrize("handshake", [False, True], ids=["answer", "handshake"])
async def test_deadline_holds_against_a_proxy_that_drips(
    mode: Mode, serve: Serve, tls: Certificates, handshake: bool
) -> None:
    """A proxy that answers CONNECT byte by byte, or the handshake within, is cut off at the call's deadline."""

    def dripping(connection: Connection) -> None:
        connection.request()
        if handshake:
            connection.send(b"HTTP/1.1 200 Yes\r\n\r\n")
            connection.socket.recv(65_536)  # the client's side of the handshake
            connection.drip(b"\x16\x03\x03\x3f\xff" + bytes(DRIPS), EVERY)  # a TLS record that takes its time
        connection.drip(b"HTTP/1.1 200 " + b"s" * DRIPS + b"low\r\n\r\n", EVERY)

    proxy = serve(dripping)
    async with mode.using(mode.Client(BOUNDED, verify=tls.client(), proxy=proxy.origin, timeout=None)) as client:
        with ends_in_time():
            await mode.get(client, "https://127.0.0.1:9/")
        await mode.until(proxy, lambda: proxy.open == 0)


@pytest.mark.parametrize(("through", "own_timeout"), [(None, 5.0), (None, None), ("http", 5.0), ("socks5", None)])
async def test_deadline_holds_while_connecting(mode: Mode, through: str | None, own_timeout: float | None) -> None:
    """Connecting to a host, or to a proxy, that does not answer ends at the call's deadline."""
    with stalled_listener() as port:
        url = f"http://127.0.0.1:{port}/"
        proxy = f"{through}://127.0.0.1:{port}" if through else None
        async with mode.using(mode.Client(BOUNDED, proxy=proxy, timeout=own_timeout)) as client:
            with ends_in_time():
                await mode.get(client, url)


@pytest.mark.parametrize("own", ["httpx's timeouts", "none"])
async def test_deadline_holds_for_a_request_without_timeouts(mode: Mode, own: str) -> None:
    """A request handed to the transport itself, which carries no timeouts of httpx's, keeps to the deadline too."""
    with stalled_listener() as port:
        extensions = {"timeout": {}} if own == "httpx's timeouts" else {}
        request = httpx.Request("GET", f"http://127.0.0.1:{port}/", extensions=extensions)
        async with mode.using(mode.Transport(BOUNDED)) as transport:
            handle = transport.handle_async_request if mode.is_async else transport.handle_request
            with ends_in_time():
                await settle(handle(request))


async def test_deadline_of_a_body_read_within_the_attempt(mode: Mode, serve: Serve) -> None:
    """A body that ReadBody reads is bounded by the call's deadline like any other."""
    server = serve(answers(drip_body))
    async with mode.using(mode.Client(Stack(Timeout(LIMIT), ReadBody(10_000)))) as client:
        with ends_in_time():
            await mode.get(client, server.url())
        await mode.until(server, lambda: server.open == 0)


@pytest.mark.parametrize("ahead", [(), (ReadBody(10, chunked=True),)], ids=["streamed", "too long to be read ahead"])
async def test_deadline_need_not_cover_the_body(mode: Mode, serve: Serve, ahead: tuple[ReadBody, ...]) -> None:
    """`Timeout(body=False)` ends with the response headers: the body may take longer, once the caller has it."""

    def script(connection: Connection) -> None:
        connection.send(chunked(b"x" * 20, end=False))
        connection.server.pause(LIMIT * 1.5)
        connection.send(b"2\r\nyy\r\n0\r\n\r\n")

    server = serve(answers(script))
    async with mode.using(mode.Client(Stack(Timeout(LIMIT, body=False), *ahead))) as client:
        answer = await mode.get(client, server.url())
    assert answer.content == b"x" * 20 + b"yy"
    assert answer.elapsed.total_seconds() > LIMIT


async def test_no_deadline_at_all(mode: Mode, serve: Serve) -> None:
    """Without a Timeout and without timeouts of httpx's a request simply takes as long as it takes."""
    server = serve(answers(lambda c: c.server.pause(0.05) or c.send(OK)))
    async with mode.using(mode.Client(Stack(Retry()), timeout=None)) as client:
        assert (await mode.get(client, server.url())).content == b"ok"
        assert (await mode.get(client, server.url())).content == b"ok"
    assert len(server.connections) == 1


async def test_attempt_timeout_is_real_and_retried(mode: Mode, serve: Serve) -> None:
    """An attempt whose headers drip is cut off at its own timeout, and the next one goes out on a new connection."""
    server = serve(answers(drip_headers))
    patient = Stack(Timeout(20), Retry(wait=tenacity.wait_none()), Timeout(LIMIT))
    began = time.monotonic()
    async with mode.using(mode.Client(patient)) as client:
        answer = await mode.get(client, server.url())
    assert time.monotonic() - began < MUCH_TOO_LONG
    first, second = seawall.report(answer).attempts
    assert isinstance(first.error, TimedOut)
    assert first.error.scope == "attempt"
    assert second.status == 200
    assert len(server.connections) == 2


async def test_attempt_timeout_does_not_bound_the_body(mode: Mode, serve: Serve) -> None:
    """An attempt's Timeout ends at the response headers; the body may drip for longer."""
    head, _, body = response(b"x" * 20).partition(b"\r\n\r\n")

    def script(connection: Connection) -> None:
        connection.send(head + b"\r\n\r\n")
        connection.drip(body, LIMIT / 10)

    server = serve(answers(script))
    async with mode.using(mode.Client(Stack(Timeout(20), Retry(), Timeout(LIMIT)))) as client:
        answer = await mode.get(client, server.url())
    assert answer.content == b"x" * 20
    assert len(server.heard) == 1


@pytest.mark.parametrize("where", ["headers", "body"])
async def test_httpx_timeout_that_we_clipped_is_ours(mode: Mode, serve: Serve, where: str) -> None:
    """httpx's read timeout of 5 s that fires at our own only because we clipped it is reported as TimedOut."""
    head = response(b"", length=10)
    server = serve(answers(hold if where == "headers" else lambda c: c.send(head) or hold(c)))
    async with mode.using(mode.Client(BOUNDED, timeout=5.0)) as client:
        with ends_in_time():
            await mode.get(client, server.url())


@pytest.mark.parametrize("where", ["headers", "body"])
async def test_stricter_httpx_read_timeout_stays_its_own(mode: Mode, serve: Serve, where: str) -> None:
    """A read timeout of httpx's below ours is httpx's own ReadTimeout, not TimedOut."""
    head = response(b"", length=10)
    server = serve(answers(hold if where == "headers" else lambda c: c.send(head) or hold(c)))
    async with mode.using(mode.Client(Stack(Timeout(20)), timeout=0.1)) as client:
        with pytest.raises(httpx.ReadTimeout) as caught:
            await mode.get(client, server.url())
    assert not isinstance(caught.value, TimedOut)


async def test_stricter_httpx_connect_timeout_stays_its_own(mode: Mode) -> None:
    """A connect timeout of httpx's below ours is httpx's own ConnectTimeout, not TimedOut."""
    with stalled_listener() as port:
        timeouts = httpx.Timeout(20, connect=0.1)
        async with mode.using(mode.Client(Stack(Timeout(20)), timeout=timeouts)) as client:
            with pytest.raises(httpx.ConnectTimeout) as caught:
                await mode.get(client, f"http://127.0.0.1:{port}/")
    assert not isinstance(caught.value, TimedOut)


async def test_httpx_timeouts_hold_again_for_the_body(mode: Mode, serve: Serve) -> None:
    """Once the headers are there, a body that no deadline covers has httpx's own read timeout, not what we clipped."""
    head = response(b"xx").removesuffix(b"xx")

    def script(connection: Connection) -> None:
        connection.send(head)
        connection.server.pause(LIMIT * 2)
        connection.send(b"xx")

    server = serve(answers(script))
    async with mode.using(mode.Client(Stack(Timeout(LIMIT, body=False)), timeout=20)) as client:
        assert (await mode.get(client, server.url())).content == b"xx"


async def test_redirect_hops_share_one_deadline(mode: Mode, serve: Serve) -> None:
    """Hops that each take less than the timeout do not get it each: the call ends when it has run out once."""

    def redirect(connection: Connection) -> None:
        connection.server.pause(LIMIT * 0.6)
        connection.send(response(b"", status="302 Found", Location="/next"))

    server = serve(answers(*[redirect] * 10))
    async with mode.using(mode.Client(BOUNDED, follow_redirects=True)) as client:
        with ends_in_time():
            await mode.get(client, server.url())
    assert len(server.heard) <= 2


async def test_others_are_unaffected_by_a_deadline(mode: Mode, serve: Serve) -> None:
    """While one call is cut off, the others of the same client, on connections of the same server, go on."""
    slow = serve(answers(drip_headers))
    server = serve()
    finished = threading.Event()

    async def others() -> int:
        count = 0
        while not finished.is_set():
            answer = await mode.get(client, server.url(), extensions={"seawall": {"timeout": 20.0}})
            assert answer.content == b"ok"
            count += 1
        return count

    async with mode.using(mode.Client(BOUNDED)) as client:
        running = [mode.start(others()) for _ in range(3)]
        try:
            with ends_in_time():
                await mode.get(client, slow.url())
        finally:
            finished.set()
        assert min([await other.result() for other in running]) > 0
    assert len(server.connections) <= 3


def test_deadline_of_a_unix_socket(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The watchdog cuts a unix socket that drips like any other."""
    path = tmp_path_factory.mktemp("uds") / "s"
    serve(answers(drip_headers), uds=str(path))
    with SYNC.Client(BOUNDED, transport=SYNC.Pool(uds=str(path))) as client, ends_in_time():
        client.get("http://local/")
