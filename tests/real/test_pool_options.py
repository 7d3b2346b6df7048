"""What httpx's own transports take, the pool takes: TLS, proxies, unix sockets, addresses, retries, socket options."""

import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

import seawall.httpx
from seawall import Stack, Timeout

from . import proxies
from .conftest import Certificates, Serve
from .modes import TRIO, Mode, settle
from .servers import Server

POLICIES = Stack(Timeout(20))
DOORS = ["pool", "client"]


def made(mode: Mode, door: str, **options: Any) -> Any:
    """A bare client over a Pool with these options, or a protected client that was given them itself."""
    if door == "pool":
        return mode.Plain(transport=mode.Pool(**options))
    return mode.Client(POLICIES, **options)


async def opened(mode: Mode, client: Any, url: str, count: int) -> None:
    """Use `count` connections at once, and after them one again."""
    for answer in [await mode.open(client, url) for _ in range(count)]:
        assert await mode.read(answer) == b"ok"
    assert (await mode.get(client, url)).content == b"ok"


# -- TLS


@pytest.mark.parametrize("door", DOORS)
async def test_context_given_as_verify_is_used(mode: Mode, serve: Serve, tls: Certificates, door: str) -> None:
    """`verify=` an SSLContext decides whom to trust, on every connection."""
    server = serve(tls=tls.server)
    async with mode.using(made(mode, door, verify=tls.client())) as client:
        await opened(mode, client, server.url(), 3)
    assert len(server.connections) == 3


@pytest.mark.parametrize("door", DOORS)
async def test_unknown_certificates_are_refused_unless_told_otherwise(
    mode: Mode, serve: Serve, tls: Certificates, door: str
) -> None:
    """By default a server of an unknown authority is refused; `verify=False` takes it."""
    server = serve(tls=tls.server)
    async with mode.using(made(mode, door)) as client:
        # under trio httpcore does not say why
        with pytest.raises(httpx.ConnectError, match=None if mode is TRIO else "CERTIFICATE_VERIFY_FAILED"):
            await mode.get(client, server.url())
    async with mode.using(made(mode, door, verify=False)) as client:
        await opened(mode, client, server.url(), 2)


@pytest.mark.parametrize("trust_env", [True, False])
@pytest.mark.parametrize("door", DOORS)
async def test_certificates_of_the_environment(
    mode: Mode,
    serve: Serve,
    tls: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    door: str,
    trust_env: bool,
) -> None:
    """SSL_CERT_FILE is read as httpx reads it: only with `trust_env`."""
    tls.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    server = serve(tls=tls.server)
    async with mode.using(made(mode, door, trust_env=trust_env)) as client:
        if trust_env:
            await opened(mode, client, server.url(), 2)
        else:
            with pytest.raises(httpx.ConnectError):
                await mode.get(client, server.url())


@pytest.mark.parametrize("door", DOORS)
async def test_client_certificates(mode: Mode, serve: Serve, tls: Certificates, tmp_path: Path, door: str) -> None:
    """A server that asks for a certificate gets the one of `cert=`, or of the context; without one it refuses."""
    demanding = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.authority.issue_cert("127.0.0.1").configure_cert(demanding)
    demanding.verify_mode = ssl.CERT_REQUIRED
    tls.authority.configure_trust(demanding)
    server = serve(tls=demanding)
    mine = tls.authority.issue_cert("me@example.org")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "me.pem")

    async with mode.using(made(mode, door, verify=tls.client())) as client:
        with pytest.raises((httpx.TransportError, ssl.SSLError)):  # httpcore lets a late alert through as it is
            await mode.get(client, server.url())
    context = tls.client()
    mine.configure_cert(context)
    async with mode.using(made(mode, door, verify=context)) as client:
        await opened(mode, client, server.url(), 2)
    with pytest.warns(DeprecationWarning, match="cert="):  # httpx's own word on the older way
        client = made(mode, door, verify=tls.client(), cert=str(tmp_path / "me.pem"))
    async with mode.using(client):
        await opened(mode, client, server.url(), 2)


