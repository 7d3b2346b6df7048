"""The web site that both kinds of client visit: one path for each thing that a server may do."""

import base64
import gzip
import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from real.servers import Connection, Heard, chunked, response

LINES = b"".join(b"line %d\n" % number for number in range(50))
PAUSE = 0.02
PARTS = [LINES[start : start + 77] for start in range(0, len(LINES), 77)]

Page = bytes | Callable[[Connection, Heard], object]
PAGES: dict[str, Page] = {}


def page(path: str) -> Callable[[Any], Any]:
    """A function of connection and request that answers a path; if it returns a true value, the connection is over."""

    def add(function: Any) -> Any:
        PAGES[path] = function
        return function

    return add


def site(connection: Connection) -> None:
    """Answer requests until the client hangs up."""
    while request := connection.request():
        path = urlsplit(request.target).path  # without the origin by which a proxy is asked
        answer = PAGES.get(path) or PAGES.get("/" + path[1:].partition("/")[0], mirror)
        if isinstance(answer, bytes):
            connection.send(answer)
            if b"connection: close" in answer.lower() or answer.startswith(b"HTTP/1.0"):
                return
        elif answer(connection, request):
            return


# -- ways to answer


def raw(head: str, body: bytes = b"") -> bytes:
    """A response as it stands, lines parted by newlines."""
    return head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body


def framed(*parts: bytes) -> bytes:
    """A chunked body."""
    return chunked(*parts).partition(b"\r\n\r\n")[2]


@page("/mirror")
def mirror(connection: Connection, request: Heard) -> None:
    """Tells what it was asked."""
    said = {"method": request.method, "target": request.target, "body": request.body.decode("latin-1")}
    head = request.method == "HEAD"
    body = json.dumps(said).encode()
    answer = response(body, Content_Type="application/json", Vary="a", X_Case="Kept")
    connection.send(answer[: -len(body)] if head else answer)


PAGES["/plain"] = response(b"plain", Content_Type="text/plain; charset=utf-8")
PAGES["/empty"] = response(b"")
PAGES["/204"] = raw("HTTP/1.1 204 No Content\nX-A: 1")
PAGES["/304"] = raw('HTTP/1.1 304 Not Modified\nETag: "x"\nContent-Length: 5')
PAGES["/1.0"] = raw("HTTP/1.0 200 Very Well\nContent-Type: text/plain", b"to the end")
PAGES["/close"] = response(b"bye", Connection="close")
PAGES["/until-close"] = raw("HTTP/1.1 200 OK\nConnection: close", b"to the end")
PAGES["/no-reason"] = raw("HTTP/1.1 200 \nContent-Length: 2", b"ok")
PAGES["/odd-reason"] = raw("HTTP/1.1 299 Caf\xe9 au lait\nContent-Length: 2", b"ok")
PAGES["/headers"] = raw(
    "HTTP/1.1 200 OK\nX-Twice: a\nx-twice: b\nX-Latin: caf\xe9\nX-Empty:\nLink: </a>; rel=next, </b>; rel=prev"
    "\nContent-Length: 2",
    b"ok",
)
PAGES["/json"] = response(b'{"a": [1, 2, {"b": null}]}', Content_Type="application/json")
PAGES["/latin"] = response("caf\xe9".encode("latin-1"), Content_Type="text/plain; charset=latin-1")
PAGES["/no-charset"] = response("caf\xe9".encode("latin-1"), Content_Type="text/plain")
PAGES["/odd-charset"] = response(b"ok", Content_Type="text/plain; charset=martian")
PAGES["/lines"] = chunked(*PARTS)
PAGES["/trailers"] = raw(
    "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-Sum", b"5;ext=1\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
)
PAGES["/early"] = raw("HTTP/1.1 103 Early Hints\nLink: </s.css>") + raw("HTTP/1.1 102 Processing") + response(b"late")
PAGES["/events"] = raw(
    "HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked",
    framed(b"data: one\n\n", b"id: 7\nevent: x\ndata: two\nda", b"ta: three\n\n"),
)
PAGES["/busy-events"] = response(b"data: no\n\n", status="503 Busy", Content_Type="text/event-stream")
PAGES["/404"] = response(b"not here", status="404 Not Found")
PAGES["/418"] = response(b"short and stout", status="418 I'm a teapot")
PAGES["/500"] = response(b"broken", status="500 Internal Server Error")
PAGES["/301-without-location"] = response(b"where?", status="301 Moved Permanently")
PAGES["/garbage"] = b"this is not HTTP\r\n\r\n"
PAGES["/bad-gzip"] = response(b"not gzip", Content_Encoding="gzip", Connection="close")
PAGES["/short"] = response(b"only this", length=100, Connection="close")
PAGES["/short-chunks"] = chunked(b"only", b"this", end=False).replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
PAGES["/nothing"] = lambda connection, request: True
PAGES["/reset"] = lambda connection, request: connection.reset() or True
PAGES["/hold"] = lambda connection, request: connection.hold() or True


@page("/encoded")
def encoded(connection: Connection, request: Heard) -> None:
    """`/encoded/gzip` and the like: LINES so encoded, in several chunks."""
    name = request.target.rpartition("/")[2]
    body = encode(name, LINES)
    parts = [body[start : start + 20] for start in range(0, len(body), 20)]
    connection.send(raw(f"HTTP/1.1 200 OK\nContent-Encoding: {name}\nTransfer-Encoding: chunked", framed(*parts)))


