"""Bursts: requests started together begin over several turns of the event loop."""

import asyncio
import threading

import httpx
import pytest

from seawall import Retry, Stack
from seawall.httpx import AsyncClient
from seawall.runtime._turns import BATCH

STACK = Stack(Retry())


class Counting(httpx.AsyncBaseTransport):
    """Counts the requests that reach it, and answers when told."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.go = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path)
        await self.go.wait()
        return httpx.Response(200)


async def one_turn() -> None:
    await asyncio.sleep(0)


async def reach(crowd: int, tasks: int) -> tuple[list[int], list[str]]:
    """How many requests had reached the transport after each turn of the loop."""
    transport = Counting()
    limits = httpx.Limits(max_connections=crowd)
    async with AsyncClient(STACK, transport=transport, limits=limits) as client:
        sending = [asyncio.create_task(client.get(f"http://a.example/{i}")) for i in range(tasks)]
        reached = []
        while len(transport.paths) < tasks:
            await one_turn()
            reached.append(len(transport.paths))
        transport.go.set()
        for response in await asyncio.gather(*sending):
            assert response.status_code == 200
    return reached, transport.paths


def test_a_burst_starts_in_batches_first_come_first_served() -> None:
    """No turn of the loop starts more than a batch, and none overtakes."""
    reached, paths = asyncio.run(reach(crowd=1000, tasks=5 * BATCH))
    steps = [after - before for before, after in zip([0, *reached], reached, strict=False)]
    assert max(steps) == BATCH
    assert paths == [f"/{i}" for i in range(5 * BATCH)]


def test_a_crowd_slows_the_burst_down_but_never_stops_it() -> None:
    """With twice as many requests under way as there are connections, one starts in a turn, answers or not."""
    reached, _ = asyncio.run(reach(crowd=4, tasks=3 * BATCH))
    steps = [after - before for before, after in zip([0, *reached], reached, strict=False)]
    assert max(steps[-BATCH:]) == 1
    assert reached[-1] == 3 * BATCH


def test_a_few_requests_wait_for_no_turn() -> None:
    """Up to a batch, every request of a turn starts in it."""
    reached, _ = asyncio.run(reach(crowd=1000, tasks=BATCH))
    assert reached[0] in (0, BATCH)  # the tasks themselves begin in the first turn or the second
    assert BATCH in reached[:2]


def test_a_waiting_start_that_is_cancelled_lets_the_next_one_go() -> None:
    """Cancelling a request that has not had its turn leaves no hole and holds up nobody."""

    async def main() -> None:
        transport = Counting()
        transport.go.set()
        async with AsyncClient(STACK, transport=transport) as client:
            sending = [asyncio.create_task(client.get(f"http://a.example/{i}")) for i in range(3 * BATCH)]
            await one_turn()
            for task in sending[BATCH : 2 * BATCH]:
                task.cancel()
            done = await asyncio.gather(*sending, return_exceptions=True)
        assert sum(isinstance(outcome, asyncio.CancelledError) for outcome in done) == BATCH
        assert sum(isinstance(outcome, httpx.Response) for outcome in done) == 2 * BATCH

    asyncio.run(main())


def test_each_loop_has_its_own_turns() -> None:
    """One client serves bursts in two event loops at once, and in one loop after another."""
    client = AsyncClient(STACK, transport=httpx.MockTransport(lambda request: httpx.Response(200)))
    failures: list[BaseException] = []

    async def burst() -> None:
        for response in await asyncio.gather(*(client.get("http://a.example/") for _ in range(4 * BATCH))):
            assert response.status_code == 200

    def in_a_loop() -> None:
        try:
            for _ in range(3):
                asyncio.run(burst())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=in_a_loop) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_failed_start_is_over() -> None:
    """A request that fails leaves the crowd as one that succeeds."""

    async def main() -> None:
        def refuse(request: httpx.Request) -> httpx.Response:
            raise httpx.UnsupportedProtocol("no")

        limits = httpx.Limits(max_connections=1)
        async with AsyncClient(STACK, transport=httpx.MockTransport(refuse), limits=limits) as client:
            for _ in range(10):
                with pytest.raises(httpx.UnsupportedProtocol):
                    await client.get("http://a.example/")
            assert client._burst.turns.under_way == 0

    asyncio.run(main())
