"""The least HTTP/1.1 server that keeps connections alive, in a process of its own.

It does not read what it is asked: whatever ends in an empty line gets the same answer. So it takes little
of the machine, and what a burst measures is the client.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext

from benchmarks.noop import BODY

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)
BACKLOG = 4096  # a whole burst may connect before the first accept


class Answering(asyncio.Protocol):
    def __init__(self) -> None:
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._unread = (self._unread + data).split(b"\r\n\r\n")
        self._transport.write(ANSWER * len(requests))


@contextlib.contextmanager
def running(context: SpawnContext) -> Iterator[str]:
    """Serve on a free port of loopback until the block ends; gives the URL."""
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,), daemon=True)
    process.start()
    there.close()
    try:
        yield f"http://127.0.0.1:{here.recv()}/items"
    finally:
        process.terminate()
        process.join()


def serve(announce: Connection) -> None:
    asyncio.run(_serve(announce))


async def _serve(announce: Connection) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    server = await asyncio.get_running_loop().create_server(Answering, sock=listener, backlog=BACKLOG)
    announce.send(listener.getsockname()[1])
    await server.serve_forever()
