"""Deadlines under asyncio: one timer of the loop serves those that come in order, whatever order they come in."""

import asyncio
import gc
import random
import weakref
from typing import Any

import pytest
import virtual_loop

from seawall._errors import Expired
from seawall.runtime import asyncio as runtime

NEAR = 1e-6
"""What the rounds of a virtual loop may add up to."""


async def until(deadline: float) -> float:
    """Wait for ever within a deadline. Returns when it struck."""
    loop = asyncio.get_running_loop()
    with pytest.raises(Expired):
        await runtime.ASYNCIO.within(loop.create_future(), deadline)
    return loop.time()


async def unwoken(deadline: float) -> float:
    """Wait in a line until a deadline. Returns when it struck."""
    assert not await runtime.ASYNCIO.waiter().wait(deadline)
    return asyncio.get_running_loop().time()


def taken_from(loop: asyncio.AbstractEventLoop) -> list[float]:
    """The delay of every timer that is taken from a loop from now on."""
    taken: list[float] = []
    call_later = loop.call_later
    loop.call_later = lambda delay, *args: taken.append(delay) or call_later(delay, *args)  # type: ignore[method-assign, assignment, misc, func-returns-value]
    return taken


def kept() -> int:
    """How many deadlines the lanes of this loop keep."""
    return sum(len(lane._waiting) for lane in runtime._lanes.lanes)


@pytest.mark.parametrize("wait", [until, unwoken])
@pytest.mark.parametrize(
    "deadlines",
    [
        pytest.param([1.0, 2.0, 3.0, 3.0, 3.5], id="in order"),
        pytest.param([10.0, 1.0, 5.0, 0.5, 20.0, 19.0], id="out of order"),
        pytest.param([0.0, -1.0, 2.0], id="passed already"),
        pytest.param([random.Random(7).uniform(0, 30) for _ in range(300)], id="any"),
    ],
)
def test_every_deadline_strikes_at_its_time(deadlines: list[float], wait: Any) -> None:
    """Neither order nor number of the deadlines of a loop moves any of them."""

    async def main() -> Any:
        return await asyncio.gather(*map(wait, deadlines))

    assert virtual_loop.run(main()) == [pytest.approx(max(at, 0.0), abs=NEAR) for at in deadlines]


def test_a_deadline_after_all_others_are_over_is_kept() -> None:
    """The timer that still runs for a wait that is over long since does not hold up an earlier deadline, or a later."""

    async def main() -> Any:
        for seconds in (60.0, 1.0, 90.0):
            now = asyncio.get_running_loop().time()
            assert await runtime.ASYNCIO.within(asyncio.sleep(0.1, "slept"), now + seconds) == "slept"
            assert await until(now + seconds / 10) == pytest.approx(now + seconds / 10, abs=NEAR)

    virtual_loop.run(main())


def test_a_wait_that_is_over_in_time_is_left_alone() -> None:
    """The task of an ended wait is not cancelled when its deadline comes, not even in its next wait."""

    async def main() -> Any:
        assert await runtime.ASYNCIO.within(asyncio.sleep(1, "first"), 2.0) == "first"
        assert await runtime.ASYNCIO.within(asyncio.sleep(5, "second"), 20.0) == "second"
        return asyncio.current_task().cancelling()  # type: ignore[union-attr]

    assert virtual_loop.run(main()) == 0


def test_a_burst_of_deadlines_takes_one_timer_of_the_loop() -> None:
    """Thousands of attempts with one Timeout set and cancel no timer each, and leave nothing behind."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        taken = taken_from(loop)
        ready = loop.create_future()
        waits = [asyncio.create_task(runtime.ASYNCIO.within(asyncio.shield(ready), 10.0 + i)) for i in range(1000)]
        await asyncio.sleep(0)
        ready.set_result(None)
        await asyncio.gather(*waits)
        before = len(taken)
        await asyncio.sleep(0)
        await runtime.ASYNCIO.within(asyncio.sleep(0), 5000.0)
        return before, kept()

    before, left = virtual_loop.run(main())
    assert before <= 2  # its timer, and the one of `sleep`
    assert left == 1, "those that are over leave with the next one"


def test_attempts_and_waits_in_lines_part_by_themselves() -> None:
    """Some have ten seconds and others thirty: in each kind they come in order, and there is one timer for either."""

    async def main() -> Any:
        loop, began = asyncio.get_running_loop(), runtime.ASYNCIO.now()
        taken = taken_from(loop)
        waiters = [runtime.ASYNCIO.waiter() for _ in range(200)]
        waits = []
        for number, waiter in enumerate(waiters):
            waits += [
                asyncio.create_task(waiter.wait(began + 30 + number / 100)),
                asyncio.create_task(until(began + 10 + number / 100)),
            ]
        await asyncio.sleep(9)
        before = len(taken)
        for waiter in waiters[:100]:
            waiter.wake()
        await asyncio.gather(*waits[1::2])
        return before, await asyncio.gather(*waits[::2]), loop.time() - began

    before, woken, took = virtual_loop.run(main())
    assert before == 3  # one for each kind, and that of `sleep`
    assert woken == [True] * 100 + [False] * 100
    assert took == pytest.approx(30 + 1.99, abs=NEAR)


def test_what_is_over_does_not_pile_up_behind_what_is_not() -> None:
    """One that takes its time keeps none of the thousands that come and go while it does."""

    async def main() -> Any:
        slow = asyncio.create_task(until(runtime.ASYNCIO.now() + 60))
        most = 0
        for _ in range(5 * runtime.ROOM):
            await runtime.ASYNCIO.within(asyncio.sleep(0), runtime.ASYNCIO.now() + 60)
            most = max(most, kept())
        await slow
        return most

    assert virtual_loop.run(main()) <= runtime.ROOM


@pytest.mark.parametrize("wait", ["attempt", "line"])
def test_a_loop_that_is_gone_is_not_kept(wait: str) -> None:
    """Not once another runs in its thread, nor by what waited in it, be it over behind something that was not."""

    async def main() -> Any:
        left = asyncio.ensure_future(runtime.ASYNCIO.waiter().wait(runtime.ASYNCIO.now() + 60))
        await asyncio.sleep(0)
        until = runtime.ASYNCIO.now() + 60
        if wait == "line":
            waiter = runtime.ASYNCIO.waiter()
            waiter.wake()
            await waiter.wait(until)
        else:
            await runtime.ASYNCIO.within(asyncio.sleep(0), until)
        left.cancel()
        return weakref.ref(asyncio.get_running_loop())

    gone = asyncio.run(main())
    asyncio.run(main())
    gc.collect()
    assert gone() is None


def test_two_loops_of_a_thread_keep_their_deadlines_apart() -> None:
    """A loop that another one took turns with still rings at its own deadlines."""

    async def short() -> str:
        return await runtime.ASYNCIO.within(asyncio.sleep(0.001, "slept"), runtime.ASYNCIO.now() + 60)

    async def expires() -> None:
        with pytest.raises(Expired):
            await runtime.ASYNCIO.within(asyncio.get_running_loop().create_future(), runtime.ASYNCIO.now() + 0.01)

    with asyncio.Runner() as one, asyncio.Runner() as two:
        for _ in range(2):
            assert one.run(short()) == two.run(short()) == "slept"
            one.run(expires())
            two.run(expires())
