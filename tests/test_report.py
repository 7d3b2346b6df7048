"""Reports: what `seawall.report` tells of a call, from its response or from its exception."""

import asyncio
import copy
from dataclasses import FrozenInstanceError
from typing import Any

import httpx
import pytest
import tenacity
from drivers import URL, Exchange, exchange

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, Endpoints, Retry, RetryBudget, Stack, Throttle, Timeout
from seawall.httpx import AsyncClient, AsyncPool, AsyncTransport, Client, Transport
from seawall.testing import Recorder, ScriptedServer, VirtualRuntime, reply

REFUSED = httpx.ConnectError("refused")
BROKEN = httpx.ReadError("broken")
AT_ONCE = tenacity.wait_none()


def virtual(server: ScriptedServer, *policies: Any, **options: Any) -> Exchange:
    return exchange("virtual", server, *policies, **options)


# -- of a response and of an exception


def test_a_response_has_its_report(driver: str) -> None:
    """The report of a response counts its attempts, under every driver."""
    report = exchange(driver, ScriptedServer(503, REFUSED), Retry(wait=AT_ONCE)).report
    assert [(a.number, a.status, a.error) for a in report.attempts] == [
        (1, 503, None),
        (2, None, REFUSED),
        (3, 200, None),
    ]
    assert (report.endpoint, report.key, report.gave_up) == ("*", "https://api.example.com", None)


def test_an_exception_has_its_report(driver: str) -> None:
    """The report of an exception of httpx's counts its attempts, under every driver."""
    done = exchange(driver, ScriptedServer(503, then=REFUSED), Retry(2, wait=AT_ONCE))
    assert done.error is REFUSED
    assert [(a.status, a.error) for a in done.report.attempts] == [(503, None), (None, REFUSED)]
    assert done.report.gave_up == "attempts"


def test_a_rejection_has_its_report(driver: str) -> None:
    """The report of a rejection tells of no attempt: nothing was sent."""
    done = exchange(driver, ScriptedServer(), ConcurrencyLimit(1), Throttle(1, per=60, max_wait=1))
    again = exchange(driver, ScriptedServer(), ConcurrencyLimit(1), Throttle(1, per=60, max_wait=1), state=done.state)
    assert isinstance(again.error, seawall.WaitTooLong)
    assert again.report.attempts == ()
    assert again.report.endpoint == "*"


def test_our_timeout_has_its_report() -> None:
    """The report of a TimedOut counts the attempts that ran into it."""
    done = virtual(ScriptedServer(then=reply(after=50)), Timeout(9), Retry(wait=tenacity.wait_fixed(1)), Timeout(2))
    assert isinstance(done.error, seawall.TimedOut)
    assert [type(a.error).__name__ for a in done.report.attempts] == ["TimedOut"] * 3
    assert done.report.elapsed == 8


def test_a_streamed_response_has_its_report_before_its_body() -> None:
    """The report is there with the headers."""
    with (
        Client(Stack(Retry()), transport=ScriptedServer(reply(body=[b"a", b"b"]))) as client,
        client.stream("GET", URL) as response,
    ):
        assert [a.status for a in seawall.report(response).attempts] == [200]
        assert response.read() == b"ab"


def test_a_protected_transport_reports_through_plain_httpx() -> None:
    """Responses and errors that came through a transport of ours in httpx's own client have their report too."""
    server = ScriptedServer(200, REFUSED)
    with httpx.Client(transport=Transport(Stack(Retry(1)), transport=server)) as client:
        assert len(seawall.report(client.get(URL)).attempts) == 1
        with pytest.raises(httpx.ConnectError) as caught:
            client.get(URL)
        assert [a.error for a in seawall.report(caught.value).attempts] == [REFUSED]

    async def main() -> seawall.Report:
        async with httpx.AsyncClient(transport=AsyncTransport(transport=ScriptedServer())) as asynchronous:
            return seawall.report(await asynchronous.get(URL))

    assert len(asyncio.run(main()).attempts) == 1


@pytest.mark.parametrize(
    "foreign",
    [
        httpx.Response(200),
        httpx.Response(200, request=httpx.Request("GET", URL)),
        httpx.ConnectError("no request"),
        httpx.ConnectError("not ours", request=httpx.Request("GET", URL)),
        ValueError("unrelated"),
        None,
        5,
        "https://api.example.com",
    ],
    ids=repr,
)
def test_what_did_not_go_through_seawall_has_no_report(foreign: Any) -> None:
    """Anything else is a LookupError that shows it."""
    with pytest.raises(LookupError, match="is not the outcome of a call made through Seawall") as caught:
        seawall.report(foreign)
    assert repr(foreign) in str(caught.value)


def test_a_report_is_a_frozen_record() -> None:
    """A report and its attempts cannot be changed, and each look gives an equal one."""
    response = virtual(ScriptedServer(503), Retry()).response
    report = seawall.report(response)
    assert report == seawall.report(response)
    with pytest.raises(FrozenInstanceError):
        report.elapsed = 0  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        report.attempts[0].number = 0  # type: ignore[misc]
    assert copy.copy(report) == report


