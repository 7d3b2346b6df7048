"""Servers in threads of their own, for commands that run an event loop themselves."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from seawall.cli.flaky import FlakyServer, Weather

Serve = Callable[[Weather], FlakyServer]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxies, and no wishes about terminals, from the environment that the tests run in."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
            monkeypatch.delenv(name)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers whose clock counts the requests received: `Window(0, 2)` is the first two requests."""
    stops: list[Callable[[], None]] = []

    def start(weather: Weather) -> FlakyServer:
        server = FlakyServer(weather, clock=lambda: float(server.received.total()))
        loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

        async def run() -> None:
            async with server:
                ready.set()
                await done.wait()

        def main() -> None:
            try:
                loop.run_until_complete(run())
            finally:
                loop.close()

        thread = threading.Thread(target=main)
        thread.start()
        assert ready.wait(10)

        def stop() -> None:
            loop.call_soon_threadsafe(done.set)
            thread.join(10)

        stops.append(stop)
        return server

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def canned() -> Iterator[Callable[..., tuple[str, list[bytes]]]]:
    """Serve raw responses, one per connection and in order; gives the URL and the requests heard so far."""
    threads: list[threading.Thread] = []

    def start(*responses: bytes) -> tuple[str, list[bytes]]:
        heard: list[bytes] = []
        listening = socket.create_server(("127.0.0.1", 0))
        listening.settimeout(10)

        def answer() -> None:
            with listening:
                for response in responses:
                    connection, _ = listening.accept()
                    with connection:
                        heard.append(connection.recv(65_536))
                        connection.sendall(response)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/", heard

    yield start
    for thread in threads:
        thread.join(15)
