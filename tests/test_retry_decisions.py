"""What Retry repeats, what it never repeats, and what it says about why it stopped."""

from dataclasses import dataclass
from typing import Any

import httpcore
import httpx
import pytest
import tenacity
from drivers import URL, exchange, known

import seawall
import seawall.httpx
from seawall import Retry, RetryBudget, Stack, Timeout
from seawall.testing import Cancelled, Recorder, ScriptedServer, VirtualRuntime, reply

FAILED_STATUSES = (408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)
REPEATABLE = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY")
AT_ONCE = tenacity.wait_none()


@pytest.mark.parametrize("status", FAILED_STATUSES)
def test_a_failed_status_is_repeated_until_it_works(driver: str, status: int) -> None:
    """Each of the default statuses counts as failed, and the answer of the first attempt that works is returned."""
    server = ScriptedServer(status, status, 200)
    done = exchange(driver, server, Retry(wait=AT_ONCE))
    assert done.status == 200
    assert [attempt.status for attempt in done.report.attempts] == [status, status, 200]
    assert done.report.gave_up is None


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 409, 410, 422, 501, 505])
def test_any_other_status_is_returned_at_once(driver: str, status: int) -> None:
    """Statuses that do not say "failed for now" are answers, 4xx and 501 included."""
    server = ScriptedServer(status)
    assert exchange(driver, server, Retry(wait=AT_ONCE)).status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", REPEATABLE)
def test_methods_that_are_safe_to_repeat_are_repeated(driver: str, method: str) -> None:
    """The methods that HTTP calls idempotent are repeated by default."""
    server = ScriptedServer(500)
    assert exchange(driver, server, Retry(wait=AT_ONCE), method=method).status == 200
    assert [request.method for request in server.requests] == [method, method]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("failure", [500, 503, httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout])
def test_a_method_with_effects_is_not_repeated_once_it_may_have_had_them(
    driver: str, method: str, failure: Any
) -> None:
    """A POST whose fate is unknown comes back as it is, and the report says that its method was the reason."""
    server = ScriptedServer(failure)
    done = exchange(driver, server, Retry(wait=AT_ONCE), method=method)
    assert len(server.requests) == 1
    assert done.report.gave_up == "method"
    assert done.status == failure if isinstance(failure, int) else isinstance(done.error, failure)


@pytest.mark.parametrize("failure", [429, httpx.ConnectError, httpx.ConnectTimeout])
def test_what_the_server_provably_did_not_do_is_repeated_for_every_method(driver: str, failure: Any) -> None:
    """A refusal (429) or a connection that was never made permits repeating even a POST."""
    server = ScriptedServer(failure)
    assert exchange(driver, server, Retry(wait=AT_ONCE), method="POST", content=b"pay").status == 200
    assert [request.content for request in server.requests] == [b"pay", b"pay"]


def caused(error: Exception, cause: type[Exception]) -> Exception:
    error.__cause__ = cause("of another library")
    return error


class ServerDisconnectedError(Exception):
    """What httpx-aiohttp makes a connect timeout of, though the request had gone out."""


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (caused(httpx.ConnectTimeout("late"), TimeoutError), 2),
        (caused(httpx.ConnectTimeout("late"), httpcore.ConnectTimeout), 2),
        (caused(httpx.ConnectError("refused"), OSError), 2),
        (caused(httpx.ConnectTimeout("Server disconnected"), ServerDisconnectedError), 1),
    ],
    ids=["timeout", "httpcore's", "refused", "disconnected"],
)
def test_a_connect_timeout_made_of_something_else_proves_nothing(driver: str, error: Exception, sent: int) -> None:
    """A POST is not repeated after a connect timeout whose cause is no timeout: it may have reached the server."""
    server = ScriptedServer(error)
    exchange(driver, server, Retry(wait=AT_ONCE), method="POST", content=b"pay")
    assert len(server.requests) == sent


@pytest.mark.parametrize("error", [httpx.TimeoutException, httpx.TransportError, httpx.RequestError])
def test_a_failure_that_a_foreign_transport_has_no_name_for_is_repeated(driver: str, error: type[Exception]) -> None:
    """The bare base classes, which httpx's own transports never raise, are failures; a POST is not repeated."""
    assert exchange(driver, ScriptedServer(error), Retry(wait=AT_ONCE)).status == 200
    assert type(exchange(driver, ScriptedServer(error), Retry(wait=AT_ONCE), method="POST").error) is error


@pytest.mark.parametrize(
    "permission", [{"headers": {"Idempotency-Key": "k"}}, {"seawall": {"idempotent": True}}], ids=["header", "option"]
)
def test_the_caller_can_vouch_for_a_request(driver: str, permission: dict[str, Any]) -> None:
    """An Idempotency-Key header, or the option idempotent=True, makes any method repeatable."""
    server = ScriptedServer(500)
    assert exchange(driver, server, Retry(wait=AT_ONCE), method="POST", **permission).status == 200


