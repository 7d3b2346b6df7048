"""Redirects, authentication and requests that are sent again: what belongs to one call, and what does not."""

import contextvars
import types
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import tenacity
from drivers import URL, exchange

import seawall
import seawall.httpx
from seawall import IdempotencyKey, Retry, Stack, Throttle, TimedOut, Timeout
from seawall._call import SENDING
from seawall.testing import ScriptedServer, VirtualRuntime, reply

ELSEWHERE = {"location": "https://elsewhere.example.com/there"}
CHALLENGE = {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'}
AUTH = httpx.DigestAuth("user", "secret")


def test_redirect_hops_share_one_deadline() -> None:
    """Five redirects get one total, not five."""
    server = ScriptedServer(then=reply(302, headers=ELSEWHERE, after=2))
    done = exchange("virtual", server, Timeout(5), follow_redirects=True)
    assert isinstance(done.error, TimedOut)
    assert done.took == 5
    assert [request.at for request in server.requests] == [0, 2, 4]


def test_auth_hops_share_one_deadline() -> None:
    """The challenge and the answer to it are one call with one total."""
    server = ScriptedServer(reply(401, headers=CHALLENGE, after=3), reply(after=3))
    done = exchange("virtual", server, Timeout(5), auth=AUTH)
    assert isinstance(done.error, TimedOut)
    assert done.took == 5


def test_redirect_hops_share_one_report(driver: str) -> None:
    """The report of a redirected call tells of every hop's attempts, and of where it ended."""
    server = ScriptedServer(503, reply(302, headers=ELSEWHERE), 503, 200)
    done = exchange(driver, server, Timeout(5), Retry(wait=tenacity.wait_none()), follow_redirects=True)
    assert [attempt.status for attempt in done.report.attempts] == [503, 302, 503, 200]
    assert [attempt.number for attempt in done.report.attempts] == [1, 2, 3, 4]
    assert done.report.key == "https://elsewhere.example.com"


def test_auth_hops_share_one_report(driver: str) -> None:
    """So does the report of a call that had to authenticate."""
    server = ScriptedServer(reply(401, headers=CHALLENGE))
    done = exchange(driver, server, Timeout(5), Retry(), auth=AUTH)
    assert [attempt.status for attempt in done.report.attempts] == [401, 200]
    assert "authorization" in server.requests[1].headers


class Refreshing(httpx.Auth):
    """On a 401, gets a token with a request of its own and asks again."""

    def auth_flow(self, request: httpx.Request) -> Iterator[Any]:
        answer = yield request
        if answer.status_code == 401:
            yield httpx.Request("POST", "https://login.example.com/token", content=b"refresh")
            yield request


def test_a_request_of_an_auth_flows_own_shares_the_deadline() -> None:
    """The request for a token is a hop of the call: it ends at the call's deadline, and so does what follows."""
    for script in ([reply(401, after=2), reply(after=9)], [reply(401, after=2), reply(after=2), reply(after=9)]):
        done = exchange("virtual", ScriptedServer(*script), Timeout(5), auth=Refreshing())
        assert isinstance(done.error, TimedOut)
        assert done.took == 5


def test_a_request_of_an_auth_flows_own_shares_the_report(driver: str) -> None:
    """The report tells of its attempts and waits too, and of an error of its own; the key is where the call ended."""
    server = ScriptedServer(401, 429, 201, 200, 401, httpx.ReadError)
    done = exchange(driver, server, Timeout(5), Retry(wait=tenacity.wait_none()), auth=Refreshing())
    assert [attempt.status for attempt in done.report.attempts] == [401, 429, 201, 200]
    assert done.report.key == "https://api.example.com"
    done = exchange(driver, server, Timeout(5), Retry(), auth=Refreshing())
    assert [attempt.status for attempt in done.report.attempts] == [401, None]
    assert (done.report.key, done.report.gave_up) == ("https://login.example.com", "method")


def test_a_protected_client_knows_what_belongs_to_a_call() -> None:
    """`protect` gives a client of httpx's the same: one deadline and one report for what an auth flow sends."""
    server = ScriptedServer(401)
    with seawall.protect(httpx.Client(transport=server, auth=Refreshing()), Stack(Timeout(5))) as client:
        assert [attempt.status for attempt in seawall.report(client.get(URL)).attempts] == [401, 200, 200]
        assert [attempt.status for attempt in seawall.report(client.get(URL)).attempts] == [200]


def test_the_waits_of_an_auth_flows_own_request_are_the_calls() -> None:
    """Time that its request spent waiting for a throttle is in the report of the call."""
    server = ScriptedServer(401)
    done = exchange("virtual", server, Timeout(60), Throttle(1, per=10, key="client"), auth=Refreshing())
    assert (done.report.throttled, done.report.elapsed, done.took) == (20, 20, 20)


def test_a_request_of_an_auth_flows_own_has_its_own_idempotency_key(driver: str) -> None:
    """A key says that two requests are the same one, which the request for a token is not."""
    server = ScriptedServer(401)
    exchange(driver, server, IdempotencyKey(), Retry(), method="POST", auth=Refreshing())
    first, token, again = (request.headers["idempotency-key"] for request in server.requests)
    assert first == again != token


def test_a_call_within_a_call_is_its_own() -> None:
    """What an event hook sends with the same client is another call, with a deadline and a report of its own."""
    server = ScriptedServer(then=reply(after=3))
    reports: list[seawall.Report] = []

    async def main() -> Any:
        async def look(request: httpx.Request) -> None:
            if request.url.path == "/items":
                reports.append(seawall.report(await client.get("https://api.example.com/other")))

        hooks = {"request": [look]}
        async with seawall.httpx.AsyncClient(Stack(Timeout(5)), transport=server, event_hooks=hooks) as client:
            return seawall.report(await client.get(URL))

    reports.append(VirtualRuntime().run(main()))
    assert [len(report.attempts) for report in reports] == [1, 1]
    assert [report.elapsed for report in reports] == [3, 3]


def test_a_timeout_option_covers_every_hop() -> None:
    """The per-request timeout is one total for the whole call as well."""
    server = ScriptedServer(then=reply(302, headers=ELSEWHERE, after=2))
    done = exchange("virtual", server, Retry(), follow_redirects=True, seawall={"timeout": 3})
    assert isinstance(done.error, TimedOut)
    assert done.took == 3


def test_tenacity_counts_from_the_start_of_the_call() -> None:
    """stop_after_delay looks at the time of the whole call, earlier hops included."""
    server = ScriptedServer(reply(302, headers=ELSEWHERE, after=4), then=reply(503, after=1))
    done = exchange("virtual", server, Retry(9, stop=tenacity.stop_after_delay(5)), follow_redirects=True)
    assert (done.status, done.report.gave_up, done.took) == (503, "stop", 5)


def test_each_hop_has_attempts_of_its_own(driver: str) -> None:
    """`attempts` bounds one request: a redirect begins anew, within the deadline of the call."""
    server = ScriptedServer(503, reply(302, headers=ELSEWHERE), 503, 200)
    done = exchange(driver, server, Retry(2, wait=tenacity.wait_none()), follow_redirects=True)
    assert done.status == 200


def test_a_redirected_post_keeps_its_idempotency_key(driver: str) -> None:
    """A 307 repeats the request elsewhere; it is the same operation, so it carries the same key."""
    server = ScriptedServer(reply(307, headers=ELSEWHERE))
    exchange(driver, server, IdempotencyKey(), Retry(), method="POST", content=b"pay", follow_redirects=True)
    first, second = (request.headers["idempotency-key"] for request in server.requests)
    assert first == second


def sent_twice(script: tuple[Any, ...], *policies: Any) -> list[httpx.Response]:
    """The answers to one Request object that is sent twice, ten virtual seconds apart."""
    runtime = VirtualRuntime()

    async def main() -> list[httpx.Response]:
        async with seawall.httpx.AsyncClient(Stack(*policies), transport=ScriptedServer(*script)) as client:
            request = client.build_request("POST", URL, content=b"x")
            first = await client.send(request)
            await runtime.sleep(10)
            return [first, await client.send(request)]

    return runtime.run(main())


def test_a_request_that_is_sent_again_has_a_fresh_deadline() -> None:
    """The same Request object through the front door is another call: its total starts anew."""
    responses = sent_twice((reply(after=4), reply(after=4)), Timeout(5))
    assert [response.status_code for response in responses] == [200, 200]


def test_a_request_that_is_sent_again_has_a_report_of_its_own() -> None:
    """The report of the first call does not grow with the second."""
    reports = [seawall.report(response) for response in sent_twice((reply(after=4), reply(204)), Timeout(5))]
    assert [[attempt.status for attempt in report.attempts] for report in reports] == [[200], [204]]
    assert [report.elapsed for report in reports] == [4, 0]


def test_a_request_that_is_sent_again_has_another_idempotency_key() -> None:
    """Another call is another operation."""
    keys: list[str] = []

    def note(request: httpx.Request) -> int:
        keys.append(request.headers["idempotency-key"])
        return 200

    sent_twice((note, note), IdempotencyKey())
    assert len(set(keys)) == 2


class Exhausted(httpx.BaseTransport):
    """A mock whose answers have run out."""

    def __init__(self) -> None:
        self.answers: Iterator[httpx.Response] = iter([])

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return next(self.answers)


@pytest.mark.parametrize(
    "policies", [(Timeout(5), Retry()), (Retry(),), (Timeout(5),)], ids=["with a deadline", "without", "no retry"]
)
def test_stop_iteration_of_an_inner_transport_gets_through(policies: Any) -> None:
    """An exhausted mock's StopIteration reaches the caller as it is, not as a RuntimeError of the coroutines."""
    with (
        seawall.httpx.Client(Stack(*policies), transport=Exhausted()) as client,
        pytest.raises(StopIteration),
    ):
        client.get(URL)


def test_what_is_thrown_away_in_another_context_leaves_that_alone() -> None:
    """A call whose event loop is gone is collected anywhere: requests made there belong to no call of its."""

    class Never(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await never()
            raise AssertionError("it is thrown away")

    @types.coroutine
    def never() -> Any:
        yield

    client = seawall.httpx.AsyncClient(Stack(Retry()), transport=Never())
    before, context = SENDING.get(), contextvars.copy_context()
    context.run(SENDING.set, {"of": "an auth flow"})
    sending = context.run(client.send, client.build_request("GET", URL))
    context.run(sending.send, None)
    child = context.copy()  # as of a task that was started while the request was under way
    during = child[SENDING]
    child.run(sending.close)
    assert SENDING.get() is before
    assert child[SENDING] is during


def test_a_call_leaves_its_context_as_it_was() -> None:
    """What a client tells to transports while it sends is gone afterwards: a task that is kept does not keep it."""
    context, outer = contextvars.Context(), {"of": "an outer call"}
    client = seawall.httpx.Client(Stack(Retry()), transport=ScriptedServer(then=200))
    context.run(client.get, URL)
    assert SENDING not in context
    context.run(SENDING.set, outer)
    context.run(client.get, URL)
    assert context[SENDING] is outer
