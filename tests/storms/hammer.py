"""One State under eight threads and two event loops, with locks that let others in at the worst moments.

What is sent at the same time, how calls end, what is granted when and what is left is checked here, what the locks
guard in `locks`.
"""

import asyncio
import contextlib
import faulthandler
import gc
import random
import sys
import threading
import time
import warnings
import weakref
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import seawall
from seawall import Stack, State
from seawall._circuit import CircuitState
from seawall._rate import LeakyBucket, SlidingWindow
from seawall._slots import Slots
from seawall._throttle import ThrottleState
from seawall.httpx import AsyncClient, Client

from .locks import Lock

LOCKED = ("_slots", "_circuit", "_state", "policies.retry", "_throttle")
"""Modules whose states have locks."""
HOSTS = ("a", "b", "c", "d", "e")
THREADS, LOOPS, TASKS = 8, 2, 4
PATIENCE = 40.0
"""Seconds for all that a storm does, a hundred times what it takes: a call that has not ended by then never will."""


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of an answer; it counts as in flight until it is closed."""

    def __init__(self, over: Callable[[], None], coin: random.Random) -> None:
        self.over = over
        self.coin = coin
        self.breaks = coin.random() < 0.05

    def __iter__(self) -> Iterator[bytes]:
        yield b"one"
        time.sleep(0)
        if self.breaks:
            raise httpx.ReadError("broken")
        yield b"two"

    def __aiter__(self) -> AsyncIterator[bytes]:
        self.chunks = iter((b"one", b"two"))
        return self

    async def __anext__(self) -> bytes:
        chunk = next(self.chunks, None)
        if chunk is None:
            raise StopAsyncIteration
        if chunk == b"two":
            await asyncio.sleep(0)
            if self.breaks:
                raise httpx.ReadError("broken")
        return chunk

    def close(self) -> None:
        self.over()

    async def aclose(self) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            self.over()


class Server(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers at random, and counts how many it answers at once, for each host."""

    def __init__(self, hammer: "Hammer", coin: random.Random) -> None:
        self.hammer = hammer
        self.coin = coin

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        over = self.hammer.arrived(request.url.host)
        try:
            time.sleep(self.coin.choice((0, 0, 0.0002)))
            return self._answer(over)
        except BaseException:
            over()
            raise

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        over = self.hammer.arrived(request.url.host)
        try:
            await asyncio.sleep(self.coin.choice((0, 0, 0.0002)))
            return self._answer(over)
        except BaseException:
            over()
            raise

    def _answer(self, over: Callable[[], None]) -> httpx.Response:
        throw = 1.0 if self.hammer.calm else self.coin.random()
        if throw < 0.06:
            raise httpx.ConnectError("refused")
        if throw < 0.12:
            raise httpx.ReadError("reset")
        status = 503 if throw < 0.3 else 500 if throw < 0.33 else 429 if throw < 0.36 else 200
        body = Body(over, self.coin)
        body.breaks = body.breaks and not self.hammer.calm
        return httpx.Response(status, stream=body, extensions={"over": over})


