"""Throttle follows what the server says: pauses and paces for every call of the key, and restarts that are spaced."""

from itertools import pairwise
from typing import Any

import httpx
import pytest
from calls import ORIGIN, URL, asking, burst, client, outcome, starts
from drivers import known

import seawall
from seawall import CircuitBreaker, CircuitOpen, ConcurrencyLimit, Retry, Throttle, WaitTooLong
from seawall import _throttle as throttle
from seawall._rate import Unlimited
from seawall._throttle import ThrottleState
from seawall.testing import Recorder, ScriptedServer, VirtualRuntime, reply

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
EPOCH = 1445412480


def told(headers: dict[str, str], status: int = 200, **options: Any) -> list[float]:
    """When calls start that come 0.5 s after one was answered with these headers; the first is that one."""
    runtime, server = VirtualRuntime(), ScriptedServer(reply(status, headers=headers))

    async def main() -> None:
        async with client(server, Throttle(None, **options)) as c:
            await c.get(URL)
            await runtime.sleep(0.5)
            await c.get(URL)

    runtime.run(main())
    return starts(server)


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_pauses_the_key(status: int):
    """A 429 or 503 with Retry-After holds back calls that know nothing of it."""
    assert told({"Retry-After": "7"}, status) == [0, 7]


@pytest.mark.parametrize("status", [200, 301, 404, 500])
def test_a_retry_after_of_another_status_is_no_pause(status: int):
    """Only 429 and 503 speak for the whole key."""
    assert told({"Retry-After": "7"}, status) == [0, 0.5]


def test_a_retry_after_date_is_measured_against_the_response_s_own_date():
    """Whatever the caller's wall clock says, the pause is the difference of the two."""
    assert told({"Retry-After": "Wed, 21 Oct 2015 07:28:09 GMT", "Date": DATE}, 429) == [0, 9]


@pytest.mark.parametrize("value", ["-5", "soon", "", "0", "nan", "inf", "1e3", "Wed, 21 Oct 2015 07:27:00 GMT"])
def test_a_malformed_negative_or_past_retry_after_is_ignored(value: str):
    """Nothing pauses for what makes no sense."""
    assert told({"Retry-After": value, "Date": DATE}, 429) == [0, 0.5]


def test_not_following_the_server_is_a_setting():
    """`follow_server=False` leaves such answers to Retry."""
    assert told({"Retry-After": "7"}, 429, follow_server=False) == [0, 0.5]


PAUSES = {
    "draft-10": {"RateLimit": '"default";r=0;t=8', "RateLimit-Policy": '"default";q=100;w=60'},
    "draft-06": {"RateLimit": "limit=100, remaining=0, reset=8"},
    "draft-03": {"RateLimit-Limit": "100", "RateLimit-Remaining": "0", "RateLimit-Reset": "8"},
    "x, seconds": {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "8"},
    "x, epoch": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH + 8), "Date": DATE},
    "x, epoch in ms": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str((EPOCH + 8) * 1000), "Date": DATE},
    "x, Go duration": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "8s"},
    "x, Go duration of parts": {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "0h0m7s1000ms"},
    "x, RFC 3339": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2015-10-21T07:28:08Z", "Date": DATE},
    "by kind": {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "8s"},
    "the tightest of two": {"RateLimit": '"day";r=900;t=80000, "burst";r=0;t=8'},
}


@pytest.mark.parametrize("dialect", list(PAUSES))
def test_a_spent_quota_pauses_until_its_reset(dialect: str):
    """Each dialect's "nothing left until" holds back the next call until then, whatever the status."""
    assert told(PAUSES[dialect]) == [0, 8]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-RateLimit-Remaining": "50", "X-RateLimit-Limit": "100", "X-RateLimit-Reset": "8"},
        {"X-RateLimit-Remaining": "0"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0", "X-RateLimit-Limit": "100"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH - 8), "Date": DATE},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH + 8)},  # no Date to measure it against
        {"X-RateLimit-Remaining": "none", "X-RateLimit-Reset": "8"},
        {"RateLimit": '"default";r=0'},
        {"RateLimit": ';;;,,"=\\'},
    ],
    ids=str,
)
def test_headers_without_a_clear_word_hold_nobody_back(headers: dict[str, str]):
    """Enough left, a reset that is past, unknown or nonsense: no pause, and no error."""
    assert told(headers) == [0, 0.5]


