"""Throttle's line and pace: pauses are never cut short, restarts are spaced, and nobody overtakes out of turn."""

from typing import Any

import httpx
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stepping import INF, Waiter

from seawall._queue import AGEING, Ticket
from seawall._rate import RECENT, LeakyBucket, SlidingWindow, Unlimited
from seawall._throttle import MAX_PAUSE, ThrottleState, wake

MOMENT = 1e-6
UNSPACED = 1e-4
"""Seconds: a spacing below it is none."""


class Restart:
    """How far apart starts must be: from when, how far, until when, and whether that halves each second."""

    def __init__(self, since: float, spacing: float, until: float, *, halves: bool) -> None:
        self.since = since
        self.spacing = spacing
        self.until = until
        self.halves = halves

    def at(self, now: float) -> float:
        spacing = self.spacing / 2 ** min(64.0, max(0.0, now - self.since)) if self.halves else self.spacing
        return 0.0 if spacing < UNSPACED or now >= self.until else spacing


class ThrottleModel(RuleBasedStateMachine):
    """Calls start, line up and leave; servers ask for pauses and state what is left of their quotas."""

    @initialize(engine=st.sampled_from(["none", "window", "bucket"]))
    def begin(self, engine: str) -> None:
        engines = {"none": Unlimited, "window": lambda: SlidingWindow(4, 1.0), "bucket": lambda: LeakyBucket(4, 1.0, 2)}
        self.kind, self.state = engine, ThrottleState(engines[engine]())
        self.time = 100.0
        self.line: list[Ticket] = []
        self.starts: list[tuple[float, float]] = []
        self.paused_until = -INF
        self.restart: Restart | None = None
        self.last = -INF  # the last start that a spacing counts from

    # -- the model

    def recent(self) -> float:
        """The mean distance of the last starts: of between RECENT and twice as many, as far as there were any."""
        times = [at for at, _ in self.starts]
        blocks = len(times) // RECENT
        if not blocks:
            return 0.5
        first = max(1, blocks - 1) * RECENT - 1  # the last one of a block
        return (self.time - times[first]) / (len(times) - 1 - first or 1)

    def paused(self, seconds: float) -> None:
        until = self.time + min(seconds, MAX_PAUSE)
        if until <= self.paused_until:
            return
        if self.paused_until <= self.time:
            restart, spacing = self.restart, self.state.pace._spacing
            if restart is None:
                self.restart = Restart(until, min(1.0, max(0.001, 2 * self.recent())), INF, halves=True)
            elif restart.halves and restart.at(self.time):
                self.restart = Restart(until, min(1.0, max(0.001, 2 * restart.at(self.time))), INF, halves=True)
            else:  # a quota's spacing says nothing of how calls went
                assert 0.001 <= spacing <= 1.0
                self.restart = Restart(until, spacing, INF, halves=True)
            assert spacing == pytest.approx(self.restart.spacing)
        else:
            self.restart.since = until
        self.paused_until = until

    def look(self, *, waiting: bool) -> None:
        """A restart is over once nobody waits and a start would be far enough from the last one; or in time."""
        restart = self.restart
        if restart and self.time >= self.paused_until:
            spacing = restart.at(self.time)
            begun = restart.halves and restart.since <= self.last
            if not spacing or (not waiting and begun and self.last + restart.at(self.time) <= self.time):
                self.restart = None

    def started(self, cost: float) -> None:
        now = self.time
        assert now >= self.paused_until
        if self.restart:
            assert now >= self.last + self.restart.at(now) - MOMENT
        self.starts.append((now, cost))
        if self.restart or len(self.starts) % RECENT == 0:
            self.last = now

    # -- calls

    @rule(cost=st.sampled_from([1.0, 2.0]), priority=st.integers(-1, 1), patience=st.sampled_from([INF, INF, 0.5, 3.0]))
    def call(self, cost: float, priority: int, patience: float) -> None:
        """It starts if it may, else it takes its place; a wait known to be too long is refused and takes nothing."""
        state, now = self.state, self.time
        if not self.line:
            self.look(waiting=False)
        before = state.snapshot()
        if state.try_start(now, cost):
            assert not self.line
            self.started(cost)
            return
        ticket = Ticket(Waiter(), now - AGEING * priority, cost=cost)
        too_long = state.join(ticket, now, now + patience)
        if too_long is None:
            self.line.append(ticket)
        else:
            assert too_long > patience
            assert state.snapshot() == before | {"tokens": state.snapshot()["tokens"]}

    @rule(count=st.integers(1, 80), gap=st.sampled_from([0.0, 0.001, 0.02, 0.3]))
    def rush(self, count: int, gap: float) -> None:
        """Enough calls for a rate to be known, of which those start that may."""
        for _ in range(count):
            if not self.line:
                self.look(waiting=False)
            if self.state.try_start(self.time, 1.0):
                self.started(1.0)
            self.time += gap

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def turn(self, data: Any) -> None:
        """Anybody may look; only the head of the line starts, at the time that it is told, and wakes the next."""
        ticket = data.draw(st.sampled_from(self.line))
        at, head = self.state.advance(ticket, self.time)
        first = min(self.line, key=lambda one: one.rank)
        if ticket is not first:
            assert (at, head) == (INF, None)
        elif at is None:
            self.look(waiting=True)
            self.started(ticket.cost)
            self.line.remove(ticket)
            assert head is (min(self.line, key=lambda one: one.rank) if self.line else None)
        else:
            self.look(waiting=True)
            assert at > self.time

    @precondition(lambda self: self.line)
    @rule()
    def serve(self) -> None:
        """Waiting for what it is told, the head starts soon after the pause, and needs not ask often."""
        first, latest = min(self.line, key=lambda one: one.rank), max(self.time, self.paused_until)
        latest += 2.0 + (self.restart.spacing if self.restart else 0.0)  # the window's own wait, and the spacing
        for _ in range(4):
            at, _ = self.state.advance(first, self.time)
            self.look(waiting=True)
            if at is None:
                break
            assert self.time < at < INF
            self.time = at
        assert first.state == "granted"
        assert self.time <= latest
        self.started(first.cost)
        self.line.remove(first)

    @precondition(lambda self: self.line)
    @rule(data=st.data(), stranded=st.booleans())
    def leave(self, data: Any, stranded: bool) -> None:
        """From anywhere in the line, twice without harm; a head that cannot be woken leaves by itself."""
        ticket = data.draw(st.sampled_from(self.line))
        self.line.remove(ticket)
        if stranded and all(ticket.rank < other.rank for other in self.line):
            ticket.waiter.gone = True
            wake(self.state, ticket)
            assert ticket.state == "gone"
        for _ in range(2):
            head = self.state.leave(ticket)
            assert head is (min(self.line, key=lambda one: one.rank) if self.line else None)

    # -- servers and time

    def answer(self, status: int, **headers: str) -> float | None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.state.heed(self.time, httpx.Headers(named), status)

    @rule(status=st.sampled_from([429, 503, 200]), seconds=st.sampled_from([1, 3, 20, 500]))
    def ask_for_a_pause(self, status: int, seconds: int) -> None:
        """The longest pause holds, at most a minute; Retry-After of another status is none."""
        asked = self.answer(status, retry_after=str(seconds))
        longer = status != 200 and self.time + min(seconds, MAX_PAUSE) > self.paused_until
        assert asked == (min(seconds, MAX_PAUSE) if longer else None)
        if status != 200:
            self.paused(seconds)

    @rule(remaining=st.integers(0, 12), reset=st.sampled_from([2, 10]))
    def state_a_quota(self, remaining: int, reset: int) -> None:
        """Nothing left is a pause until the reset; little left is spread until then."""
        told = {"ratelimit_limit": "100", "ratelimit_remaining": str(remaining), "ratelimit_reset": str(reset)}
        self.answer(200, **told)
        if remaining == 0:
            self.paused(reset)
        elif remaining < 10 and self.paused_until <= self.time:
            self.restart = Restart(self.time, reset / remaining, self.time + reset, halves=False)

    @rule(seconds=st.sampled_from([0.01, 0.2, 1.0, 5.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.time += seconds

    @invariant()
    def the_pause_holds(self) -> None:
        """No pause is cut short, the line is what the model holds, and what is in force is not idle."""
        if not hasattr(self, "state"):
            return
        state = self.state
        assert state.pace.paused_until == self.paused_until
        assert state.snapshot()["waiting"] == len(self.line)
        if self.line or self.time < self.paused_until:
            assert not state.idle(self.time)

    @invariant()
    def the_rate_holds(self) -> None:
        """Whatever line, pause and restart there were, no window has more than the rate."""
        allowed = {"none": INF, "window": 4.0, "bucket": 6.0}[getattr(self, "kind", "none")]
        for since, _ in getattr(self, "starts", ())[-40:] if allowed < INF else ():
            assert sum(cost for at, cost in self.starts if since <= at < since + 1.0 - MOMENT) <= allowed + MOMENT


TestThrottleModel = ThrottleModel.TestCase