class Hammer:
    """A storm: what it is made of, and what was seen to go wrong."""

    def __init__(self, seed: int, stack: Stack, limit: int, calls: int) -> None:
        self.seed = seed
        self.stack = stack
        self.limit = limit
        self.calls = calls
        self.calm = False
        self.broken: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.stamps: dict[int, list[tuple[float, float, Any]]] = defaultdict(list)
        self._coin = random.Random(f"{seed} locks")
        self._flying: Counter[str] = Counter()
        self._guard = threading.Lock()
        self._cells: dict[Any, Any] = {}
        self._everything: list[Any] = []
        self._engines: dict[int, Lock] = {}

    # -- what the storm is told

    def arrived(self, host: str) -> Callable[[], None]:
        """A request is in flight. Returns what ends that."""
        ended: list[bool] = []
        with self._guard:
            self._flying[host] += 1
            if self._flying[host] > self.limit:
                self.broken.append(f"{self._flying[host]} in flight to {host}")

        def over() -> None:
            with self._guard:
                if not ended:
                    ended.append(True)
                    self._flying[host] -= 1

        return over

    def nap(self) -> None:
        throw = self._coin.random()
        if throw < 0.3:
            time.sleep(0)
        elif throw < 0.33:
            time.sleep(throw / 1e4)

    def _made(self, place: Any, cell: Any) -> None:
        """A State handed out a cell: never two at once for one place."""
        known = self._cells.get(place)
        living = None if known is None else known()
        if living is not None and living is not cell:
            self.broken.append(f"two states for {cell.key}: {living.state!r} and {cell.state!r}")
        if living is not cell:
            self._cells[place] = weakref.ref(cell)
            self._everything.append(cell.state)
            lock = getattr(cell.state, "_lock", None)
            if isinstance(lock, Lock):
                lock.guard(cell.state)
                self._engines[id(getattr(cell.state, "engine", None))] = lock

    # -- the callers

    def thread(self, number: int, state: State) -> None:
        coin = random.Random(f"{self.seed} thread {number}")
        server = Server(self, coin)
        client = Client(self.stack, transport=server, state=state)
        for _ in range(self.calls):
            if coin.random() < 0.03:  # its chains go, what they know stays
                client.close()
                client = Client(self.stack, transport=server, state=state)
            with self._counted():
                self._one(client, coin)
        client.close()

    def _one(self, client: Client, coin: random.Random) -> None:
        request = client.build_request(**asked(coin))
        how = coin.random()
        response = client.send(request, stream=True)
        if how < 0.6:
            response.read()
        elif how < 0.97:
            next(response.iter_raw(), None)
        else:  # the caller lets go of it, which a collector will notice
            response.extensions["over"]()
            return
        response.close()

    def loop(self, number: int, state: State) -> None:
        asyncio.run(self._tasks(number, state))

    async def _tasks(self, number: int, state: State) -> None:
        coin = random.Random(f"{self.seed} loop {number}")
        client = AsyncClient(self.stack, transport=Server(self, coin), state=state)
        async with client, asyncio.TaskGroup() as group:
            for _ in range(TASKS):
                group.create_task(self._task(client, coin))

    async def _task(self, client: AsyncClient, coin: random.Random) -> None:
        for _ in range(self.calls):
            with self._counted():
                call = asyncio.create_task(self._one_async(client, coin))
                if coin.random() < 0.2:
                    for _ in range(coin.randrange(12)):
                        await asyncio.sleep(0)
                    call.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await call

    async def _one_async(self, client: AsyncClient, coin: random.Random) -> None:
        request = client.build_request(**asked(coin))
        how = coin.random()
        response = await client.send(request, stream=True)
        try:
            if how < 0.6:
                await response.aread()
        finally:
            await response.aclose()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        outcome = "response"
        try:
            yield
        except (httpx.TransportError, seawall.SeawallError) as error:
            outcome = type(error).__name__
        except BaseException as error:
            self.broken.append(f"a call ended with {error!r}")
            raise
        finally:
            with self._guard:
                self.outcomes[outcome] += 1

    # -- the storm

    def run(self) -> None:
        """All threads and loops at once; then, that nothing is left of them."""
        interval = sys.getswitchinterval()
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # for the responses that callers let go of
            self._patch(patch)
            sys.setswitchinterval(1e-5)
            try:
                state = State(max_keys=2)
                state._lock.guard(state)  # type: ignore[attr-defined]
                self._let_loose(state)
                self._nothing_left(state)
            finally:
                sys.setswitchinterval(interval)

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        lock = SimpleNamespace(Lock=lambda: Lock(self.nap, self.broken))
        for module in LOCKED:
            patch.setattr(f"seawall.{module}.threading", lock)
        for engine, method in ((SlidingWindow, "_stamp"), (LeakyBucket, "take")):
            patch.setattr(engine, method, self._stamping(getattr(engine, method)))
        plain = State.cell

        def cell(state: State, policy: Any, slot: Any, key: Any) -> Any:
            given = plain(state, policy, slot, key)
            self._made((slot, key), given)
            return given

        patch.setattr(State, "cell", cell)

    def _stamping(self, plain: Callable[[Any, float, float], None]) -> Callable[[Any, float, float], None]:
        def stamp(engine: Any, now: float, cost: float) -> None:
            self._engines[id(engine)].check("a rate")
            self.stamps[id(engine)].append((now, time.monotonic(), engine))
            plain(engine, now, cost)

        return stamp

    def _let_loose(self, state: State) -> None:
        work = [(self.thread, n) for n in range(THREADS)] + [(self.loop, n) for n in range(LOOPS)]
        threads = [threading.Thread(target=run, args=(n, state), daemon=True) for run, n in work]
        for thread in threads:
            thread.start()
        until = time.monotonic() + PATIENCE
        while any(thread.is_alive() for thread in threads) and time.monotonic() < until:
            for thread in threads:
                thread.join(0.02)
            gc.collect()  # where all that is left waits for what was let go of, nothing else would set off a collector
        if any(thread.is_alive() for thread in threads):
            faulthandler.dump_traceback()
            alive = sum(thread.is_alive() for thread in threads)
            raise AssertionError(f"{alive} threads hang: {[repr(known) for known in self._everything]}")

    def _nothing_left(self, state: State) -> None:
        gc.collect()  # what callers let go of
        self.calm = True
        with Client(self.stack, transport=Server(self, self._coin), state=state) as client:
            for host in HOSTS:
                for circuit in list(state.circuits()):
                    circuit.reset()
                assert client.get(f"http://{host}/").status_code == 200
        for known in self._everything:
            if isinstance(known, Slots):
                assert (known.in_use, known.waiting, len(known._orphans)) == (0, 0, 0), repr(known)
            if isinstance(known, CircuitState):
                assert not known.probes, repr(known)
                assert not known.generation.waiters, repr(known)
            if isinstance(known, ThrottleState):
                assert known._queue.waiting == 0, repr(known)
        assert not any(self._flying.values())
        assert not self.broken, "\n".join(self.broken[:20])


def asked(coin: random.Random) -> dict[str, Any]:
    """One request."""
    options: dict[str, Any] = {"priority": coin.choice((0, 0, 1)), "tenant": coin.choice(("x", "y"))}
    if coin.random() < 0.2:
        options["timeout"] = coin.choice((0.0005, 0.002, 0.01))
    method, host = coin.choice(("GET", "GET", "POST")), coin.choice(HOSTS)
    return {"method": method, "url": f"http://{host}/", "extensions": {"seawall": options}}
