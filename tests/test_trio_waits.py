"""Under trio a piece of a body is waited for with a scope around each wait, inside whatever scopes it opened itself."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from seawall._errors import Expired
from seawall.runtime.trio import TrioRuntime

RUNTIME = TrioRuntime()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """A clock that jumps whenever everybody waits; the runtime reads it too."""
    made = MockClock(autojump_threshold=0)
    monkeypatch.setattr("seawall.runtime.trio.time.monotonic", made.current_time)
    return made


async def stepped(piece: Callable[[], Awaitable[Any]], seconds: float) -> Any:
    """As a body does: one step by hand, and the rest within a deadline."""
    steps: Any = piece()
    try:
        suspended = steps.send(None)
    except StopIteration as done:
        return done.value
    return await RUNTIME.rest(steps, suspended, trio.current_time() + seconds)


def test_a_wait_within_scopes_of_its_own_is_cut_short(clock: MockClock) -> None:
    """The deadline ends a wait inside scopes that were opened in the first step, and all of them are left in order."""
    left: list[str] = []

    async def piece() -> None:
        try:
            with trio.move_on_after(60), trio.CancelScope():
                await trio.sleep(30)
        finally:
            left.append("inner")

    async def main() -> float:
        with pytest.raises(Expired) as caught:
            await stepped(piece, 2)
        assert caught.value.__context__ is None
        await trio.sleep(1)  # nothing is cancelled any more
        return trio.current_time()

    assert trio.run(main, clock=clock) == pytest.approx(3)
    assert left == ["inner"]


def test_its_own_timeouts_are_its_own(clock: MockClock) -> None:
    """A scope of the piece that ends earlier is left as ever, and what comes after it is still bounded."""

    async def piece() -> str:
        with trio.move_on_after(1):
            await trio.sleep_forever()
        await trio.sleep(1)
        return "came"

    async def late() -> str:
        await piece()
        return await piece()

    async def main() -> None:
        assert await stepped(piece, 3) == "came"
        with pytest.raises(Expired):
            await stepped(late, 2.5)
        assert trio.current_time() == pytest.approx(4.5)

    trio.run(main, clock=clock)


def test_a_piece_that_swallows_its_end_is_ended_again(clock: MockClock) -> None:
    """Whoever goes on waiting after the deadline, having taken it for a timeout of its own, is ended soon after."""

    async def piece() -> None:
        with trio.move_on_after(2):
            await trio.sleep_forever()
        await trio.sleep_forever()

    async def main() -> float:
        with pytest.raises(Expired):
            await stepped(piece, 2)
        return trio.current_time()

    assert trio.run(main, clock=clock) == pytest.approx(4)


def test_the_callers_cancellation_goes_through(clock: MockClock) -> None:
    """Who is cancelled from outside sees that and no Expired, be it before the deadline or in the same moment."""

    async def main() -> None:
        for seconds in (1.0, 2.0):
            with trio.move_on_after(seconds) as outer:
                await stepped(trio.sleep_forever, 2)
            assert outer.cancelled_caught

    trio.run(main, clock=clock)


def test_what_is_cut_short_may_end_in_peace(clock: MockClock) -> None:
    """After the deadline shielded work of the piece has 2 s to end, and an answer that it still gives counts."""
    ended: list[float] = []

    async def closing() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1.5)
            ended.append(trio.current_time())

    async def stubborn() -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "all the same"

    async def main() -> None:
        with pytest.raises(Expired):
            await stepped(closing, 2)
        assert await stepped(stubborn, 2) == "all the same"

    trio.run(main, clock=clock)
    assert ended == [pytest.approx(3.5)]


def test_what_is_here_needs_no_scope(clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece that does not wait costs no scope, which is most of what a deadline costs under trio."""

    async def piece() -> str:
        return "here"

    async def main() -> str:
        monkeypatch.setattr("seawall.runtime.trio.scope", None)
        return await stepped(piece, 2)

    assert trio.run(main, clock=clock) == "here"
