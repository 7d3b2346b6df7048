"""Environment proxies are mounted as httpx mounts them, though httpx itself does so only without `transport=`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from seawall import Stack, Timeout

from . import proxies
from .conftest import Certificates, Serve
from .modes import ASYNC, SYNC, Mode

POLICIES = Stack(Timeout(20))

PROXIES = {
    "none": {},
    "http": {"HTTP_PROXY": "http://127.0.0.1:1"},
    "https": {"HTTPS_PROXY": "http://127.0.0.1:2"},
    "all": {"ALL_PROXY": "http://127.0.0.1:3"},
    "every": {
        "HTTP_PROXY": "http://127.0.0.1:1",
        "HTTPS_PROXY": "http://127.0.0.1:2",
        "ALL_PROXY": "socks5://127.0.0.1:3",
    },
    "lower case": {"http_proxy": "http://127.0.0.1:1", "all_proxy": "http://127.0.0.1:3"},
    "without a scheme": {"HTTP_PROXY": "127.0.0.1:1", "HTTPS_PROXY": "localhost:2"},
    "with auth": {"ALL_PROXY": "http://user:secret@127.0.0.1:3"},
    "over tls": {"HTTPS_PROXY": "https://127.0.0.1:2"},
    "empty": {"HTTP_PROXY": "", "ALL_PROXY": ""},
}

NO_PROXY = [
    None,
    "",
    "*",
    "example.com",
    ".example.com",
    "example.com,.example.org",
    "localhost",
    "LocalHost",
    "127.0.0.1",
    "192.168.0.0/16",
    "192.168.0.1/33",
    "::1",
    "fe80::/10",
    "[::1]",
    "http://example.com",
    "https://example.com:8443",
    "all://*example.com",
    " example.com , 127.0.0.1 ,",
    "example.com,*",
    "*.example.com",
    "example.com:8080",
    "10.0.0",
]

URLS = [
    f"{scheme}://{host}/"
    for scheme in ("http", "https")
    for host in (
        "example.com",
        "www.example.com",
        "notexample.com",
        "example.com:8080",
        "example.com:8443",
        "example.org",
        "a.example.org",
        "localhost",
        "127.0.0.1",
        "127.0.0.2",
        "192.168.0.0",
        "192.168.3.4",
        "[::1]",
        "[::2]",
        "[fe80::]",
        "10.0.0",
    )
]


def proxy_of(transport: Any) -> tuple[object, ...] | None:
    """The URL and the credentials of the proxy that a transport sends through."""
    if hasattr(transport, "inner"):
        transport = transport.inner.shards.build()
    options = vars(getattr(transport._pool, "pool", transport._pool))
    if "_proxy_url" not in options:
        return None
    url = options["_proxy_url"]
    return (url.scheme, url.host, url.port), options.get("_proxy_headers"), options.get("_proxy_auth")


def mounts(client: Any) -> list[tuple[str, object]]:
    """The patterns of a client in its own order, and the proxy of each."""
    return [(p.pattern, None if t is None else proxy_of(t)) for p, t in client._mounts.items()]


def routes(client: Any) -> dict[str, object]:
    """The proxy for each URL."""
    return {url: proxy_of(client._transport_for_url(httpx.URL(url))) for url in URLS}


def described(make: Callable[[], Any]) -> tuple[list[tuple[str, object]], dict[str, object]] | str:
    """What a client made of the environment, or the error it refused it with."""
    try:
        client = make()
    except (httpx.InvalidURL, ValueError) as error:
        return repr(error)
    return mounts(client), routes(client)


@pytest.mark.parametrize("proxies_set", list(PROXIES))
@pytest.mark.parametrize("no_proxy", NO_PROXY, ids=repr)
def test_environment_is_read_as_httpx_reads_it(
    monkeypatch: pytest.MonkeyPatch, shared_context: Any, proxies_set: str, no_proxy: str | None
) -> None:
    """Patterns, their order, proxies and credentials are those of a bare client, and so is the way of each URL."""
    for name, value in PROXIES[proxies_set].items():
        monkeypatch.setenv(name, value)
    if no_proxy is not None:
        monkeypatch.setenv("NO_PROXY", no_proxy)
    for mode in (SYNC, ASYNC):
        expected = described(partial(mode.Plain, verify=shared_context))
        assert described(partial(mode.Client, POLICIES, verify=shared_context)) == expected


@pytest.fixture(scope="module")
def shared_context() -> Any:
    """One context for all these clients: making it is slow."""
    return httpx.create_ssl_context()


@pytest.mark.parametrize(
    "options",
    [
        {"trust_env": False},
        {"proxy": "http://127.0.0.1:9"},
        {"proxy": httpx.Proxy("http://127.0.0.1:9", auth=("u", "p"))},
    ],
    ids=["no trust", "explicit", "explicit with auth"],
)
async def test_explicit_options_beat_the_environment(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, shared_context: Any, options: dict[str, Any]
) -> None:
    """`trust_env=False` and `proxy=` leave the environment out, as in a bare client."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "example.com")
    ours, plain = (each(verify=shared_context, **options) for each in (mode.Client, mode.Plain))
    assert mounts(ours) == mounts(plain)
    assert routes(ours) == routes(plain)
    await mode.close(ours)
    await mode.close(plain)


async def test_mounts_of_the_caller_beat_the_environment(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, shared_context: Any
) -> None:
    """`mounts=` is laid over the environment's, and `None` in it means the client's own transport."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:3")
    clients = [mode.Client(POLICIES, verify=shared_context), mode.Plain(verify=shared_context)]
    for client in clients:
        assert len(client._mounts) == 2
        await mode.close(client)
    given = {"http://": None, "https://example.com": mode.Pool(verify=shared_context, proxy="http://127.0.0.1:7")}
    client = mode.Client(POLICIES, verify=shared_context, mounts=given)
    assert [pattern for pattern, _ in mounts(client)] == ["https://example.com", "http://", "all://"]
    found = routes(client)
    assert found["http://example.com/"] is None
    assert found["https://example.com/"] == ((b"http", b"127.0.0.1", 7), [], None)
    assert found["https://example.org/"] == ((b"http", b"127.0.0.1", 3), [], None)
    await mode.close(client)


async def test_environment_proxy_carries_real_requests(
    mode: Mode, serve: Serve, tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests go through the proxies of the environment, credentials included, and directly where NO_PROXY says so."""
    plain, secure, direct = serve(), serve(tls=tls.server), serve(host="127.0.0.2")
    forward, tunnel = serve(proxies.forward("me:secret")), serve(proxies.tunnel("me:secret"))
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{forward.port}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{tunnel.port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.2")
    async with mode.using(mode.Client(POLICIES, verify=tls.client())) as client:
        for server in (plain, secure, direct):
            assert (await mode.get(client, server.url("/page"))).content == b"ok"
    assert [heard.target for heard in forward.heard] == [plain.url("/page")]
    assert [heard.target for heard in tunnel.heard] == [f"127.0.0.1:{secure.port}"]
    assert [len(server.heard) for server in (plain, secure, direct)] == [1, 1, 1]
