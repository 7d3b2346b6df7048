"""Proxies on loopback, as scripts for `Server`."""

import base64
import contextlib
import socket
import struct
from urllib.parse import urlsplit

from .servers import Connection, Script

DENIED = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def connect(host: str, port: int) -> socket.socket:
    """A connection to the server that a client asked for."""
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def forward(auth: str | None = None) -> Script:
    """An HTTP proxy for `http://` URLs; `auth` is "user:password"."""

    def script(connection: Connection) -> None:
        request = connection.request()
        if request is None:
            return
        if not _authorized(request.headers, auth):
            connection.send(DENIED)
            return
        target = urlsplit(request.target)
        assert target.scheme == "http", "a forward proxy gets absolute URLs"
        with contextlib.closing(connect(target.hostname or "", target.port or 80)) as upstream:
            upstream.sendall(request.raw)
            connection.relay(upstream)

    return script


def tunnel(auth: str | None = None) -> Script:
    """A CONNECT proxy."""

    def script(connection: Connection) -> None:
        request = connection.request()
        if request is None:
            return
        assert request.method == "CONNECT", f"a tunnel was asked to {request.method}"
        if not _authorized(request.headers, auth):
            connection.send(DENIED)
            return
        host, _, port = request.target.rpartition(":")
        with contextlib.closing(connect(host.strip("[]"), int(port))) as upstream:
            connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            connection.relay(upstream)

    return script


def socks5(auth: str | None = None) -> Script:
    """A SOCKS5 proxy (RFC 1928, and 1929 for `auth`)."""

    def script(connection: Connection) -> None:
        def read(count: int) -> bytes:
            data = b""
            while len(data) < count:
                more = connection.socket.recv(count - len(data))
                if not more:
                    raise ConnectionAbortedError
                data += more
            return data

        _, methods = read(2)
        offered = read(methods)
        wanted = 0 if auth is None else 2
        connection.send(bytes((5, wanted if wanted in offered else 255)))
        if auth is not None:
            user = read(read(2)[1])
            password = read(read(1)[0])
            right = (user + b":" + password).decode() == auth
            connection.send(bytes((1, 0 if right else 1)))
            if not right:
                return
        _, _, _, kind = read(4)
        if kind == 1:
            host = socket.inet_ntop(socket.AF_INET, read(4))
        elif kind == 4:
            host = socket.inet_ntop(socket.AF_INET6, read(16))
        else:
            host = read(read(1)[0]).decode()
        (port,) = struct.unpack("!H", read(2))
        with contextlib.closing(connect(host, port)) as upstream:
            connection.send(bytes((5, 0, 0, 1)) + bytes(6))
            connection.relay(upstream)

    return script


def _authorized(headers: dict[str, str], auth: str | None) -> bool:
    return auth is None or headers.get("proxy-authorization") == "Basic " + base64.b64encode(auth.encode()).decode()
