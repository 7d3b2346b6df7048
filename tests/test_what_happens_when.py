"""docs/what-happens-when.md, cell by cell, where no other test says it; test_failure_scenarios.py says most."""

import gc
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from calls import URL, asking, client, outcome
from drivers import known

import seawall
from seawall import CircuitBreaker, CircuitOpen, ConcurrencyLimit, ReadBody, Retry, State, Throttle, TimedOut, Timeout
from seawall.httpx import AsyncPool
from seawall.policies import circuit_breaker
from seawall.testing import ScriptedServer, VirtualRuntime, reply

PAGES = [Path(__file__).parents[1] / page for page in ("README.md", "docs/what-happens-when.md")]
STATUS_ROW = re.compile(r"^\| ([2-9]\d\d[\d, \N{EN DASH}]*?) \| (.+?) \| (.+?) \|", re.MULTILINE)
AT_ONCE = Retry(3, wait=lambda _: 0.0)
GATES = (CircuitBreaker(), ConcurrencyLimit(1, queue=0), Throttle(10, per=3600))
"""What counts, holds and spends; a second call in flight would be QueueFull."""


class Wire(AsyncPool):
    """A pool whose connections all lead to a scripted server; it counts them."""

    def __init__(self, server: ScriptedServer, size: int = 1) -> None:
        super().__init__(size)
        self.made = 0
        self._server = server
        self.shards.build = self._build

    def _build(self) -> ScriptedServer:
        self.made += 1
        return self._server


def remembered(state: State) -> tuple[Any, ...]:
    """What the gates know: calls and failures that the circuit counted, slots in use, starts spent."""
    circuit, limit, rate = (known(state, kind) for kind in (CircuitBreaker, ConcurrencyLimit, Throttle))
    return (circuit["calls"], circuit["failures"]), limit["in_use"], 10 - rate["tokens"]


async def ended(
    server: Any, *policies: Any, method: str = "GET", state: State | None = None, **options: Any
) -> tuple[Any, tuple[Any, ...]]:
    """One call through the gates: its outcome, and what they know afterwards."""
    async with client(server, *policies, state=state) as c:
        result = await outcome(c.request(method, URL, **options))
        return result, remembered(c.state)


def run(coroutine: Any) -> Any:
    return VirtualRuntime().run(coroutine)


def drop(responses: list[Any]) -> None:
    """Let go of them; httpx ties response and body in a cycle, so the collector must find them."""
    responses.clear()
    gc.collect()


# -- time


@pytest.mark.parametrize(("method", "sent"), [("GET", 3), ("POST", 1)])
def test_an_attempt_s_timeout_spends_a_start_and_keeps_no_slot(method: str, sent: int) -> None:
    """Each attempt that runs out of time has spent its start and given its slot back; only a safe one is repeated."""
    server = ScriptedServer(then=reply(after=60))
    result, after = run(ended(server, AT_ONCE, *GATES, Timeout(2), method=method))
    assert isinstance(result, TimedOut)
    assert (result.scope, seawall.report(result).gave_up) == ("attempt", "attempts" if sent == 3 else "method")
    assert after == ((sent, sent), 0, sent)


def test_a_deadline_on_the_wire_spends_a_start_and_ends_the_call() -> None:
    """A call that its deadline ends on the wire is not repeated; its start is spent, its slot given back."""
    result, after = run(ended(ScriptedServer(then=reply(after=60)), Timeout(2), AT_ONCE, *GATES))
    assert isinstance(result, TimedOut)
    assert (result.scope, seawall.report(result).gave_up) == ("call", "deadline")
    assert after == ((1, 1), 0, 1)


def test_a_deadline_that_is_over_already_says_nothing_about_the_server() -> None:
    """Nothing is sent, nothing counted by the circuit, and no slot kept; a start that was free is spent."""
    server = ScriptedServer()
    result, after = run(ended(server, AT_ONCE, *GATES, **asking(deadline=-1.0)))
    assert isinstance(result, TimedOut)
    assert (result.scope, server.requests) == ("call", [])
    assert after == ((0, 0), 0, 1)