def test_the_caller_can_forbid_repeating(driver: str) -> None:
    """idempotent=False keeps even a GET from being repeated."""
    server = ScriptedServer(500)
    done = exchange(driver, server, Retry(wait=AT_ONCE), seawall={"idempotent": False})
    assert (done.status, done.report.gave_up) == (500, "method")


def test_methods_replace_the_default_ones(driver: str) -> None:
    """`methods` means what it says, in either case of letters."""
    policy = Retry(wait=AT_ONCE, methods={"post"})
    assert exchange(driver, ScriptedServer(500), policy, method="POST").status == 200
    assert exchange(driver, ScriptedServer(500), policy, method="GET").report.gave_up == "method"


def test_attempts_include_the_first(driver: str) -> None:
    """Retries that run out return the last real response, as httpx would."""
    server = ScriptedServer(then=reply(503, b"last"))
    done = exchange(driver, server, Retry(3, wait=AT_ONCE))
    assert len(server.requests) == 3
    assert done.response is not None
    assert (done.status, done.response.content, done.report.gave_up) == (503, b"last", "attempts")


def test_the_last_error_is_the_real_one(driver: str) -> None:
    """Retries that run out raise the last transport error itself, with a note of what Seawall did."""
    last = httpx.ReadError("the last")
    done = exchange(driver, ScriptedServer(httpx.ConnectError, last), Retry(2, wait=AT_ONCE))
    assert done.error is last
    assert last.__notes__ == ["seawall: not retried after attempt 2 of at most 2: attempts"]
    assert [type(attempt.error) for attempt in done.report.attempts] == [httpx.ConnectError, httpx.ReadError]


def test_one_attempt_means_one(driver: str) -> None:
    """attempts=1 never repeats anything."""
    server = ScriptedServer(500)
    assert exchange(driver, server, Retry(1)).report.gave_up == "attempts"
    assert len(server.requests) == 1


def test_no_statuses_means_none(driver: str) -> None:
    """statuses=() makes every response an answer, while transport errors are still repeated."""
    policy = Retry(wait=AT_ONCE, statuses=())
    assert exchange(driver, ScriptedServer(503), policy).status == 503
    assert exchange(driver, ScriptedServer(httpx.ReadError), policy).status == 200


def test_statuses_replace_the_default_ones(driver: str) -> None:
    """`statuses` means what it says: others are answers."""
    policy = Retry(wait=AT_ONCE, statuses={404})
    assert exchange(driver, ScriptedServer(404), policy).status == 200
    assert exchange(driver, ScriptedServer(503), policy).status == 503


@pytest.mark.parametrize(
    "error",
    [
        httpx.UnsupportedProtocol,
        httpx.LocalProtocolError,
        httpx.PoolTimeout,
        httpx.TooManyRedirects,
        httpx.DecodingError,
        httpx.ProtocolError,
        TypeError,
        OSError,
    ],
)
def test_errors_that_another_attempt_would_not_mend_are_raised_at_once(driver: str, error: type[Exception]) -> None:
    """Programming errors, and what is not about the network at all, are not repeated."""
    server = ScriptedServer(error)
    assert type(exchange(driver, server, Retry(wait=AT_ONCE)).error) is error
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(101, headers={"upgrade": "websocket"}),
        reply(503, headers={"content-type": "text/event-stream"}),
        reply(503, headers={"content-type": "Text/Event-Stream; charset=utf-8"}),
    ],
    ids=["upgrade", "event-stream", "event-stream in capitals"],
)
def test_upgrades_and_event_streams_are_never_repeated(driver: str, answer: Any) -> None:
    """What belongs to the caller from its first byte is handed over, whatever a strategy says."""
    server = ScriptedServer(answer)
    done = exchange(driver, server, Retry(wait=AT_ONCE, retry=tenacity.retry_always))
    assert done.status == answer.status
    assert len(server.requests) == 1


def test_a_break_after_the_response_was_handed_over_is_the_callers(driver: str) -> None:
    """Once the response headers were returned nothing is repeated, even if the body breaks."""
    server = ScriptedServer(reply(body=b"half", breaks=httpx.ReadError("broken")))
    done = exchange(driver, server, Retry(wait=AT_ONCE))
    assert isinstance(done.error, httpx.ReadError)
    assert len(server.requests) == 1


@dataclass(frozen=True)
class Reject(seawall.Policy[list[type[seawall.Rejected]]]):
    """Rejects each call, as a limit or a circuit would."""

    kind: type[seawall.Rejected]

    def new_state(self) -> list[type[seawall.Rejected]]:
        return []

    async def handle(self, call: Any, state: list[type[seawall.Rejected]], next: Any) -> Any:
        state.append(self.kind)
        assert len(state) == 1, "a rejected call was repeated"
        raise call.rejected(self.kind, "no")