# -- times


def test_attempts_have_their_times() -> None:
    """Each attempt tells when it was sent, how long its headers took, and the backoff and Retry-After before it."""
    server = ScriptedServer(
        reply(503, after=1), reply(429, after=2, headers={"Retry-After": "10"}), reply(200, after=3, body=b"x")
    )
    report = virtual(server, Retry(wait=tenacity.wait_fixed(5), max_retry_after=60)).report
    first, second, third = report.attempts
    assert (first.started, first.elapsed, first.waited, first.retry_after) == (0, 1, 0, None)
    assert (second.started, second.elapsed, second.waited, second.retry_after) == (6, 2, 5, 10)
    assert third.started == 8 + third.waited
    assert 10 <= third.waited <= 15
    assert (third.elapsed, third.retry_after, third.hedged) == (3, None, False)
    assert report.elapsed == third.started + 3


def test_elapsed_ends_with_the_headers() -> None:
    """The time of a call is that up to its response headers; reading the body comes on top."""
    done = virtual(ScriptedServer(reply(after=1, body=[b"x"] * 3, every=2)), Retry())
    assert done.report.elapsed == 1
    assert done.took == 7


def test_waiting_in_line_is_told_as_queued() -> None:
    """Time in a limit's line is `queued`, not part of the attempt."""
    report = second_of_two(ConcurrencyLimit(1))
    assert (report.queued, report.throttled, report.elapsed) == (4, 0, 8)
    assert (report.attempts[0].started, report.attempts[0].elapsed) == (4, 4)


def test_waiting_for_a_throttle_is_told_as_throttled() -> None:
    """Time waiting for a throttle is `throttled`, not part of the attempt."""
    report = second_of_two(Throttle(1, per=3))
    assert (report.queued, report.throttled, report.elapsed) == (0, 3, 7)
    assert report.attempts[0].started == 3


def test_waiting_in_vain_is_told_too() -> None:
    """A wait that ended in a rejection is in its report."""
    report = second_of_two(ConcurrencyLimit(1, max_wait=2))
    assert (report.queued, report.attempts, report.elapsed) == (2, (), 2)


def second_of_two(*policies: Any) -> seawall.Report:
    """The report of a call that comes just after another, of 4 s."""
    client = AsyncClient(Stack(*policies), transport=ScriptedServer(then=reply(after=4)))

    async def main() -> seawall.Report:
        runtime.spawn(client.get(URL))
        await runtime.sleep(0)
        try:
            return seawall.report(await client.get(URL))
        except seawall.Rejected as error:
            return seawall.report(error)

    runtime = VirtualRuntime()
    return runtime.run(main())


# -- why it gave up

POST = {"method": "POST"}
GIVING_UP: list[tuple[str | None, list[Any], Any, list[Any], dict[str, Any], int]] = [
    # reason, script, then, policies, request, attempts
    (None, [503], 200, [Retry()], {}, 2),
    (None, [], 404, [Retry()], {}, 1),
    (None, [503], 200, [Retry(2)], {}, 2),
    ("attempts", [], 503, [Retry(3)], {}, 3),
    ("attempts", [], 503, [Retry(1)], {}, 1),
    ("attempts", [], REFUSED, [Retry(2)], {}, 2),
    ("budget", [], 503, [Retry(9, budget=RetryBudget(12))], {}, 3),
    ("deadline", [], 503, [Timeout(3), Retry(9, wait=tenacity.wait_fixed(2))], {}, 2),
    ("method", [], 503, [Retry()], POST, 1),
    ("method", [], BROKEN, [Retry()], POST, 1),
    ("retry-after", [], reply(503, headers={"Retry-After": "61"}), [Retry()], {}, 1),
    ("stop", [], 503, [Retry(9, stop=tenacity.stop_after_attempt(2))], {}, 2),
    (
        "stop",
        [],
        503,
        [Retry(9, wait=tenacity.wait_fixed(2), stop=tenacity.stop_before_delay(5))],
        {},
        3,
    ),
]


@pytest.mark.parametrize(
    ("reason", "script", "then", "policies", "request_", "attempts"),
    GIVING_UP,
    ids=[f"{reason}-{i}" for i, (reason, *_) in enumerate(GIVING_UP)],
)
def test_gave_up_tells_why_a_failure_was_the_last(
    reason: str | None, script: list[Any], then: Any, policies: list[Any], request_: dict[str, Any], attempts: int
) -> None:
    """`gave_up` is the reason for which a failed attempt was not followed by another, None where none was needed."""
    done = virtual(ScriptedServer(*script, then=then), *policies, **request_)
    assert done.report.gave_up == reason
    assert len(done.report.attempts) == attempts


def test_a_body_that_cannot_be_replayed_is_told() -> None:
    """A one-shot body gives up with "body", and the real outcome is the caller's."""
    server = ScriptedServer(503)
    with Client(Stack(Retry()), transport=server) as client:
        response = client.put(URL, content=iter([b"once"]))
    assert (response.status_code, seawall.report(response).gave_up) == (503, "body")
    assert len(server.requests) == 1


