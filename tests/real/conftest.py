"""Fixtures for tests on real sockets. After each test no socket may be left open."""

import gc
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

import pytest
import trustme

from .modes import MODES, Mode, run
from .servers import Script, Server, echo

Serve = Callable[..., Server]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutine tests: in a new loop, or, with `mode` sync, without any."""
    if not iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    run(pyfuncitem.obj(**arguments), arguments.get("mode"))
    return True


def open_sockets() -> set[str]:
    """The sockets of this process, by inode."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the directory's own descriptor
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.fixture(autouse=True)
def settled_heap() -> None:
    """What is there before a test, such as reports of others, need not be looked at by the collection after it."""
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_leaks(settled_heap: None) -> Iterator[None]:
    """No socket outlives its test: neither open, nor left to the collector, which would warn."""
    before = open_sockets()
    yield
    left = open_sockets() - before
    gc.collect()
    assert not left, f"sockets left open: {left}"


@pytest.fixture(scope="session")
def somebody(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The certificate of an authority that has nothing to do with us."""
    path = tmp_path_factory.mktemp("authorities") / "somebody.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, somebody: str) -> None:
    """No proxies from outside the tests, and one certificate authority: the usual hundreds take long to read."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL_CERT"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SSL_CERT_FILE", somebody)


@pytest.fixture(params=MODES, ids=repr)
def mode(request: pytest.FixtureRequest) -> Mode:
    """Sync, asyncio, uvloop and trio, one after the other."""
    chosen: Mode = request.param
    return chosen


@dataclass(frozen=True)
class Certificates:
    """A certificate authority of our own, a server that it vouches for, and clients that trust it."""

    authority: trustme.CA
    server: ssl.SSLContext

    def client(self) -> ssl.SSLContext:
        """A context that trusts the server; a new one each time."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="session")
def tls() -> Certificates:
    """Certificates for every name of this machine that tests use."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "::1", "localhost").configure_cert(server)
    return Certificates(authority, server)


@pytest.fixture
def serve(nothing_leaks: None) -> Iterator[Serve]:
    """Start servers; each is stopped when the test ends, and what its scripts raised fails the test."""
    with ExitStack() as stack:

        def start(script: Script = echo, **options: Any) -> Server:
            return stack.enter_context(Server(script, **options))

        yield start


@pytest.fixture
def has_ipv6() -> None:
    """Skip where there is no IPv6 loopback."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no IPv6 loopback")
