"""Edges of rates and their lines: rounding, the ends of a pause to the instant, wakes that reach nobody, messages."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from aiolimiter import AsyncLimiter
from calls import ORIGIN, URL, burst, client, outcome, starts
from drivers import known

import seawall
from seawall import Throttle, Timeout, WaitTooLong, _rate
from seawall._options import Options
from seawall._queue import Ticket
from seawall._rate import RECENT, LeakyBucket, Pace, SlidingWindow, StrictWindow, Unlimited
from seawall._throttle import LimiterState, ThrottleState, line_up
from seawall.testing import ScriptedServer, VirtualRuntime, reply

INF = float("inf")


def used(starts: int, distance: float) -> Pace:
    """A pace under which so many calls started, this far apart, the last at `distance * starts`."""
    pace = Pace()
    for index in range(1, starts + 1):
        pace.take(distance * index)
    return pace


# -- rates


def test_rounding_makes_no_call_wait_for_a_billionth_of_a_second() -> None:
    """What a bucket would hold back for less than that starts now."""
    bucket = LeakyBucket(3, 1.0, 1)
    assert bucket.try_take(0.0, 1)
    assert bucket.ready_at(0.25, 1) == pytest.approx(1 / 3)
    almost = 1 / 3 - 5e-10
    assert bucket.ready_at(almost, 1) == almost
    assert bucket.try_take(almost, 1)


def test_rounding_of_a_sum_of_costs_takes_no_further_period() -> None:
    """What lines up behind others for a billionth more than a window holds is told the time of the window itself."""
    window = SlidingWindow(4, 1.0)
    assert window.ready_at(7.0, 4 + 1e-10) == 7.0


def test_a_window_is_exact_from_the_start_of_its_clock() -> None:
    """On a clock that has just begun, too, each start counts for one period."""
    window = SlidingWindow(4, 1.0)
    assert window.try_take(0.0, 2)
    assert window.try_take(0.25, 2)
    assert window.try_take(1.0, 2)
    assert not window.try_take(1.24, 2)
    assert window.try_take(1.25, 2)


def test_starts_of_one_instant_share_a_stamp() -> None:
    """A crowd that starts at once costs no more memory than one call."""
    window = SlidingWindow(100, 1.0)
    for _ in range(100):
        assert window.try_take(5.0, 1)
    assert len(window._stamps) == 1
    assert window.tokens(6.0) == 100


def test_above_the_stamps_that_there_may_be_starts_share_grains_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grain is two of as many parts of the period as there may be stamps; what shares one counts until its last."""
    monkeypatch.setattr(_rate, "STAMPS", 4)
    window = SlidingWindow(8, 1.0)
    for at in (0.0, 0.25, 0.75):
        assert window.try_take(at, 1)
    assert [window.tokens(at) for at in (1.0, 1.25, 1.5, 1.75)] == [5, 7, 7, 8]