@pytest.mark.parametrize("limits", [{"timeout": httpx.Timeout(9, pool=3)}, asking(timeout=3)], ids=["pool", "deadline"])
def test_a_wait_for_a_connection_that_is_too_long_spends_a_start_only(limits: Any) -> None:
    """In the pool's line a call has spent its start already; it is not repeated and says nothing about the server."""
    state, server, runtime = State(), ScriptedServer(then=reply(after=60)), VirtualRuntime()

    async def main() -> Any:
        pool = Wire(server)
        async with httpx.AsyncClient(transport=pool) as other:
            task = runtime.spawn(other.get(URL))
            await runtime.sleep(1)
            async with client(pool, AT_ONCE, *GATES, state=state) as c:
                result = await outcome(c.get(URL, **limits))
                after = remembered(state), runtime.now()
                await task
        return result, after

    result, after = runtime.run(main())
    assert isinstance(result, seawall.WaitTooLong)
    assert isinstance(result, httpx.PoolTimeout)
    assert after == (((0, 0), 0, 1), 4)
    assert len(server.requests) == 1


def test_a_deadline_in_the_body_comes_too_late_for_a_retry() -> None:
    """The reader gets TimedOut; the slot is given back, and the connection is not used again."""
    server = ScriptedServer(reply(body=[b"x"] * 9, every=1))

    async def main() -> Any:
        pool = Wire(server)
        async with client(pool, Timeout(3), AT_ONCE, *GATES) as c:
            late = await outcome(c.get(URL))
            return late, remembered(c.state), (await c.get(URL)).status_code, pool.made

    late, after, *then = run(main())
    assert isinstance(late, TimedOut)
    assert late.scope == "call"
    assert after == ((1, 1), 0, 1)
    assert then == [200, 2]


# -- connections and bodies


def test_a_dead_connection_costs_two_starts_and_counts_once() -> None:
    """The repeat is an attempt like any other: it is counted, and starts, for itself."""
    server = ScriptedServer(200, httpx.RemoteProtocolError("Server disconnected without sending a response."))

    async def main() -> Any:
        pool = Wire(server)
        async with client(pool, Retry(2, wait=lambda _: 9.0), *GATES) as c:
            await c.get(URL)
            answer = await c.get(URL)
            return seawall.report(answer).elapsed, remembered(c.state), pool.made

    assert run(main()) == (0, ((3, 1), 0, 3), 2)


@pytest.mark.parametrize(("read", "made"), [(True, 1), (False, 2)])
def test_only_a_body_that_was_read_leaves_its_connection(read: bool, made: int) -> None:
    """Read to its end: the connection serves the next request. Closed early: success, slot back, another connection."""
    server = ScriptedServer(then=reply(body=[b"a", b"b"]))

    async def main() -> Any:
        pool = Wire(server)
        async with client(pool, *GATES) as c:
            async with c.stream("GET", URL) as response:
                assert remembered(c.state) == ((0, 0), 1, 1)
                if read:
                    await response.aread()
            assert remembered(c.state) == ((1, 0), 0, 1)
            await c.get(URL)
            return pool.made

    assert run(main()) == made


def test_a_body_that_breaks_in_the_attempt_keeps_nothing_through_the_backoff() -> None:
    """With ReadBody the failed attempt has given its slot and its connection back before the wait."""
    broken = reply(200, [b"half"], headers={"content-length": "8"}, breaks=httpx.ReadError)
    server, runtime, state = ScriptedServer(broken), VirtualRuntime(), State()

    async def main() -> Any:
        pool = Wire(server)
        async with client(pool, Retry(2, wait=lambda _: 9.0), *GATES, ReadBody(100), state=state) as c:
            task = runtime.spawn(c.get(URL))
            await runtime.sleep(1)
            between = remembered(state), pool.shards.slots.in_use
            return (await task).status_code, between, pool.made

    assert runtime.run(main()) == (200, (((1, 1), 0, 1), 0), 2)


