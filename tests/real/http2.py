"""HTTP/2 servers, as scripts for `Server`: they count connections and streams, and answer when a test says so."""

import os
import selectors
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes, Settings

from .servers import Connection, Heard, Server


class Asked:
    """One request, as the server got it. It may be answered from any thread."""

    def __init__(self, peer: "Peer", stream: int, path: str) -> None:
        self.peer = peer
        self.stream = stream
        self.path = path
        self.begun = False

    def answer(self, body: bytes = b"ok", *, end: bool = True) -> None:
        """Send a body, or some of it; before the first of it headers."""

        def send(h2: H2Connection) -> None:
            if self.stream not in self.peer.open:  # it was reset
                return
            if not self.begun:
                self.begun = True
                h2.send_headers(self.stream, [(":status", "200")])
            h2.send_data(self.stream, body, end_stream=end)
            if end:
                self.peer.open.discard(self.stream)

        self.peer.do(send)

    def reset(self) -> None:
        """Refuse it, with RST_STREAM."""

        def send(h2: H2Connection) -> None:
            h2.reset_stream(self.stream, 2)
            self.peer.open.discard(self.stream)

        self.peer.do(send)

    def __repr__(self) -> str:
        return f"<Asked {self.path} on {self.peer.connection.number}/{self.stream}>"


Behaviour = Callable[[Asked], object]


class Http2:
    """A script: `streams` at once, or None for a server that does not say; each request is passed to `behave`."""

    def __init__(self, behave: Behaviour = Asked.answer, *, streams: int | None = 100) -> None:
        self.behave = behave
        self.streams = streams
        self.peers: list[Peer] = []
        self.asked: list[Asked] = []

    def __call__(self, connection: Connection) -> None:
        peer = Peer(self, connection)
        self.peers.append(peer)
        peer.serve()

    @property
    def most(self) -> int:
        """The most streams that any connection had open at once."""
        return max(peer.most for peer in self.peers)

    @property
    def open(self) -> int:
        """Streams that have not been answered."""
        return sum(len(peer.open) for peer in self.peers)

    def found(self, path: str) -> list[Asked]:
        """The requests for a path."""
        return [asked for asked in self.asked if asked.path == path]

    def answer_all(self) -> None:
        """Whatever is open now, and whatever comes from now on."""
        self.behave = Asked.answer
        for asked in list(self.asked):
            asked.answer()


def hold(asked: Asked) -> None:
    """Let it wait until the test answers."""


class Peer:
    """The server's end of one connection. Its own thread does all that touches it; others ask that to `do` things."""

    def __init__(self, script: Http2, connection: Connection) -> None:
        self.script = script
        self.connection = connection
        self.open: set[int] = set()
        self.most = 0
        self.cancelled: list[int] = []
        """Streams that the client reset."""
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._jobs: deque[Callable[[H2Connection], object]] = deque()
        self._bell_in, self._bell = os.pipe()
        self._lock = threading.Lock()
        self._over = False
        self._left = False

    def do(self, job: Callable[[H2Connection], object]) -> None:
        """Have something done to the connection; nothing once it is over."""
        with self._lock:
            if not self._over:
                self._jobs.append(job)
                os.write(self._bell, b"!")

    def go_away(self, last: int | None = None) -> None:
        """Send GOAWAY, and listen no more."""

        def leave(h2: H2Connection) -> None:
            h2.close_connection(last_stream_id=last)
            self._left = True

        self.do(leave)

    def allow(self, streams: int) -> None:
        """Change the limit."""
        self.do(lambda h2: h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: streams}))

    def hang_up(self) -> None:
        def shut(h2: H2Connection) -> None:
            raise ConnectionAbortedError

        self.do(shut)

    def serve(self) -> None:
        sock: Any = self.connection.socket
        if self.script.streams is None:
            del self.h2.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS]
        else:
            self.h2.local_settings = Settings(
                client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: self.script.streams}
            )
        try:
            self.h2.initiate_connection()
            sock.sendall(self.h2.data_to_send())
            with selectors.DefaultSelector() as selector:
                selector.register(sock, selectors.EVENT_READ)
                selector.register(self._bell_in, selectors.EVENT_READ)
                while self._turn(selector, sock):
                    pass
        finally:
            with self._lock:
                self._over = True
                os.close(self._bell)
                os.close(self._bell_in)
            self.open.clear()

    def _turn(self, selector: selectors.BaseSelector, sock: Any) -> bool:
        pending = getattr(sock, "pending", int)()
        ready = {key.fileobj for key, _ in selector.select(0 if pending else None)}
        if self._bell_in in ready:
            os.read(self._bell_in, 65_536)
            while self._jobs:
                self._jobs.popleft()(self.h2)
        if pending or sock in ready:
            data = sock.recv(65_536)
            if not data:
                return False
            for event in [] if self._left else self.h2.receive_data(data):
                self._hear(event)
        while self._jobs:
            self._jobs.popleft()(self.h2)
        data = self.h2.data_to_send()
        if data:
            sock.sendall(data)
        self.connection.server.notice()
        return True

    def _hear(self, event: Any) -> None:
        server: Server = self.connection.server
        if isinstance(event, RequestReceived):
            headers = dict(event.headers)
            asked = Asked(self, event.stream_id, headers[":path"])
            self.open.add(event.stream_id)
            self.most = max(self.most, len(self.open))
            self.script.asked.append(asked)
            server.note(Heard(self.connection.number, headers[":method"], asked.path, headers, b"", b""))
        elif isinstance(event, DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            asked = next(a for a in reversed(self.script.asked) if a.peer is self and a.stream == event.stream_id)
            self.script.behave(asked)
        elif isinstance(event, StreamReset):
            self.open.discard(event.stream_id)
            self.cancelled.append(event.stream_id)