def test_a_window_that_was_full_of_stamps_is_exact_again_once_some_have_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what starts while there is no room for another stamp counts for longer than it must."""
    monkeypatch.setattr(_rate, "STAMPS", 4)
    window = SlidingWindow(4, 1.0)
    for at in (0.0, 0.125, 0.25, 0.375, 0.5):  # the last one shares the stamp before it
        assert window.try_take(at, 0.5)
    assert window.try_take(1.0, 0.5)
    assert window.tokens(1.25) == 2.5
    assert window.tokens(1.375) == 2.5
    assert window.tokens(1.5) == 3.5
    assert window.tokens(2.0) == 4


def test_a_restart_is_spaced_by_the_rate_before_the_pause() -> None:
    """Twice the mean distance of the last starts; a full second where there were too few to tell."""
    for before, distance, expected in (
        (RECENT, 0.25, 0.5), (RECENT + 16, 0.25, 0.5), (2 * RECENT, 0.25, 0.5), (RECENT, 4.0, 1.0), (0, 1.0, 1.0),
    ):  # fmt: skip
        pace = used(before, distance)
        now = distance * (before + 1)  # where the next one would have been
        pace.pause(now, 10)
        pace.take(now + 10)
        assert pace.ready_at(now + 10, waiting=True) - (now + 10) == pytest.approx(expected, rel=0.07)


def test_a_pause_at_the_very_end_of_another_slows_the_restart_down() -> None:
    """A restart begins at the instant at which its pause ends: one that is paused again there is halved."""
    pace = used(2 * RECENT, 0.01)
    pace.pause(1.0, 10)
    first = pace._spacing
    pace.pause(11.0, 10)
    assert pace._spacing == 2 * first


def test_the_first_call_after_a_pause_counts_as_its_restart() -> None:
    """One that starts as the pause ends and has nobody behind it when its spacing is over ends the restart."""
    pace = Pace()
    pace.pause(0.0, 10)
    pace.take(10.0)
    assert not pace.idle(12.0)  # to ask is not to end it: somebody may be on the way to the line
    assert pace.ready_at(12.0, waiting=False) == 12.0
    assert not pace.active
    assert pace.idle(12.0)


def test_a_restart_is_over_once_a_start_was_far_enough_from_the_last_one() -> None:
    """To the instant: half a second after the last start, where the spacing has come down to half a second."""
    pace = Pace()
    pace.pause(0.0, 10)
    pace.take(10.5)
    assert pace.ready_at(11.0, waiting=True) == 11.0
    assert pace.active  # somebody is behind it
    assert pace.ready_at(11.0, waiting=False) == 11.0
    assert not pace.active


def test_a_quota_told_as_a_pause_ends_takes_the_place_of_the_restart() -> None:
    """From that very instant what is left is spread until the reset."""
    pace = Pace()
    pace.pause(0.0, 10)
    pace.spread(9.9, 0.25, 20.0)  # still paused: it changes nothing
    pace.spread(10.0, 0.25, 12.0)
    pace.take(10.0)
    assert pace.ready_at(10.0, waiting=True) == 10.25
    assert pace.ready_at(12.0, waiting=True) == 12.0
    assert pace.idle(12.0)


def test_a_restart_lasts_as_long_as_calls_have_to_wait_for_it() -> None:
    """The last of those that waited does not end it: calls that come just after it are spaced as well."""
    runtime, server = VirtualRuntime(), ScriptedServer(reply(429, headers={"Retry-After": "5"}))

    async def main() -> None:
        async with client(server, Throttle(None)) as c:
            await c.get(URL)
            await runtime.sleep(1)
            await burst(runtime, c, 2)
            await burst(runtime, c, 2)

    runtime.run(main())
    distances = [later - earlier for earlier, later in zip(starts(server)[1:], starts(server)[2:], strict=False)]
    assert starts(server)[1] == 5
    assert distances == sorted(distances, reverse=True)
    assert min(distances) > 0.3


# -- the line


def test_a_wait_of_unknown_length_is_not_refused() -> None:
    """What waits for a strict start still in the air gets its chance within `max_wait`."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=2))

    async def main() -> list[Any]:
        async with client(server, Throttle(1, strict=True, max_wait=5)) as c:
            return await burst(runtime, c, 2)

    assert [response.status_code for response in runtime.run(main())] == [200, 200]
    assert starts(server) == [0, 3]


def test_a_wait_of_unknown_length_ends_in_time() -> None:
    """If the answer in the air does not come within `max_wait`, the wait ends there and says how long it was."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=60))

    async def main() -> None:
        await runtime.sleep(9)
        async with client(server, Throttle(1, strict=True, max_wait=2.5)) as c:
            runtime.spawn(c.get(URL))
            await runtime.sleep(0)
            error = await outcome(c.get(URL))
            assert isinstance(error, WaitTooLong)
            assert str(error) == "Throttle: no turn within 2.5 s, past the deadline or max_wait"
            assert (error.key, error.retry_after) == (ORIGIN, None)
            assert seawall.report(error).throttled == 2.5

    runtime.run(main())


def test_a_wait_that_is_known_to_be_too_long_says_how_long_it_would_be() -> None:
    """WaitTooLong at once, with the wait in its message and as its retry_after, and the throttle's key."""
    runtime = VirtualRuntime()

    async def main() -> None:
        async with client(ScriptedServer(), Throttle(1, 4.0, max_wait=2, key=lambda request: "mine")) as c:
            await c.get(URL)
            await runtime.sleep(0.5)
            error = await outcome(c.get(URL))
            assert isinstance(error, WaitTooLong)
            assert str(error) == "Throttle: the wait would be 3.5 s, past the deadline or max_wait"
            assert (error.key, error.retry_after) == ("mine", 3.5)

    runtime.run(main())