def encode(name: str, body: bytes) -> bytes:
    """A body as Content-Encoding says."""
    for each in name.split(","):
        if each == "gzip":
            body = gzip.compress(body, mtime=0)
        elif each == "deflate":
            body = zlib.compress(body)
        elif each == "br":
            import brotli

            body = brotli.compress(body)
        elif each == "zstd":
            import zstandard

            body = zstandard.compress(body)
    return body


@page("/slow-body")
def slow_body(connection: Connection, request: Heard) -> bool:
    """The headers and half of the body, then nothing."""
    connection.send(response(b"half", length=8))
    connection.hold()
    return True


@page("/pause")
def pause(connection: Connection, request: Heard) -> None:
    """An answer whose end comes some time after its headers."""
    connection.send(response(b"be", length=6))
    connection.server.pause(PAUSE)
    connection.send(b"hind")


@page("/continue")
def expects(connection: Connection, request: Heard) -> None:
    """Says that the body may come, which has come by then."""
    connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    mirror(connection, request)


@page("/upgrade")
def upgrade(connection: Connection, request: Heard) -> bool:
    """Another protocol: what is said comes back in capitals. Its first word comes along with the answer."""
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\nConnection: Upgrade\r\n\r\nHELLO")
    while said := connection.socket.recv(100):
        connection.send(said.upper())
    return True


@page("/endless-events")
def endless(connection: Connection, request: Heard) -> bool:
    """Two events, and then none, without an end."""
    head = "HTTP/1.1 200 OK\nContent-Type: text/event-stream; charset=utf-8\nTransfer-Encoding: chunked"
    connection.send(raw(head, framed(b"data: one\n\n", b"data: two\n\n").removesuffix(b"0\r\n\r\n")))
    connection.hold()
    return True


@page("/socket")
def socket(connection: Connection, request: Heard) -> bool:
    """A web socket that says everything twice; `close` is answered by closing it."""
    key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    head = f"HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: {accept}"
    wanted = request.headers.get("sec-websocket-protocol")
    connection.send(raw(head + (f"\nSec-WebSocket-Protocol: {wanted.split(',')[0]}" if wanted else "")))
    while frame := receive(connection):
        kind, said = frame
        if kind == CLOSE:
            connection.send(bytes((0x80 | CLOSE, len(said))) + said)
            return True
        if said == b"close":
            connection.send(bytes((0x80 | CLOSE, 5)) + struct.pack("!H", 1001) + b"bye")
            connection.hold()
            return True
        if kind == PING:
            connection.send(bytes((0x80 | PONG, len(said))) + said)
        else:
            connection.send((bytes((0x80 | kind, len(said))) + said) * 2)
    return True


CLOSE, PING, PONG = 8, 9, 10


def receive(connection: Connection) -> tuple[int, bytes] | None:
    """The kind and the content of the next frame of a client's, a short one."""

    def read(count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = connection.socket.recv(count - len(data))
            if not more:
                raise ConnectionAbortedError
            data += more
        return data

    first, length = read(2)
    mask = read(4)
    return first & 15, bytes(byte ^ mask[index % 4] for index, byte in enumerate(read(length & 127)))


# -- redirects, cookies, credentials


@page("/redirect")
def redirect(connection: Connection, request: Heard) -> None:
    """`/redirect/302/3`: three times, then to the mirror, a cookie each time."""
    _, _, status, count = urlsplit(request.target).path.split("/")
    target = f"/redirect/{status}/{int(count) - 1}" if int(count) > 1 else "/mirror?end#part"
    cookie = f"hop{count}=yes; Path=/"
    answer = response(b"elsewhere", status=f"{status} Elsewhere", Location=target, Set_Cookie=cookie)
    connection.send(answer.removesuffix(b"elsewhere") if request.method == "HEAD" else answer)


@page("/to")
def to(connection: Connection, request: Heard) -> None:
    """`/to?http://elsewhere/`: there."""
    connection.send(response(b"there", status="307 There", Location=request.target.partition("?")[2]))


PAGES["/loop"] = response(b"round", status="301 Round", Location="/loop")
PAGES["/bad-location"] = response(
    b"", status="302 Bad", Location="https://\u2603.example:port/".encode().decode("latin-1")
)
PAGES["/login"] = raw(
    "HTTP/1.1 200 OK\nSet-Cookie: session=abc; Path=/; HttpOnly\nSet-Cookie: narrow=1; Path=/mirror/narrow"
    "\nSet-Cookie: old=1; Max-Age=0\nSet-Cookie: safe=1; Secure; Path=/\nContent-Length: 2",
    b"in",
)


@page("/digest")
def digest(connection: Connection, request: Heard) -> None:
    """Asks for digest credentials."""
    given = request.headers.get("authorization", "")
    if given.startswith("Digest") and 'username="me"' in given:
        connection.send(response(b"welcome"))
    else:
        challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256, opaque="o"'
        connection.send(response(b"who?", status="401 Who", WWW_Authenticate=challenge))


@page("/token")
def token(connection: Connection, request: Heard) -> None:
    """Gives a token to whoever has none, in the body."""
    given = request.headers.get("authorization", "")
    status = "200 OK" if given.startswith("Token") else "401 Who"
    connection.send(response(b"welcome" if status == "200 OK" else b"t0ken", status=status))
