"""Small raw-socket servers whose behaviour a test scripts.

    server = Server(lambda connection: connection.drip(OK, every=0.02))

A script is a function of one `Connection`; it runs in a thread of that connection's own. When it returns, the
connection is closed. Whatever it waits for ends when the server stops, so that no test waits for a server.
"""

import contextlib
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

PATIENCE = 10.0
"""Seconds after which something that must happen is taken not to."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One request, as the server got it."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    raw: bytes = field(repr=False)


class Connection:
    """The server's end of one connection."""

    def __init__(self, server: "Server", sock: socket.socket, number: int) -> None:
        self.server = server
        self.socket = sock
        self.number = number
        self.heard: list[Heard] = []
        self.over = False
        """Whether its script has ended, and so the connection."""
        self._ahead = b""

    def request(self) -> Heard | None:
        """The next request, or None if the client has hung up."""
        data = self._ahead
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(65_536)
            if not more:
                return None
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        chunked = headers.get("transfer-encoding") == "chunked"
        while len(rest) < length or (chunked and not rest.endswith(b"0\r\n\r\n")):
            more = self.socket.recv(65_536)
            if not more:
                return None
            rest += more
        if chunked:  # told as it came, with its framing
            length = len(rest)
        self._ahead = rest[length:]
        request = Heard(self.number, method, target, headers, rest[:length], head + b"\r\n\r\n" + rest[:length])
        self.heard.append(request)
        self.server.note(request)
        return request

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def drip(self, data: bytes, every: float) -> None:
        """One byte at a time."""
        for index in range(len(data)):
            self.socket.sendall(data[index : index + 1])
            self.server.pause(every)

    def hold(self) -> None:
        """Do nothing until the client hangs up or the server stops. What still comes in is read, and forgotten."""
        while self.socket.recv(65_536):
            pass

    def reset(self) -> None:
        """Break the connection: the client gets an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        plain = self.socket.detach()
        socket.socket(fileno=plain).close()

    def relay(self, other: socket.socket) -> None:
        """Pass bytes both ways until either side hangs up."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ, other)
            selector.register(other, selectors.EVENT_READ, self.socket)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                    if not data:
                        return
                    key.data.sendall(data)

    def __repr__(self) -> str:
        return f"<Connection {self.number} {'over' if self.over else 'open'} {len(self.heard)} requests>"


Script = Callable[[Connection], object]


class Server:
    """A server on loopback (or on a unix socket), in threads."""

    def __init__(
        self,
        script: Script,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        uds: str | None = None,
    ) -> None:
        self.script = script
        self.tls = tls
        self.host = host
        self.uds = uds
        self.heard: list[Heard] = []
        self.connections: list[Connection] = []
        self.failures: list[BaseException] = []
        self.peers: list[Any] = []
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._listen(port)

    def _listen(self, port: int) -> None:
        if self.uds is None:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            self._listener = socket.create_server((self.host, port), family=family, backlog=1024)
            self.port: int = self._listener.getsockname()[1]
        else:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(self.uds)
            self._listener.listen(64)
            self.port = 80
        self.stopping.clear()
        self._threads = [threading.Thread(target=self._accept, name="server")]
        self._threads[0].start()

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def url(self, path: str = "/") -> str:
        return self.origin + path

    @property
    def open(self) -> int:
        """Connections whose script has not ended."""
        return sum(not connection.over for connection in self.connections)

    def pause(self, seconds: float) -> None:
        """Sleep, unless the server stops."""
        if self.stopping.wait(seconds):
            raise ConnectionAbortedError("the server stops")

    def note(self, request: Heard) -> None:
        with self._changed:
            self.heard.append(request)
            self._changed.notify_all()

    def notice(self) -> None:
        """Have those who wait look again."""
        with self._changed:
            self._changed.notify_all()

    def forget(self) -> None:
        """Begin anew: nothing was heard yet, on no connection. Those that there were must be over."""
        with self._changed:
            assert not self.open, self
            self.heard.clear()
            self.connections.clear()
            self.peers.clear()
            self.failures.clear()
            del self._threads[1:]

    def wait_for(self, what: Callable[[], object]) -> None:
        """Block until something about this server holds."""
        with self._changed:
            assert self._changed.wait_for(what, PATIENCE), f"did not come about: {self!r}"

    def stop(self, *, reset: bool = False) -> None:
        """Hang up on everyone and wait for every thread. `reset`: as a process that is killed with data unread."""
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE)
        self._listener.close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                if reset:
                    linger = struct.pack("ii", 1, 0)
                    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                socket.socket.shutdown(connection.socket, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"a script of {self!r} does not end"

    def restart(self) -> None:
        """Listen again, on the same port."""
        self._listen(self.port)

    def _accept(self) -> None:
        while True:
            try:
                sock, peer = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self.uds is None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self.peers.append(peer)
                connection = Connection(self, sock, len(self.connections) + 1)
                self.connections.append(connection)
                self._changed.notify_all()
            thread = threading.Thread(target=self._serve, args=(connection,), name="connection")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            if self.tls is not None:
                connection.socket.settimeout(PATIENCE)
                connection.socket = self.tls.wrap_socket(connection.socket, server_side=True)
                connection.socket.settimeout(None)
            self.script(connection)
        except (OSError, ValueError):  # the client went away: ssl.SSLError is an OSError too
            pass
        except BaseException as error:
            self.failures.append(error)
        finally:
            connection.socket.close()
            with self._changed:
                connection.over = True
                self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        if self.failures:
            raise self.failures[0]

    def __repr__(self) -> str:
        return f"<Server {self.port} heard={len(self.heard)} connections={len(self.connections)} open={self.open}>"


# -- what servers say


def response(body: bytes = b"ok", *, status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    """A response with a Content-Length: `response(b"abc", length=9)` promises more than it sends."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """A chunked response, without its end if so asked."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + (b"0\r\n\r\n" if end else b"")


OK = response()


def echo(connection: Connection) -> None:
    """Answer every request with `ok`, for as long as the client wants to."""
    while connection.request():
        connection.send(OK)


def answers(*scripted: bytes | Callable[[Connection], object]) -> Script:
    """Answer requests one after the other, across all connections; then `ok` for ever.

    An answer is bytes to send (then the connection is closed if they ask for it), or a function of the connection. If
    that returns a true value, the connection is over.
    """
    remaining, lock = list(scripted), threading.Lock()

    def script(connection: Connection) -> None:
        while connection.request():
            with lock:
                step = remaining.pop(0) if remaining else OK
            if isinstance(step, bytes):
                connection.send(step)
                if b"connection: close" in step.lower():
                    return
            elif step(connection):
                return

    return script


def hang_up(connection: Connection) -> bool:
    """Close without an answer."""
    return True


def reset(connection: Connection) -> bool:
    """Break the connection without an answer."""
    connection.reset()
    return True


def cut_after(data: bytes) -> Callable[[Connection], bool]:
    """Send, then close."""

    def step(connection: Connection) -> bool:
        connection.send(data)
        return True

    return step


def hold(connection: Connection) -> bool:
    """Never answer."""
    connection.hold()
    return True


@contextlib.contextmanager
def stalled_listener(host: str = "127.0.0.1", port: int = 0) -> Any:
    """A listening socket whose backlog is full: connecting to it never ends. Gives its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port), family=family, backlog=0))
        port = listener.getsockname()[1]
        while True:
            filler = stack.enter_context(socket.socket(family))
            filler.settimeout(0.1)
            try:
                filler.connect((host, port))
            except TimeoutError:
                break
        yield port