def test_a_deadline_shorter_than_max_wait_counts() -> None:
    """Of the call's deadline and `max_wait` the earlier one decides."""
    runtime = VirtualRuntime()

    async def main() -> None:
        async with client(ScriptedServer(), Timeout(1), Throttle(1, 4.0, max_wait=20)) as c:
            await c.get(URL)
            assert isinstance(await outcome(c.get(URL)), WaitTooLong)

    runtime.run(main())


class Waiter:
    """A wait that is over when it is woken; or one whose event loop is closed."""

    def __init__(self, gone: bool = False) -> None:
        self.gone = gone
        self.woken = False

    def wake(self) -> bool:
        self.woken = True
        return not self.gone

    async def wait(self, until: float) -> bool:
        return self.woken


def in_line(state: ThrottleState, *waiters: Waiter) -> list[Ticket]:
    """Tickets with these waiters, in line one after the other."""
    tickets = [Ticket(waiter, float(rank), cost=1) for rank, waiter in enumerate(waiters, 100)]
    for ticket in tickets:
        assert state.join(ticket, 0.0, INF) is None
    return tickets


class StubCall:
    """A call that lines up at time 0 in front of everybody else, and fails if it has to wait."""

    def __init__(self) -> None:
        self.runtime = SimpleNamespace(now=lambda: 0.0, waiter=Waiter)
        self.options = Options()

    async def wait(self, waiter: Waiter, until: float) -> bool:
        raise KeyboardInterrupt

    def run(self, state: ThrottleState) -> None:
        line_up(state, self, 1, INF).send(None)  # type: ignore[arg-type]


def test_without_a_rate_nobody_lines_up() -> None:
    """A throttle that only follows the server lets a call through with no coroutine to await."""
    policy = Throttle(None)
    assert policy.enter(StubCall(), policy.new_state()) is None  # type: ignore[arg-type]


def test_the_first_after_a_pause_starts_at_once() -> None:
    """At the very instant at which the pause ends and with nobody waiting, it is not sent to the line."""
    state = ThrottleState(Unlimited())
    state.pace.pause(0.0, 10)
    assert not state.try_start(9.9, 1)
    assert state.try_start(10.0, 1)


def test_a_start_wakes_the_first_in_line_that_can_be_woken() -> None:
    """One whose event loop was closed while it waited leaves the line, and the next one is woken in its place."""
    state = ThrottleState(Unlimited())
    stranded, alive, behind = Waiter(gone=True), Waiter(), Waiter()
    in_line(state, stranded, alive, behind)
    with pytest.raises(StopIteration):
        StubCall().run(state)
    assert stranded.woken
    assert alive.woken
    assert not behind.woken
    assert state.snapshot()["waiting"] == 2


def test_one_that_leaves_wakes_the_first_in_line_that_can_be_woken() -> None:
    """A cancelled head of the line is followed by the next one that still runs."""
    state = ThrottleState(SlidingWindow(1, 1.0))
    assert state.try_start(0.0, 1)
    stranded, alive = Waiter(gone=True), Waiter()
    in_line(state, stranded, alive)
    with pytest.raises(KeyboardInterrupt):
        StubCall().run(state)
    assert alive.woken
    assert state.snapshot()["waiting"] == 1


def test_an_answer_to_a_strict_start_wakes_the_first_in_line_that_can_be_woken() -> None:
    """What landed may let the line move, whoever in it is gone."""
    policy, state = Throttle(1, strict=True, follow_server=False), ThrottleState(StrictWindow(1, 1.0))
    assert state.try_start(0.0, 1)
    stranded, alive = Waiter(gone=True), Waiter()
    in_line(state, stranded, alive)
    policy.passed(StubCall(), state, SimpleNamespace(status_code=200))  # type: ignore[arg-type]
    assert alive.woken
    assert state.snapshot()["waiting"] == 1


def test_a_wake_between_joining_the_line_and_looking_is_not_lost() -> None:
    """Another thread may already wake who has just taken a place."""
    state, looks = ThrottleState(SlidingWindow(1, 1.0)), []
    assert state.try_start(0.0, 1)
    call = StubCall()

    def now() -> float:
        if state._queue.waiting and not looks:  # in line, but it has not looked yet
            thread = threading.Thread(target=lambda: looks.append(state._queue.peek().waiter.wake()))  # type: ignore[union-attr]
            thread.start()
            thread.join()
        return 0.0

    call.runtime.now = now
    with pytest.raises(KeyboardInterrupt):
        call.run(state)
    assert looks == [True]


