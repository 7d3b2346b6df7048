"""One scenario, every runtime: a test that takes `mode` is run with sync clients and with async ones on each loop.

It is written as a coroutine that awaits everything; with sync clients it never suspends, and is run without a loop.
"""

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from types import ModuleType
from typing import Any

import httpx
import trio
import uvloop

import seawall.httpx

from .servers import PATIENCE, Server


def run(scenario: Coroutine[Any, Any, Any], mode: "Mode | None") -> None:
    """Run a test to its end: in a new loop, or without any."""
    if mode is SYNC:
        step_through(scenario)
    elif mode is TRIO:
        trio.run(_alone_in_trio, scenario)
    else:
        (uvloop if mode is UVLOOP else asyncio).run(_alone(scenario))


def step_through(scenario: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends."""
    try:
        scenario.send(None)
    except StopIteration as done:
        return done.value
    scenario.close()
    raise AssertionError("a sync scenario suspended")


async def _alone(scenario: Coroutine[Any, Any, Any]) -> None:
    await scenario
    for _ in range(10):  # asyncio ends generators that were left half-way in tasks of its own, the inner ones later
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"


async def _alone_in_trio(scenario: Coroutine[Any, Any, Any]) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as _nurseries.here:
        await scenario
        for _ in range(5):  # trio ends generators that were left half-way in tasks of its own
            await trio.lowlevel.checkpoint()
        assert not _nurseries.here.child_tasks, f"tasks left behind: {_nurseries.here.child_tasks}"
    assert trio.lowlevel.current_statistics().tasks_living == before


class _Nurseries(threading.local):
    """Where a scenario of trio's starts its tasks, per thread."""

    here: trio.Nursery


_nurseries = _Nurseries()


async def settle(outcome: Any) -> Any:
    """What a call gives, from either kind of client."""
    return await outcome if inspect.isawaitable(outcome) else outcome


class Running:
    """A piece of a scenario that runs beside the rest: in a thread, or in a task of the loop that runs."""

    def __init__(self, scenario: Coroutine[Any, Any, Any], mode: "Mode") -> None:
        self._result: Any = None
        self._error: BaseException | None = None
        self._over = trio.Event()  # which any mode may set
        self._mode = mode
        self._task: Any = None
        if mode is SYNC:
            self._task = threading.Thread(target=step_through, args=(self._main(scenario),))
            self._task.start()
        elif mode is TRIO:
            _nurseries.here.start_soon(self._main, scenario)
        else:
            self._task = asyncio.create_task(self._main(scenario))

    async def _main(self, scenario: Coroutine[Any, Any, Any]) -> None:
        try:
            self._result = await scenario
        except BaseException as error:
            self._error = error
        self._over.set()

    @property
    def done(self) -> bool:
        return self._over.is_set()

    async def result(self) -> Any:
        """Wait for it, and have what it returned or raised."""
        if self._mode is SYNC:
            self._task.join(PATIENCE)
            assert not self._task.is_alive(), "it does not end"
        elif self._mode is TRIO:
            await self._over.wait()
        else:
            await self._task
        if self._error is not None:
            raise self._error
        return self._result


class Mode:
    """Sync or async: Seawall's classes, httpx's own, and how to speak to them."""

    def __init__(self, name: str, ours: ModuleType, theirs: ModuleType) -> None:
        prefix = "" if name == "sync" else "Async"
        self.name = name
        self.Client: Any = getattr(ours, f"{prefix}Client")
        self.Pool: Any = getattr(ours, f"{prefix}Pool")
        self.Transport: Any = getattr(ours, f"{prefix}Transport")
        self.Plain: Any = getattr(theirs, f"{prefix}Client")
        self.PlainTransport: Any = getattr(theirs, f"{prefix}HTTPTransport")

    @property
    def is_async(self) -> bool:
        return self.name != "sync"

    @asynccontextmanager
    async def using(self, client: Any) -> AsyncIterator[Any]:
        """`async with` for either kind of client, pool or transport."""
        if self.is_async:
            async with client:
                yield client
        else:
            with client:
                yield client

    async def get(self, client: Any, url: str, **options: Any) -> httpx.Response:
        return await settle(client.get(url, **options))  # type: ignore[no-any-return]

    async def open(self, client: Any, url: str, **options: Any) -> httpx.Response:
        """A response whose body has not been read."""
        return await settle(client.send(client.build_request("GET", url, **options), stream=True))  # type: ignore[no-any-return]

    async def read(self, response: httpx.Response) -> bytes:
        return await response.aread() if self.is_async else response.read()

    async def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        if self.is_async:
            async with aclosing(response.aiter_raw()) as chunks:
                async for chunk in chunks:
                    yield chunk
        else:
            for chunk in response.iter_raw():
                yield chunk

    async def close(self, thing: Any) -> None:
        """Close a response, client, pool or transport."""
        await settle(thing.aclose() if self.is_async else thing.close())

    def start(self, scenario: Coroutine[Any, Any, Any]) -> Running:
        """Run something beside: in a task, or a thread."""
        return Running(scenario, self)

    async def until(self, server: Server, what: Callable[[], object]) -> None:
        """Wait until something about a server holds."""
        if self is SYNC:
            server.wait_for(what)
        elif self is TRIO:
            await trio.to_thread.run_sync(server.wait_for, what)
        else:
            await asyncio.to_thread(server.wait_for, what)

    async def reach(self, what: Callable[[], object]) -> None:
        """Wait until something about this process holds, looking again and again, with time for others between."""
        give_up = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < give_up, "did not come about"
            if self is SYNC:
                time.sleep(0.001)
            else:
                await (trio if self is TRIO else asyncio).sleep(0.001)

    def __repr__(self) -> str:
        return self.name


SYNC = Mode("sync", seawall.httpx, httpx)
ASYNC = Mode("async", seawall.httpx, httpx)
UVLOOP = Mode("uvloop", seawall.httpx, httpx)
TRIO = Mode("trio", seawall.httpx, httpx)
MODES = (SYNC, ASYNC, UVLOOP, TRIO)
