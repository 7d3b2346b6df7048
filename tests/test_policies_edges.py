"""Edges of the smaller policies: who sets a deadline, what a key is made of, what a report says of a broken body."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from calls import URL, asking, client, outcome, starts
from drivers import exchange

import seawall
from seawall import ConcurrencyLimit, IdempotencyKey, QueueFull, ReadBody, Retry, Timeout, WaitTooLong
from seawall.policies.idempotency_key import _uuid4
from seawall.testing import ScriptedServer, VirtualRuntime, reply

OUTSIDE = IdempotencyKey()


@dataclass(frozen=True)
class Twice(seawall.Policy[None]):
    """A policy of a user's own that sends everything twice and keeps the second answer."""

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        await call.runtime.close(call.body(await next(call)))
        return await next(call)


def took(server: ScriptedServer, *policies: Any, deadline: float | None = None, **options: Any) -> tuple[Any, float]:
    """What one GET came to, and how long it took in virtual time."""
    runtime = VirtualRuntime()

    async def main() -> tuple[Any, float]:
        async with client(server, *policies) as c:
            with seawall.options(deadline=deadline):
                return await outcome(c.get(URL, **asking(**options))), runtime.now()

    return runtime.run(main())


@pytest.mark.parametrize(("timeout", "expected"), [(20, 5), (3, 3)])
def test_a_request_s_timeout_takes_the_place_of_a_timeout_that_is_not_outermost(timeout: float, expected: float):
    """With another policy outside of the first Timeout, the option still replaces it, longer or shorter."""
    _, seconds = took(ScriptedServer(reply(after=5)), OUTSIDE, Timeout(4), Retry(1), timeout=timeout)
    assert seconds == expected


def test_a_request_s_timeout_leaves_a_timeout_further_in_alone() -> None:
    """The option is for the outermost Timeout; one between it and Retry keeps its own seconds."""
    error, seconds = took(ScriptedServer(reply(after=60)), Timeout(30), OUTSIDE, Timeout(4), Retry(1), timeout=20)
    assert isinstance(error, seawall.TimedOut)
    assert seconds == 4


def test_a_deadline_of_many_calls_bounds_a_timeout_that_is_not_outermost() -> None:
    """`options(deadline=...)` is kept to where it comes before the Timeout's own end."""
    error, seconds = took(ScriptedServer(reply(after=60)), OUTSIDE, Timeout(10), Retry(1), deadline=2.0)
    assert isinstance(error, seawall.TimedOut)
    assert seconds == 2


def test_a_timeout_that_is_passed_twice_does_not_start_anew() -> None:
    """A policy of a user's own that calls on twice has one deadline for both."""
    error, seconds = took(ScriptedServer(then=reply(after=3)), Twice(), Timeout(5), Retry(1))
    assert isinstance(error, seawall.TimedOut)
    assert seconds == 5


def test_an_idempotency_key_is_made_of_all_its_coins() -> None:
    """Every bit that a version 4 UUID leaves free comes from the runtime's coin, three draws of 48 bits."""
    draws = [0x0123_4567_89AB, 0xFEDC_BA98_7654, 0x1357_9BDF_0246 + 1]
    coins = [draw / (1 << 48) for draw in draws]
    key = _uuid4(lambda: coins.pop(0))
    assert key == "456789ab-fedc-4a98-b654-13579bdf0247"
    assert not coins


def test_a_report_tells_what_broke_a_body(driver: str) -> None:
    """The attempt whose body broke is listed with the status it began with and the error that it ended in."""
    error = httpx.ReadError("connection reset")
    broken = reply(body=b"parti", breaks=error, headers={"content-length": "10"})
    done = exchange(driver, ScriptedServer(broken), Retry(wait=lambda _: 0.0), ReadBody(100))
    assert [(attempt.status, attempt.error) for attempt in done.report.attempts] == [(200, error), (200, None)]


@pytest.mark.parametrize(("status", "seconds"), [(200, 0), (400, 7)])
def test_an_answer_whose_body_broke_asks_for_a_wait_only_if_it_was_an_error(status: int, seconds: float) -> None:
    """Retry-After of an answer that was good until it broke is not about repeating it."""
    headers = {"content-length": "10", "Retry-After": "7"}
    broken = reply(status, body=b"parti", breaks=httpx.ReadError, headers=headers)
    done = exchange("virtual", ScriptedServer(broken), Retry(wait=lambda _: 0.0), ReadBody(100))
    assert (done.status, done.took) == (200, seconds)
    assert done.report.attempts[0].retry_after == (seconds or None)


def test_a_full_line_says_whose_it_is_and_how_long() -> None:
    """QueueFull names the policy, the number of calls in line, and the key."""

    async def main() -> None:
        async with client(
            ScriptedServer(then=reply(after=10)), ConcurrencyLimit(1, queue=2, key=lambda request: "mine")
        ) as c:
            for waiting in (0, 1, 2):
                runtime.spawn(c.get(URL))
                await runtime.sleep(0)
                assert c.state.snapshot()[0]["waiting"] == waiting
            error = await outcome(c.get(URL))
            assert isinstance(error, QueueFull)
            assert (str(error), error.key) == ("ConcurrencyLimit: 2 calls already wait in line", "mine")

    runtime = VirtualRuntime()
    runtime.run(main())


def test_a_line_of_one_that_is_full_says_so_in_the_singular() -> None:
    """One call waits, two calls wait."""

    async def main() -> None:
        async with client(ScriptedServer(then=reply(after=10)), ConcurrencyLimit(1, queue=1)) as c:
            for _ in range(2):
                runtime.spawn(c.get(URL))
            await runtime.sleep(0)
            assert str(await outcome(c.get(URL))) == "ConcurrencyLimit: 1 call already waits in line"

    runtime = VirtualRuntime()
    runtime.run(main())


def test_a_wait_for_a_slot_that_was_too_long_says_how_long() -> None:
    """WaitTooLong names the policy, the seconds waited, and the key."""

    async def main() -> None:
        server = ScriptedServer(then=reply(after=10))
        async with client(server, ConcurrencyLimit(1, max_wait=1.5, key=lambda request: "mine")) as c:
            await runtime.sleep(7)
            runtime.spawn(c.get(URL))
            await runtime.sleep(0)
            error = await outcome(c.get(URL))
            assert isinstance(error, WaitTooLong)
            assert (str(error), error.key) == ("ConcurrencyLimit: no slot within 1.5 s of waiting in line", "mine")
            assert seawall.report(error).queued == 1.5
            assert starts(server) == [7]

    runtime = VirtualRuntime()
    runtime.run(main())