def test_a_pause_holds_every_call_of_the_key_and_of_no_other():
    """Calls that wait, calls that come, and calls of another origin."""
    runtime, other = VirtualRuntime(), "https://other.example.com/"
    server = ScriptedServer(reply(429, headers={"Retry-After": "5"}))

    async def main() -> None:
        async with client(server, Throttle(1)) as c:
            tasks = [runtime.spawn(c.get(URL)) for _ in range(2)]  # the second waits in line when the word comes
            await runtime.sleep(2)
            tasks.append(runtime.spawn(c.get(other)))
            tasks.append(runtime.spawn(c.get(URL)))
            for task in tasks:
                await task

    runtime.run(main())
    assert [(r.at, r.url == other) for r in server.requests] == [(0, False), (2, True), (5, False), (6, False)]


def test_a_longer_pause_replaces_a_shorter_one_and_never_the_other_way():
    """Of several answers in flight the one that asks for most is kept to."""
    runtime = VirtualRuntime()
    server = ScriptedServer(*(reply(429, after=at, headers={"Retry-After": s}) for at, s in ((1, "9"), (2, "3"))))

    async def main() -> None:
        async with client(server, Throttle(None)) as c:
            await burst(runtime, c, 2)
            await c.get(URL)

    runtime.run(main())
    assert starts(server) == [0, 0, 10]


def test_no_server_holds_calls_back_for_longer_than_a_minute():
    """A hostile Retry-After, or a reset in a thousand years, is cut to 60 s."""
    assert told({"Retry-After": "999999999"}, 429) == [0, 60]
    assert told({"RateLimit": "limit=10, remaining=0, reset=999999999"}) == [0, 60]


def test_little_left_is_spread_until_the_reset():
    """With 4 of 100 left for 8 s, calls go 2 s apart until then."""
    runtime = VirtualRuntime()
    server = ScriptedServer(reply(headers={"RateLimit": "limit=100, remaining=4, reset=8"}))

    async def main() -> None:
        async with client(server, Throttle(None)) as c:
            await c.get(URL)
            await burst(runtime, c, 8)

    runtime.run(main())
    assert starts(server)[:5] == [0, 0, 2, 4, 6]
    assert starts(server)[5:] == [8] * 4


def test_spreading_is_bounded_as_a_pause_is():
    """Little left of a quota that resets in years paces calls at most a minute apart, for at most a minute."""
    runtime = VirtualRuntime()
    server = ScriptedServer(reply(headers={"RateLimit": "limit=100, remaining=1, reset=999999999"}))

    async def main() -> None:
        async with client(server, Throttle(None)) as c:
            await c.get(URL)
            await burst(runtime, c, 4)

    runtime.run(main())
    assert starts(server)[-1] <= 60


def test_answers_are_searched_for_quotas_at_first_and_then_now_and_then(monkeypatch: pytest.MonkeyPatch):
    """The first 16 answers of a key and then every 16th; from the first one that states a quota on, all."""
    server, searched, heeded = ScriptedServer(), [], []

    def mentions(headers: Any) -> bool:
        searched.append(len(server.requests))
        return searched[-1] == 64

    monkeypatch.setattr(throttle, "mentions_quota", mentions)
    monkeypatch.setattr(throttle, "quota", lambda headers: heeded.append(len(server.requests)))

    async def main() -> None:
        async with client(server, Throttle(None)) as c:
            for _ in range(70):
                await c.get(URL)

    VirtualRuntime().run(main())
    assert searched == [*range(1, 17), 32, 48, 64]
    assert heeded == [*range(64, 71)]


@pytest.mark.parametrize(("reset", "paused"), [("0", None), ("0.5", 0.5), ("1", 1)])
def test_a_spent_quota_pauses_for_as_long_as_its_reset_is_away(reset: str, paused: float | None):
    """However short that is; one that is there already is no pause, after which calls would be spaced."""
    state = ThrottleState(Unlimited())
    headers = httpx.Headers({"RateLimit": f"limit=100, remaining=0, reset={reset}"})
    assert state.heed(5.0, headers, 200) == paused
    assert state.pace.active is (paused is not None)


@pytest.mark.parametrize(("left", "spread"), [(10, False), (9, True)])
def test_less_than_a_tenth_of_a_quota_is_spread(left: int, spread: bool):
    """A tenth itself is enough."""
    state = ThrottleState(Unlimited())
    state.heed(5.0, httpx.Headers({"RateLimit": f"limit=100, remaining={left}, reset=8"}), 200)
    assert state.pace.active is spread


def test_a_pause_known_to_pass_the_deadline_is_refused_at_once():
    """A call that could only start after its deadline, or `max_wait`, is not kept waiting for that."""
    runtime, server = VirtualRuntime(), ScriptedServer(reply(429, headers={"Retry-After": "30"}))

    async def main() -> Any:
        async with client(server, Throttle(None, max_wait=20)) as c:
            await c.get(URL)
            return [await outcome(c.get(URL)), await outcome(c.get(URL, **asking(timeout=5.0)))]

    for error in runtime.run(main()):
        assert isinstance(error, WaitTooLong)
        assert error.retry_after == 30
    assert runtime.now() == 0