def test_a_dropped_response_says_nothing_about_the_server() -> None:
    """Its slot comes back with a ResourceWarning, and the circuit counts neither a success nor a failure."""
    server = ScriptedServer(then=reply(body=[b"a", b"b"]))

    async def main() -> Any:
        async with client(server, *GATES, Timeout(60)) as c:
            responses = [await c.send(c.build_request("GET", URL), stream=True)]
            with pytest.warns(ResourceWarning, match="dropped without being read or closed"):
                drop(responses)
            await c.get(URL)
            return remembered(c.state)

    assert run(main()) == ((1, 0), 0, 2)


def test_a_response_that_was_read_before_is_a_success_at_once() -> None:
    """What a mock or a cache answers has no body to wait for: counted, and no slot kept."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="cached"))

    async def main() -> Any:
        async with client(transport, *GATES) as c, c.stream("GET", URL):
            return remembered(c.state)

    assert run(main()) == ((1, 0), 0, 1)


# -- answers


@pytest.mark.parametrize("status", [200, 404, 408, 429, 500, 503])
def test_quota_headers_are_read_whatever_the_status(status: int) -> None:
    """A quota that is used up pauses the key, in a success and in a failure."""
    server = ScriptedServer(reply(status, headers={"RateLimit": '"q";r=0;t=30'}))

    async def main() -> Any:
        async with client(server, Throttle(None)) as c:
            await c.get(URL)
            return known(c.state, Throttle)["paused_until"]

    assert run(main()) == 30


def test_a_retry_after_that_is_too_long_is_returned_and_pauses_the_key_for_a_minute() -> None:
    """Retry gives up at once; the throttle believes a minute of it; the slot is free."""
    server = ScriptedServer(reply(429, headers={"Retry-After": "3600"}))

    async def main() -> Any:
        async with client(server, Retry(), *GATES) as c:
            answer = await c.get(URL)
            report = seawall.report(answer)
            return answer.status_code, report.gave_up, report.elapsed, known(c.state, Throttle), remembered(c.state)

    status, gave_up, elapsed, rate, after = run(main())
    assert (status, gave_up, elapsed, rate["paused_until"]) == (429, "retry-after", 0, 60)
    assert after[:2] == ((0, 0), 0)


# -- refusals


def test_a_circuit_that_opens_between_two_attempts_ends_the_call() -> None:
    """The repeat is refused before it takes a slot or a start; the report still has the attempt before it."""
    gates = CircuitBreaker(consecutive=1), *GATES[1:]
    result, after = run(ended(ScriptedServer(500), AT_ONCE, *gates))
    assert isinstance(result, CircuitOpen)
    assert [attempt.status for attempt in seawall.report(result).attempts] == [500]
    assert after == ((1, 1), 0, 1)


def test_a_cost_that_can_never_fit_leaves_nothing_behind() -> None:
    """It is an error of the program: not repeated, not counted, no slot kept and no start spent."""
    server = ScriptedServer()
    result, after = run(ended(server, AT_ONCE, *GATES, **asking(cost=11)))
    assert isinstance(result, seawall.OptionError)
    assert (after, server.requests) == (((0, 0), 0, 0), [])


def test_an_unknown_option_reaches_no_policy() -> None:
    """It is refused before the call begins: no policy remembers anything of it."""

    async def main() -> Any:
        async with client(ScriptedServer(), AT_ONCE, *GATES) as c:
            return await outcome(c.get(URL, **asking(time_out=5))), c.state.snapshot()

    result, snapshot = run(main())
    assert isinstance(result, seawall.OptionError)
    assert not isinstance(result, httpx.HTTPError)
    assert snapshot == []


# -- what you do


def test_a_call_cancelled_on_the_wire_has_spent_its_start_only() -> None:
    """The circuit counts nothing, the slot is given back, and the connection is not used again."""
    server, runtime = ScriptedServer(reply(after=60)), VirtualRuntime()

    async def main() -> Any:
        pool = Wire(server)
        async with client(pool, AT_ONCE, *GATES) as c:
            task = runtime.spawn(c.get(URL))
            await runtime.sleep(1)
            task.cancel()
            await runtime.sleep(1)
            after = remembered(c.state)
            return after, (await c.get(URL)).status_code, pool.made

    assert runtime.run(main()) == (((0, 0), 0, 1), 200, 2)


def test_a_call_cancelled_while_its_body_is_read_says_nothing_about_the_server() -> None:
    """The circuit counts nothing, and the slot is given back."""
    server, runtime = ScriptedServer(reply(body=[b"x"] * 9, every=1)), VirtualRuntime()

    async def main() -> Any:
        async with client(server, AT_ONCE, *GATES) as c:
            task = runtime.spawn(c.get(URL))
            await runtime.sleep(3)
            task.cancel()
            await runtime.sleep(1)
            return remembered(c.state)

    assert runtime.run(main()) == ((0, 0), 0, 1)


# -- hops, and what belongs to the caller from its first byte


@pytest.mark.parametrize(
    ("first", "options"),
    [
        (reply(302, [b"moved"], headers={"location": f"{URL}/there"}), {"follow_redirects": True}),
        (
            reply(401, [b"who?"], headers={"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'}),
            {"auth": httpx.DigestAuth("user", "secret")},
        ),
    ],
    ids=["redirect", "auth"],
)
def test_each_hop_is_a_success_with_a_slot_and_a_start_of_its_own(first: Any, options: Any) -> None:
    """A hop gives its slot back before the next asks for one, spends one start, and counts as a success."""
    server = ScriptedServer(first, 503)
    result, after = run(ended(server, AT_ONCE, *GATES, **options))
    assert result.status_code == 200
    assert len(seawall.report(result).attempts) == 3
    assert after == ((3, 1), 0, 3)


@pytest.mark.parametrize(("release_on", "held"), [("body", 1), ("headers", 0)])
@pytest.mark.parametrize(
    ("answer", "failures"),
    [
        (reply(101, [b"hello"]), 0),
        (reply(200, [b"data: 1"], headers={"content-type": "text/event-stream"}), 0),
        (reply(503, [b"data: 1"], headers={"content-type": "text/event-stream"}), 1),
    ],
    ids=["upgrade", "events", "failed events"],
)
def test_upgrades_and_event_streams_are_counted_by_their_status(
    answer: Any, failures: int, release_on: Any, held: int
) -> None:
    """They are never repeated or read ahead; the slot is kept until they are closed, or until their headers."""
    gates = GATES[0], ConcurrencyLimit(1, queue=0, release_on=release_on), GATES[2]
    server = ScriptedServer(answer)

    async def main() -> Any:
        async with client(server, AT_ONCE, *gates, ReadBody(100, chunked=True)) as c:
            async with c.stream("GET", URL):
                counted, in_use, _ = remembered(c.state)
                assert (counted, in_use) == ((failures, failures), held)
            return remembered(c.state)

    assert run(main()) == ((1, failures), 0, 1)
    assert len(server.requests) == 1


def test_a_failed_event_stream_pauses_the_key_as_any_answer_does() -> None:
    """A 503 that is not repeated still says when to come back."""
    headers = {"content-type": "text/event-stream", "retry-after": "7"}

    async def main() -> Any:
        async with client(ScriptedServer(reply(503, headers=headers)), Retry(), Throttle(None)) as c:
            answer = await c.get(URL)
            return answer.status_code, known(c.state, Throttle)["paused_until"]

    assert run(main()) == (503, 7)


# -- the page itself


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_name_the_statuses_that_policies_know(page: Path) -> None:
    """The rows for failed statuses are those of Retry, and say "failure" for those of CircuitBreaker."""
    retried, failures = set(), set()
    for row in STATUS_ROW.finditer(page.read_text(encoding="utf-8")):
        for part in row[1].split(", "):
            first, _, last = part.partition("\N{EN DASH}")
            statuses = set(range(int(first), int(last or first) + 1))
            assert row[2].startswith("repeated")
            retried |= statuses
            failures |= statuses if row[3].startswith("failure") else set()
    assert retried == set(Retry().statuses)
    assert failures == circuit_breaker.FAILED
    assert retried - failures == circuit_breaker.NEUTRAL


def test_every_row_of_the_tables_has_every_column() -> None:
    """No cell is missing, and none is empty but those of the row that refers to another table."""
    rows = [line for line in PAGES[1].read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert {len(row) for row in cells} == {7}
    assert [row[0] for row in cells if not all(row)] == ["in the body"]
