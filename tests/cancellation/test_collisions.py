"""Our own deadline cancels on asyncio: it takes that back, whatever comes of it and whoever else cancels."""

import asyncio
from typing import Any

import httpx
import pytest
import virtual_loop
from calls import URL, client, outcome

from seawall import ConcurrencyLimit, TimedOut, Timeout


class Stubborn(httpx.AsyncBaseTransport):
    """Does something else when it is interrupted: answers, or fails in its own way."""

    def __init__(self, instead: Any) -> None:
        self.instead = instead

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            if isinstance(self.instead, Exception):
                raise self.instead from None
            if self.instead is None:
                raise
        return httpx.Response(200)


@pytest.mark.parametrize(
    ("instead", "ends"), [(None, TimedOut), (200, httpx.Response), (httpx.ReadError("cut"), httpx.ReadError)]
)
def test_our_cancellation_is_taken_back_whatever_a_transport_makes_of_it(instead: Any, ends: type):
    """After a deadline the task counts no cancellation and no slot is held, also if the transport did not give in."""

    async def main() -> None:
        task: Any = asyncio.current_task()
        async with client(Stubborn(instead), Timeout(2), ConcurrencyLimit(1)) as c:
            assert isinstance(await outcome(c.get(URL)), ends)
            assert task.cancelling() == 0
            assert [entry["in_use"] for entry in c.state.snapshot()] == [0]
            async with asyncio.timeout(5):  # which a cancellation left over would break
                await asyncio.sleep(1)

    virtual_loop.run(main())


def test_a_caller_who_cancels_in_the_tick_of_our_deadline():
    """Around the moment of our deadline the caller's cancellation either wins or comes too late; never half of each."""
    ends = set()

    async def one(offset: float) -> Any:
        loop = asyncio.get_running_loop()
        async with client(Stubborn(None), Timeout(2), ConcurrencyLimit(1)) as c:

            async def fetch() -> Any:
                task: Any = asyncio.current_task()
                loop.call_at(loop.time() + 2 + offset, task.cancel)
                try:
                    result: Any = type(await outcome(c.get(URL)))
                except asyncio.CancelledError:
                    result = "cancelled"
                else:
                    with pytest.raises(asyncio.CancelledError):  # it is still to come
                        await asyncio.sleep(5)
                assert task.uncancel() == 0
                return result

            result = await asyncio.ensure_future(fetch())
            assert [entry["in_use"] for entry in c.state.snapshot()] == [0]
            return result

    async def main() -> None:
        for step in range(-20, 21):
            ends.add(await one(step * virtual_loop.TICK / 4))

    virtual_loop.run(main())
    assert len(ends) == 2
    assert "cancelled" in ends
    assert any(issubclass(end, TimedOut) for end in ends if end != "cancelled")