def spaced(moments: list[float], since: float) -> bool:
    """Whether calls restarted one by one, the first right away, and not in a herd."""
    after = [at for at in moments if at >= since]
    gaps = [late - early for early, late in pairwise(after)]
    return after[0] < since + 1 and min(gaps[:20]) > 0.005 and max(after) < since + 10


def test_waiting_calls_restart_spaced_after_a_pause():
    """The herd that gathered during a pause is let go one by one, slowly first, and faster with each second."""
    runtime = VirtualRuntime()
    server = ScriptedServer(*[reply(429, after=0.1, headers={"Retry-After": "5"})] * 20)

    async def main() -> None:
        async with client(server, Throttle(None)) as c:
            await burst(runtime, c, 20)
            await burst(runtime, c, 50)

    runtime.run(main())
    after = [at for at in starts(server) if at > 0]
    assert len(after) == 50
    assert spaced(after, 5)
    first_second, second_second = (sum(5.1 + s <= at < 6.1 + s for at in after) for s in (0, 1))
    assert first_second < second_second or after[-1] < 6.1


def test_a_herd_that_comes_back_by_itself_after_the_pause_is_spaced_as_well():
    """Calls that slept in Retry through the same pause do not all start in the instant in which it ends."""
    runtime = VirtualRuntime()
    server = ScriptedServer(*[reply(429, after=0.1, headers={"Retry-After": "5"})] * 20)

    async def main() -> Any:
        async with client(server, Retry(2, wait=lambda _: 0.2), ConcurrencyLimit(100), Throttle(None)) as c:
            return await burst(runtime, c, 20)

    assert {r.status_code for r in runtime.run(main())} == {200}
    assert spaced(starts(server)[20:], 5)


def test_a_lone_caller_is_not_slowed_for_long_by_a_restart():
    """After one call the next waits for the distance of the restart, at most a second, and then none does."""
    runtime, server = VirtualRuntime(), ScriptedServer(reply(429, headers={"Retry-After": "5"}))

    async def main() -> float:
        async with client(server, Throttle(None)) as c:
            for _ in range(4):
                await c.get(URL)
            await runtime.sleep(2)
            began = runtime.now()
            await burst(runtime, c, 3)
            return runtime.now() - began

    assert runtime.run(main()) == 0
    assert starts(server)[1] == 5
    assert starts(server)[3] <= 7.5


def test_a_pause_keeps_the_rate():
    """After a pause the throttle's own rate holds as before."""
    runtime, server = VirtualRuntime(), ScriptedServer(reply(429, headers={"Retry-After": "5"}))

    async def main() -> None:
        async with client(server, Throttle(2, per=10)) as c:
            await c.get(URL)
            await burst(runtime, c, 5)

    runtime.run(main())
    moments = starts(server)
    for index in range(len(moments) - 2):
        assert moments[index + 2] - moments[index] >= 10 - 1e-6


def test_a_pause_is_told_of_the_key_that_is_paused() -> None:
    """That of the throttle, which may be one for all origins."""
    server, recorder = ScriptedServer(reply(429, headers={"Retry-After": "5"})), Recorder()

    async def main() -> None:
        async with client(server, Throttle(None, key=lambda request: "shop"), listeners=[recorder]) as c:
            await c.get(URL)

    VirtualRuntime().run(main())
    assert [event.key for event in recorder.of(seawall.Paused)] == ["shop"]


def test_a_pause_is_told_to_listeners():
    """One `Paused` event per pause that begins, with its length and key."""
    recorder, runtime = Recorder(), VirtualRuntime()
    server = ScriptedServer(*[reply(429, headers={"Retry-After": "5"})] * 3)

    async def main() -> Any:
        async with client(server, Throttle(None), listeners=[recorder]) as c:
            first = runtime.spawn(c.get(URL))
            await first
            return known(c.state, Throttle)["paused_until"]

    assert runtime.run(main()) == 5
    assert [(event.key, event.seconds) for event in recorder.of(seawall.Paused)] == [(ORIGIN, 5)]


def test_what_waits_for_a_pause_fails_when_the_circuit_opens():
    """A pause is a line like any other: an open circuit empties it."""
    runtime, server = VirtualRuntime(), ScriptedServer(reply(429, headers={"Retry-After": "30"}))

    async def main() -> Any:
        async with client(server, CircuitBreaker(), Throttle(None)) as c:
            await c.get(URL)
            waiting = runtime.spawn(c.get(URL))
            await runtime.sleep(1)
            c.state.circuit(ORIGIN).open()
            return await outcome(waiting)

    assert isinstance(runtime.run(main()), CircuitOpen)
    assert runtime.now() == 1
