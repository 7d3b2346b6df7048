"""A small HTTP API on loopback that stands in for every host there is, so that documentation runs as printed.

`Internet` sends each connection that would leave the machine to it instead: names resolve to an address that does
not exist, and connecting to that address connects here, to the TLS side for the ports of HTTPS. Each name gets a
certificate of its own from a test authority, which clients trust through the variable SSL_CERT_FILE as always.
"""

import ipaddress
import json
import socket
import ssl
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import language_apis
import pytest
import trustme

NOWHERE = "198.18.0.1"  # of the range that RFC 2544 sets aside for benchmarks
TLS_PORTS = {443, 8443}
AGES = {"cached": "3600", "stale": "0"}
TOKEN = {"access_token": "granted", "token_type": "bearer", "expires_in": 3600}


def chat(dialect: language_apis.Dialect, asked: dict[str, Any]) -> tuple[bytes, str]:
    """An answer of a chat API, and its content type."""
    if asked.get("stream"):
        return b"".join(dialect.events(["Hello", " there", "!"])), "text/event-stream"
    return json.dumps(dialect.answer("Hello there!")).encode(), "application/json"


class Handler(BaseHTTPRequestHandler):
    """Answers anything with JSON about the request; keeps connections alive.

    Some paths are special: `/status/503` answers with that status, `/cached/...` may be stored for an hour, and
    `/stale/...` may be stored, but is stale at once; `/token` grants a token; and the paths of chat APIs answer, or
    stream, in their dialect.
    """

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together
    disable_nagle_algorithm = True
    timeout = 30

    def answer(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            content = self.chunks()
        else:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        status = 201 if self.command == "POST" else 200
        if path.startswith("/status/") and path[8:].isdecimal():
            status = int(path[8:])
        told = {
            "method": self.command,
            "host": self.headers.get("Host"),
            "path": path,
            "items": [{"id": number, "name": f"item {number}"} for number in range(1, 4)],
            "received": content.decode("utf-8", "replace"),
        }
        body, kind = b"" if status in (204, 304) else json.dumps(told).encode(), "application/json"
        if dialect := language_apis.PATHS.get(path):
            status, (body, kind) = 200, chat(language_apis.Dialect(dialect), json.loads(content))
        elif path == "/token":
            status, body = 200, json.dumps(TOKEN).encode()
        self.send_response(status, HTTPStatus(status).phrase if status in set(HTTPStatus) else "")
        self.send_header("Content-Type", kind)
        if age := AGES.get(path.split("/")[1]):
            self.send_header("Cache-Control", f"max-age={age}")
            self.send_header("ETag", '"1"')
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815 - their names

    def chunks(self) -> bytes:
        """A request body without a length."""
        content = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


class Server(ThreadingHTTPServer):
    """One side, with or without TLS; the handshake is the handler thread's, so that none holds up another."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self._context is not None:
            request = self._context.wrap_socket(request, server_side=True)
        with request:
            super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are none of our business."""


class LocalApi:
    """Both sides, running until `close()`."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.trust = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.trust))
        secure = self._context("localhost")
        secure.sni_callback = self._present
        self._servers = [Server(None), Server(secure)]
        self._threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in self._servers]
        for thread in self._threads:
            thread.start()
        self.plain, self.secure = (server.server_address[1] for server in self._servers)

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def _present(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:
        """Take the certificate of the name that the client asked for."""
        if name is not None:
            connection.context = self._context(name)

    def _context(self, name: str) -> ssl.SSLContext:
        if name not in self._contexts:
            self._contexts[name] = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._authority.issue_cert(name).configure_cert(context)
        return self._contexts[name]


def bring_home(api: LocalApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send every connection that would leave this machine to the local API."""
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if _is_local(name):
            return resolve(host, port, *args, **options)
        number = {"https": 443, "http": 80, None: 0}.get(port, port)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (NOWHERE, int(number)))]

    def redirected(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
            address = ("127.0.0.1", api.secure if address[1] in TLS_PORTS else api.plain)
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", redirected)
    monkeypatch.setenv("SSL_CERT_FILE", str(api.trust))
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    _bring_curl_home(api, monkeypatch)


def _bring_curl_home(api: LocalApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do the same, for https, to libcurl, which resolves names and connects by itself."""
    try:
        from curl_cffi import CurlOpt
        from httpx_curl_cffi.transport import BaseCurlTransport
    except ImportError:
        return
    params = BaseCurlTransport._create_session_params
    # every port is that of our TLS side, and every name there is ours
    home = {CurlOpt.PORT: api.secure, CurlOpt.RESOLVE: [f"*:{api.secure}:127.0.0.1"], CurlOpt.CAINFO: str(api.trust)}
    monkeypatch.setattr(
        BaseCurlTransport,
        "_create_session_params",
        staticmethod(lambda given: {**params(given), "curl_options": home | (given.get("curl_options") or {})}),
    )


def _is_local(host: str | None) -> bool:
    if host is None or host in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