def test_a_rejection_is_not_giving_up() -> None:
    """An open circuit inside Retry ends the call at once, and is not a reason to give up."""
    done = virtual(ScriptedServer(then=503), Retry(), CircuitBreaker(consecutive=1, open_for=100))
    assert isinstance(done.error, seawall.CircuitOpen)
    assert [a.status for a in done.report.attempts] == [503]
    assert done.report.gave_up is None


# -- over hops and repetitions


def test_redirects_share_one_report() -> None:
    """A call's redirect hops are attempts of one report; its endpoint and key are the last hop's."""
    hop = reply(302, headers={"Location": "https://b.example/y"})
    endpoints = Endpoints({"a.example": Stack(Retry()), "b.example": Stack(Retry())})
    with Client(endpoints, transport=ScriptedServer(hop), follow_redirects=True) as client:
        response = client.get("https://a.example/x")
    report = seawall.report(response)
    assert [a.status for a in report.attempts] == [302, 200]
    assert (report.endpoint, report.key) == ("b.example", "https://b.example")
    assert seawall.report(response.history[0]) == report


def test_sending_a_request_again_is_a_new_call() -> None:
    """One request object sent twice makes two reports, of our client and of httpx's own alike."""
    for client in (
        Client(Stack(Retry()), transport=ScriptedServer()),
        httpx.Client(transport=Transport(Stack(Retry()), transport=ScriptedServer())),
    ):
        with client:
            request = client.build_request("GET", URL)
            first, second = client.send(request), client.send(request)
        assert len(seawall.report(first).attempts) == 1
        assert len(seawall.report(second).attempts) == 1


def test_a_bare_pool_keeps_no_report() -> None:
    """A pool without policies around it does not pretend to be a call through Seawall."""

    async def main() -> None:
        async with httpx.AsyncClient(transport=AsyncPool(verify=False), trust_env=False) as client:
            with pytest.raises(httpx.ConnectError) as caught:
                await client.get("http://127.0.0.1:1/")
            with pytest.raises(LookupError):
                seawall.report(caught.value)

    asyncio.run(main())


def test_concurrent_calls_have_reports_of_their_own() -> None:
    """Calls that run at once through one client do not mix their attempts."""
    server = ScriptedServer(then=lambda request: 503 if request.url.path == "/bad" else 200)

    async def main() -> list[seawall.Report]:
        client = AsyncClient(Stack(Retry(3)), transport=server)
        tasks = [runtime.spawn(client.get(f"https://a.example/{path}")) for path in ("good", "bad", "good", "bad")]
        return [seawall.report(await task) for task in tasks]

    runtime = VirtualRuntime()
    assert [len(report.attempts) for report in runtime.run(main())] == [1, 3, 1, 3]


def test_an_attempt_whose_body_broke_inside_it_reports_the_error() -> None:
    """An attempt that ReadBody saw break has both its status and the error of its body."""
    server = ScriptedServer(reply(200, b"half", breaks=httpx.ReadError, headers={"content-length": "8"}), then=200)
    stack = seawall.Stack(seawall.Retry(wait=tenacity.wait_none()), seawall.ReadBody(100))
    with Client(stack, transport=server) as client:
        first, second = seawall.report(client.get("http://a.example/")).attempts
    assert (first.status, type(first.error)) == (200, httpx.ReadError)
    assert (second.status, second.error) == (200, None)


def test_an_exhausted_mock_is_reported_as_what_it_raised() -> None:
    """A StopIteration out of an inner sync transport is reported as itself."""

    def exhausted(request: httpx.Request) -> httpx.Response:
        raise StopIteration("nothing left")

    recorder = Recorder()
    with (
        Client(
            seawall.Stack(seawall.Retry()), transport=httpx.MockTransport(exhausted), listeners=[recorder]
        ) as client,
        pytest.raises(StopIteration),
    ):
        client.get("http://a.example/")
    (ended,) = recorder.of(seawall.CallEnded)
    assert [type(attempt.error) for attempt in ended.report.attempts] == [StopIteration]


def test_an_error_that_has_an_original_of_its_own_is_reported_as_itself() -> None:
    """Only our own carrier of a StopIteration is opened, not what other libraries call `original`."""
    error = httpx.ReadError("broken")
    error.original = OSError("below")  # type: ignore[attr-defined]
    with Client(Stack(Retry(1)), transport=ScriptedServer(error)) as client, pytest.raises(httpx.ReadError) as caught:
        client.get("http://a.example/")
    assert [attempt.error for attempt in seawall.report(caught.value).attempts] == [error]


def test_a_transport_may_answer_with_any_awaitable() -> None:
    """An inner transport that returns a future rather than a coroutine works under a deadline as well."""

    class Futures(httpx.AsyncBaseTransport):
        def handle_async_request(self, request: httpx.Request) -> Any:
            answer = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(answer.set_result, httpx.Response(200))
            return answer

    async def main() -> int:
        async with AsyncClient(Stack(Timeout(5)), transport=Futures()) as client:
            return (await client.get("http://a.example/")).status_code

    assert asyncio.run(main()) == 200