async def test_all_connections_share_one_context(
    mode: Mode, serve: Serve, tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making a context takes 20 ms and most of a megabyte: a client with proxies and many connections makes one."""
    count = 0
    create = ssl.create_default_context

    def counted(*args: Any, **options: Any) -> ssl.SSLContext:
        nonlocal count
        count += 1
        context = create(*args, **options)
        tls.authority.configure_trust(context)
        return context

    monkeypatch.setattr(ssl, "create_default_context", counted)
    monkeypatch.setenv("ALL_PROXY", serve(proxies.tunnel()).origin)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = serve(tls=tls.server)
    async with mode.using(mode.Client(POLICIES)) as client:
        await opened(mode, client, server.url(), 5)
        await opened(mode, client, server.url().replace("127.0.0.1", "localhost"), 2)
        pools = [transport.inner for transport in client._mounts.values() if transport] + [client._transport.inner]
        contexts = {pool.shards.build()._pool.pool._ssl_context for pool in pools for _ in range(3)}
    assert count == 1
    assert len(contexts) == 1


# -- proxies


def behind(serve: Serve, tls: Certificates, way: str, auth: str | None) -> tuple[Server, Server]:
    """A proxy, and a server behind it."""
    script = {"forward": proxies.forward, "tunnel": proxies.tunnel, "socks": proxies.socks5}[way.split()[0]]
    return serve(script(auth)), serve(tls=tls.server if "tls" in way or way == "tunnel" else None)


def address(proxy: Server, way: str, auth: str | None = None) -> str:
    scheme = "socks5" if way.startswith("socks") else "http"
    return f"{scheme}://{auth + '@' if auth else ''}127.0.0.1:{proxy.port}"


WAYS = ["forward", "tunnel", "socks", "socks tls"]


@pytest.mark.parametrize("auth", [None, "me:secret"], ids=["open", "auth"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("door", DOORS)
async def test_proxies(mode: Mode, serve: Serve, tls: Certificates, way: str, auth: str | None, door: str) -> None:
    """HTTP, CONNECT and SOCKS5 proxies carry requests, with credentials in their URL where they ask for some."""
    proxy, server = behind(serve, tls, way, auth)
    async with mode.using(made(mode, door, verify=tls.client(), proxy=address(proxy, way, auth))) as client:
        await opened(mode, client, server.url(), 3)
    assert len(proxy.connections) == len(server.connections) == 3


@pytest.mark.parametrize("way", WAYS)
async def test_proxy_that_refuses_credentials(mode: Mode, serve: Serve, tls: Certificates, way: str) -> None:
    """Wrong credentials are httpx's own ProxyError (or a 407 of a forwarding proxy), and cost no permit."""
    proxy, server = behind(serve, tls, way, "me:secret")
    pool = mode.Pool(1, verify=tls.client(), proxy=address(proxy, way, "me:wrong"))
    async with mode.using(mode.Client(POLICIES, transport=pool)) as client:
        for _ in range(3):
            if way == "forward":
                assert (await mode.get(client, server.url())).status_code == 407
            else:
                with pytest.raises(httpx.ProxyError):
                    await mode.get(client, server.url())
    assert pool.shards.slots.in_use == 0
    assert server.heard == []


@pytest.mark.parametrize("door", DOORS)
async def test_proxy_object_with_headers(mode: Mode, serve: Serve, door: str) -> None:
    """`httpx.Proxy` with auth and headers of its own means what it means to httpx."""
    proxy, server = serve(proxies.forward("me:secret")), serve()
    given = httpx.Proxy(proxy.origin, auth=("me", "secret"), headers={"X-Tenant": "acme"})
    async with mode.using(made(mode, door, proxy=given)) as client:
        await opened(mode, client, server.url(), 2)
    assert proxy.heard[0].headers["x-tenant"] == "acme"


async def test_proxy_over_tls(mode: Mode, serve: Serve, tls: Certificates) -> None:
    """A proxy that is itself reached over TLS works with the context of `httpx.Proxy`."""
    proxy, server = serve(proxies.forward(), tls=tls.server), serve()
    given = httpx.Proxy(proxy.origin, ssl_context=tls.client())
    async with mode.using(mode.Client(POLICIES, proxy=given)) as client:
        await opened(mode, client, server.url(), 2)
    assert len(proxy.connections) == 2


async def test_mounted_pools(mode: Mode, serve: Serve, tls: Certificates) -> None:
    """`mounts=` may hold pools of ours and transports of httpx's, each protected and each used for its pattern."""
    proxy, behind_proxy, direct = serve(proxies.forward()), serve(), serve(host="127.0.0.2")
    theirs = httpx.AsyncHTTPTransport() if mode.is_async else httpx.HTTPTransport()
    mounts = {"all://127.0.0.1": mode.Pool(proxy=proxy.origin), "all://127.0.0.2": theirs}
    async with mode.using(mode.Client(POLICIES, mounts=mounts)) as client:
        for server in (behind_proxy, direct):
            answer = await mode.get(client, server.url())
            assert len(seawall.report(answer).attempts) == 1
    assert (len(proxy.heard), len(behind_proxy.heard), len(direct.heard)) == (1, 1, 1)


# -- sockets


async def test_unix_socket(mode: Mode, serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`uds=` sends everything through a unix socket, whatever the host."""
    path = str(tmp_path_factory.mktemp("uds") / "s")
    server = serve(uds=path)
    for client in (mode.Plain(transport=mode.Pool(uds=path)), mode.Client(POLICIES, transport=mode.Pool(uds=path))):
        async with mode.using(client):
            await opened(mode, client, "http://anywhere.example/", 2)
    assert server.heard[0].headers["host"] == "anywhere.example"


async def test_local_address(mode: Mode, serve: Serve) -> None:
    """`local_address=` is where connections come from."""
    server = serve()
    async with mode.using(mode.Client(POLICIES, transport=mode.Pool(local_address="127.0.0.3"))) as client:
        await opened(mode, client, server.url(), 2)
    assert {host for host, _ in server.peers} == {"127.0.0.3"}


async def test_ipv6(mode: Mode, serve: Serve, has_ipv6: None) -> None:
    """An IPv6 host in brackets works like any other."""
    server = serve(host="::1")
    async with mode.using(mode.Client(POLICIES)) as client:
        await opened(mode, client, server.url(), 2)
        assert seawall.report(await mode.get(client, server.url())).key == server.origin


async def test_socket_options(mode: Mode, serve: Serve) -> None:
    """`socket_options=`, even of a one-shot iterator, are set on every connection."""
    server = serve()
    options = iter([(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)])
    async with mode.using(mode.Client(POLICIES, transport=mode.Pool(socket_options=options))) as client:
        for answer in [await mode.open(client, server.url()) for _ in range(2)]:
            sock = answer.extensions["network_stream"].get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
            await mode.read(answer)


@pytest.mark.parametrize("retries", [0, 1])
async def test_retries_of_the_transport(mode: Mode, serve: Serve, retries: int) -> None:
    """`retries=` is httpx's own: connecting again, within one attempt of ours. The caller's `trace` still hears all."""
    server = serve()
    server.stop()
    heard: list[str] = []

    def note(event: str, info: dict[str, Any]) -> None:
        heard.append(event)
        if event == "connection.connect_tcp.failed" and len(heard) == 2:
            server.restart()

    async def note_async(event: str, info: dict[str, Any]) -> None:
        note(event, info)

    extensions = {"trace": note_async if mode.is_async else note}
    async with mode.using(mode.Client(POLICIES, transport=mode.Pool(retries=retries))) as client:
        if retries:
            answer = await mode.get(client, server.url(), extensions=extensions)
            assert len(seawall.report(answer).attempts) == 1
        else:
            with pytest.raises(httpx.ConnectError):
                await mode.get(client, server.url(), extensions=extensions)
    assert heard.count("connection.connect_tcp.failed") == 1
    assert heard.count("connection.connect_tcp.complete") == retries
    assert heard.count("http11.receive_response_body.complete") == retries


async def test_sni_and_other_extensions_reach_the_transport(mode: Mode, serve: Serve, tls: Certificates) -> None:
    """httpx's own request extensions, such as `sni_hostname`, mean what they mean to a bare client."""
    server = serve(tls=tls.server)
    seen: list[str | None] = []
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.authority.issue_cert("localhost").configure_cert(strict)
    strict.sni_callback = lambda sock, name, context: seen.append(name)
    server.tls = strict
    async with mode.using(mode.Client(POLICIES, verify=tls.client())) as client:
        answer = await settle(client.get(server.url(), extensions={"sni_hostname": "localhost"}))
    assert answer.content == b"ok"
    assert seen == ["localhost"]