@pytest.mark.parametrize("kind", [seawall.CircuitOpen, seawall.QueueFull, seawall.WaitTooLong])
def test_our_own_rejections_are_never_repeated(driver: str, kind: type[seawall.Rejected]) -> None:
    """A call that Seawall itself rejected is not sent again, not even by a strategy that repeats everything."""
    server = ScriptedServer()
    done = exchange(driver, server, Retry(wait=AT_ONCE, retry=tenacity.retry_always), Reject(kind))
    assert isinstance(done.error, kind)
    assert not server.requests


@pytest.mark.parametrize("when", [0.5, 2.0], ids=["while it is sent", "in the backoff sleep"])
def test_a_cancelled_call_is_not_repeated(when: float) -> None:
    """The caller's cancellation passes through unchanged and ends the call, in an attempt or in the sleep after one."""
    server, runtime, state = ScriptedServer(reply(500, after=1.0)), VirtualRuntime(), seawall.State()

    async def main() -> None:
        async with seawall.httpx.AsyncClient(
            Stack(Retry(wait=tenacity.wait_fixed(10))), transport=server, state=state
        ) as client:
            task = runtime.spawn(client.get(URL))
            await runtime.sleep(when)
            task.cancel()
            with pytest.raises(Cancelled):
                await task
            assert runtime.now() == when
            await runtime.sleep(100)

    runtime.run(main())
    assert len(server.requests) == 1
    assert known(state, Retry)["tokens"] == 500


@pytest.mark.parametrize(
    ("retries", "script", "reason"),
    [
        (Retry(2, wait=AT_ONCE), (500, 500), "attempts"),
        (Retry(wait=AT_ONCE, budget=RetryBudget(capacity=1)), (500,), "budget"),
        (Retry(wait=tenacity.wait_fixed(6)), (500,), "deadline"),
        (Retry(wait=AT_ONCE, methods=()), (500,), "method"),
        (Retry(wait=AT_ONCE), (reply(503, headers={"retry-after": "61"}),), "retry-after"),
        (Retry(wait=AT_ONCE, stop=tenacity.stop_after_attempt(1)), (500,), "stop"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_listeners_hear_of_each_retry_and_of_giving_up(retries: Retry, script: tuple[Any, ...], reason: str) -> None:
    """Events and the report tell how often it was repeated and why not again."""
    recorder, runtime = Recorder(), VirtualRuntime()

    async def main() -> httpx.Response:
        stack = Stack(Timeout(5), retries)
        async with seawall.httpx.AsyncClient(stack, transport=ScriptedServer(*script), listeners=[recorder]) as client:
            return await client.get(URL)

    response = runtime.run(main())
    assert seawall.report(response).gave_up == reason
    assert [event.attempt for event in recorder.of(seawall.RetryScheduled)] == list(range(1, len(script)))
    assert [(event.attempt, event.reason) for event in recorder.of(seawall.GaveUp)] == [(len(script), reason)]


def test_a_wait_that_would_outlast_the_deadline_is_not_begun() -> None:
    """If the backoff passes the deadline the last response is returned at once, not after a useless sleep."""
    done = exchange("virtual", ScriptedServer(reply(503, after=1)), Timeout(5), Retry(wait=tenacity.wait_fixed(4)))
    assert (done.status, done.report.gave_up, done.took) == (503, "deadline", 1)


def test_a_wait_that_ends_before_the_deadline_is_begun() -> None:
    """A backoff that leaves time for another attempt is slept."""
    done = exchange("virtual", ScriptedServer(reply(503, after=1)), Timeout(5), Retry(wait=tenacity.wait_fixed(3.9)))
    assert (done.status, done.took) == (200, 4.9)


def test_an_error_is_raised_at_once_if_its_retry_would_come_too_late() -> None:
    """The same holds for a transport error: the real one, at once."""
    refused = httpx.ConnectError("refused")
    done = exchange("virtual", ScriptedServer(refused), Timeout(5), Retry(wait=tenacity.wait_fixed(5)))
    assert done.error is refused
    assert (done.report.gave_up, done.took) == ("deadline", 0)


def test_an_attempt_that_timed_out_is_repeated() -> None:
    """The timeout of one attempt is a failure like any other."""
    done = exchange("virtual", ScriptedServer(reply(after=9)), Retry(wait=tenacity.wait_fixed(1)), Timeout(2))
    assert (done.status, done.took) == (200, 3)
    first, second = done.report.attempts
    assert isinstance(first.error, seawall.TimedOut)
    assert (first.elapsed, second.waited, second.started) == (2, 1, 3)