# -- what is told


def test_a_snapshot_tells_the_end_of_a_pause_if_there_was_one() -> None:
    """`paused_until` is None for a key that no server ever paused."""
    runtime, server = VirtualRuntime(), ScriptedServer(200, reply(429, headers={"Retry-After": "5"}))

    async def main() -> list[Any]:
        seen = []
        async with client(server, Throttle(None)) as c:
            for _ in range(2):
                await c.get(URL)
                seen.append(known(c.state, Throttle))
        return [(told["paused_until"], told["waiting"], told["tokens"]) for told in seen]

    assert runtime.run(main()) == [(None, 0, None), (5, 0, None)]


def test_a_snapshot_of_what_has_no_rate_leaves_its_starts_granted() -> None:
    """To look at a throttle that only follows the server costs later calls nothing; with a rate, all is counted."""
    free, bounded = Throttle(None).new_state(), Throttle(100).new_state()
    for state in (free, bounded):
        assert state.try_start(1.0, 1)
        assert state.leases
        state.snapshot()
    assert free.leases
    assert not bounded.leases
    assert bounded.snapshot()["tokens"] == 99


def test_an_async_limiter_s_snapshot_tells_who_waits_for_it() -> None:
    """Its line is the one that counts, in the same words as any throttle's."""
    state = LimiterState(AsyncLimiter(3))
    assert state.line.try_enter()
    assert state.snapshot() == {"waiting": 0, "paused_until": None, "tokens": None}


def test_an_async_limiter_that_the_server_paused_is_kept() -> None:
    """Its pause is not forgotten before it and its restart are over, nor a call at its head."""
    state = LimiterState(AsyncLimiter(3))
    assert state.idle(0.0)
    state.pace.pause(0.0, 5)
    assert not state.idle(4.0)
    assert not state.idle(5.0)
    assert state.idle(60.0)
    assert state.line.try_enter()
    assert not state.idle(60.0)


def test_a_strict_start_that_a_collector_ended_counts_from_then() -> None:
    """A call thrown away while it was in the air holds its place for a period from there, not for ever."""
    throttle = Throttle(1, per=10, strict=True)
    state, runtime = throttle.new_state(), VirtualRuntime(start=5.0)
    call: Any = SimpleNamespace(runtime=runtime, options=Options(cost=1))
    assert state.try_start(2.0, 1)
    throttle.failed(call, state, GeneratorExit())
    assert not state.try_start(14.9, 1)
    assert state.try_start(15.0, 1)


def test_a_start_that_is_yet_to_tell_when_it_was_counts_from_the_look() -> None:
    """Who took a start that was granted in advance, and was interrupted before telling when, has started."""
    state = ThrottleState(SlidingWindow(3, 10.0))
    assert state.try_start(1.0, 1)  # with which the other two are granted in advance
    state.leases.pop()
    assert state.snapshot()["tokens"] == 1
    assert state.try_start(2.0, 1)
    assert not state.try_start(10.9, 1)
    assert [state.try_start(11.0, 1) for _ in range(3)] == [True, True, False]


def test_a_collector_that_ends_the_head_of_the_line_wakes_the_next() -> None:
    """Whoever waited behind a call that was thrown away may start sooner."""
    state = ThrottleState(SlidingWindow(1, 1.0))
    assert state.try_start(0.0, 1)
    behind = Waiter()
    head, _ = in_line(state, Waiter(), behind)
    state.abandon(head)
    assert behind.woken
    assert state.snapshot()["waiting"] == 1


def test_few_starts_are_granted_ahead_at_first() -> None:
    """A key that is asked once keeps one lease; one that is asked all the time gets ever more, to a bound."""
    state = Throttle(1_000).new_state()
    granted = []
    for number in range(200):
        none_left = not state.leases
        assert state.try_start(number * 1e-6, 1)
        if none_left:
            granted.append(len(state.leases))
    assert granted[:7] == [1, 2, 4, 8, 16, 32, 32]
    assert set(granted[7:]) == {32}
