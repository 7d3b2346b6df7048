"""Events: what listeners hear, in which order, and what the logger `seawall` writes."""

import contextlib
import logging
from dataclasses import FrozenInstanceError
from typing import Any

import httpx
import pybreaker
import pytest
import tenacity

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, Retry, RetryBudget, Stack, State, Throttle, Timeout
from seawall.httpx import AsyncClient, Client
from seawall.testing import Recorder, ScriptedServer, VirtualRuntime, reply

URL = "https://api.example.com/items"
ORIGIN = "https://api.example.com"
KINDS = [
    seawall.RetryScheduled,
    seawall.GaveUp,
    seawall.CallRejected,
    seawall.Paused,
    seawall.CircuitChanged,
    seawall.CallEnded,
]


def told(server: ScriptedServer, *policies: Any, calls: int = 1, **options: Any) -> list[seawall.Event]:
    """The events of calls made one after the other in virtual time."""
    recorder = Recorder()
    client = AsyncClient(Stack(*policies), transport=server, listeners=[recorder])

    async def main() -> None:
        for _ in range(calls):
            with contextlib.suppress(httpx.TransportError, seawall.SeawallError):
                await client.request(options.get("method", "GET"), URL)

    VirtualRuntime().run(main())
    return recorder.events


# -- each event


def test_a_retry_is_told_before_it_is_waited_for() -> None:
    """RetryScheduled tells which attempt failed, how, and how long until the next."""
    scheduled, again, ended = told(
        ScriptedServer(503, httpx.ConnectError("refused")), Retry(wait=tenacity.wait_fixed(2))
    )
    assert scheduled == seawall.RetryScheduled(endpoint="*", key=ORIGIN, attempt=1, wait=2, status=503, error=None)
    assert again == seawall.RetryScheduled(
        endpoint="*", key=ORIGIN, attempt=2, wait=2, status=None, error="ConnectError"
    )
    assert isinstance(ended, seawall.CallEnded)


def test_giving_up_is_told_with_the_reason() -> None:
    """GaveUp tells the attempt that was the last, and why."""
    events = told(ScriptedServer(then=503), Retry(), method="POST")
    assert events[0] == seawall.GaveUp(endpoint="*", key=ORIGIN, attempt=1, reason="method")


def test_a_rejection_is_told_with_the_name_of_its_error() -> None:
    """CallRejected tells which rejection it was and when a call has a chance."""
    events = told(ScriptedServer(then=503), CircuitBreaker(consecutive=1, open_for=10), calls=2)
    [rejected] = [event for event in events if isinstance(event, seawall.CallRejected)]
    assert (rejected.reason, rejected.key, rejected.endpoint) == ("CircuitOpen", ORIGIN, "*")
    assert 8 <= rejected.retry_after <= 12


def test_a_full_queue_and_a_long_wait_are_rejections_too() -> None:
    """QueueFull and WaitTooLong are told as they happen."""
    recorder = Recorder()
    limit = ConcurrencyLimit(1, queue=1, max_wait=2)
    client = AsyncClient(Stack(limit), transport=ScriptedServer(then=reply(after=9)), listeners=[recorder])

    async def one() -> None:
        with contextlib.suppress(seawall.Rejected):
            await client.get(URL)

    async def main() -> None:
        for _ in range(3):
            runtime.spawn(one())
        await runtime.sleep(20)

    runtime = VirtualRuntime()
    runtime.run(main())
    assert [event.reason for event in recorder.of(seawall.CallRejected)] == ["QueueFull", "WaitTooLong"]


def test_a_pause_is_told_once() -> None:
    """Paused tells for how long the server asked; further answers that ask for no more do not tell it again."""
    recorder = Recorder()
    script = [reply(429, after=1, headers={"Retry-After": text}) for text in ("7", "7", "3", "9")]
    client = AsyncClient(Stack(Throttle(None)), transport=ScriptedServer(*script), listeners=[recorder])

    async def main() -> None:
        for task in [runtime.spawn(client.get(URL)) for _ in script]:
            await task

    runtime = VirtualRuntime()
    runtime.run(main())
    assert recorder.of(seawall.Paused) == [
        seawall.Paused(endpoint="*", key=ORIGIN, seconds=7),
        seawall.Paused(endpoint="*", key=ORIGIN, seconds=9),
    ]


def test_a_circuits_way_is_told_in_order() -> None:
    """CircuitChanged tells every transition of a circuit, with its key."""
    recorder, server = Recorder(), ScriptedServer(503, 503)
    stack = Stack(CircuitBreaker(consecutive=1, open_for=10))
    client = AsyncClient(stack, transport=server, listeners=[recorder])

    async def main() -> None:
        await client.get(URL)
        await runtime.sleep(15)
        await client.get(URL)
        await runtime.sleep(30)
        await client.get(URL)

    runtime = VirtualRuntime()
    runtime.run(main())
    changes = recorder.of(seawall.CircuitChanged)
    assert {change.key for change in changes} == {ORIGIN}
    assert [(change.old, change.new) for change in changes] == [
        ("closed", "open"),
        ("open", "half-open"),
        ("half-open", "open"),
        ("open", "half-open"),
        ("half-open", "closed"),
    ]


def test_an_operators_hand_is_told_too() -> None:
    """Transitions that an operator makes are told as those the calls make."""
    recorder = Recorder()
    with Client(Stack(CircuitBreaker()), transport=ScriptedServer(), listeners=[recorder]) as client:
        client.get(URL)
        circuit = client.state.circuit(ORIGIN)
        circuit.isolate()
        circuit.isolate()
        circuit.reset()
    changes = [(change.old, change.new) for change in recorder.of(seawall.CircuitChanged)]
    assert changes == [("closed", "isolated"), ("isolated", "closed")]


def test_the_end_of_each_call_is_told_with_its_report() -> None:
    """CallEnded comes once per call, last, with the report, and the status or the error's name."""
    answered, failed = told(ScriptedServer(204, httpx.ReadError("broken")), Timeout(5), calls=2)
    assert isinstance(answered, seawall.CallEnded)
    assert (answered.status, answered.error, answered.key, answered.endpoint) == (204, None, ORIGIN, "*")
    assert [attempt.status for attempt in answered.report.attempts] == [204]
    assert isinstance(failed, seawall.CallEnded)
    assert (failed.status, failed.error) == (None, "ReadError")


def test_events_are_frozen_records_of_a_key_and_an_endpoint() -> None:
    """Every event is an immutable `Event` with an endpoint and a key, and can be hashed as it is."""
    for kind in KINDS:
        assert issubclass(kind, seawall.Event)
        assert {"endpoint", "key"} <= kind.__dataclass_fields__.keys()
    event = seawall.GaveUp(endpoint="*", key=ORIGIN, attempt=1, reason="method")
    assert {event: 1}[event] == 1
    with pytest.raises(FrozenInstanceError):
        event.reason = "x"  # type: ignore[misc]


# -- who hears


def test_listeners_hear_in_order_and_a_raising_one_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A listener that raises is logged; the call, its own later events and the other listeners go on."""
    before, after = Recorder(), Recorder()
    heard: list[str] = []

    def broken(event: seawall.Event) -> None:
        heard.append(type(event).__name__)
        raise RuntimeError("a broken listener")

    stack = Stack(Retry(wait=tenacity.wait_none()), CircuitBreaker(consecutive=1, shadow=True))
    listeners = [before, broken, after]
    with Client(stack, transport=ScriptedServer(503), listeners=listeners) as client:
        assert client.get(URL).status_code == 200
    assert before.events == after.events
    assert heard == ["CircuitChanged", "RetryScheduled", "CallEnded"]
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage() for record in errors] == [f"a seawall listener raised on {name}" for name in heard]
    assert errors[0].exc_info
    assert client.state.circuit(ORIGIN).state == "open"


def test_a_raising_pybreaker_listener_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A pybreaker listener that raises is logged, and the next one and ours still hear of the transition."""
    seen: list[tuple[str, str]] = []

    class Broken(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            raise RuntimeError("a broken listener")

    class Sound(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            seen.append((old_state.name, new_state.name))

    recorder = Recorder()
    stack = Stack(CircuitBreaker(consecutive=1, listeners=[Broken(), Sound()]))
    with Client(stack, transport=ScriptedServer(503), listeners=[recorder]) as client:
        assert client.get(URL).status_code == 503
        assert client.state.circuit(ORIGIN).state == "open"
    assert seen == [("closed", "open")]
    assert len(recorder.of(seawall.CircuitChanged)) == 1
    assert "a circuit listener raised on closed -> open" in caplog.messages


def test_listeners_of_a_shared_state_hear_each_others_circuits() -> None:
    """A circuit that two clients share tells the listeners of both; other events go to the client's own."""
    state, one, two = State(), Recorder(), Recorder()
    stack = Stack(Retry(1), CircuitBreaker(consecutive=1))
    first = Client(stack, transport=ScriptedServer(503), state=state, listeners=[one])
    second = Client(stack, transport=ScriptedServer(), state=state, listeners=[two])
    with first, second:
        first.get(URL)
        with pytest.raises(seawall.CircuitOpen):
            second.get(URL)
    assert one.of(seawall.CircuitChanged) == two.of(seawall.CircuitChanged) != []
    assert (len(one.of(seawall.GaveUp)), len(two.of(seawall.GaveUp))) == (1, 0)
    assert (len(one.of(seawall.CallRejected)), len(two.of(seawall.CallRejected))) == (0, 1)


def test_a_closed_client_hears_no_more() -> None:
    """The listeners of a client that was closed are let go, while those of the others of its State stay."""
    state, gone, present = State(), Recorder(), Recorder()
    stack = Stack(CircuitBreaker(consecutive=1))
    with Client(stack, transport=ScriptedServer(), state=state, listeners=[gone]) as client:
        client.get(URL)
    with Client(stack, transport=ScriptedServer(503), state=state, listeners=[present]) as client:
        gone.clear()
        client.get(URL)
    assert gone.events == []
    assert len(present.of(seawall.CircuitChanged)) == 1


def test_a_client_of_several_transports_tells_a_circuit_once() -> None:
    """Proxies and mounts give a client several transports; its listeners hear of a transition once all the same."""
    recorder = Recorder()
    stack = Stack(CircuitBreaker(consecutive=1))
    mounts = {"https://": ScriptedServer(503), "http://": ScriptedServer()}
    with Client(stack, transport=ScriptedServer(), mounts=mounts, listeners=[recorder]) as client:
        client.get(URL)
    assert len(recorder.of(seawall.CircuitChanged)) == 1


def test_a_listener_may_look_at_and_steer_what_it_hears_of() -> None:
    """Listeners run outside of every lock: one may read the state and close the circuit it just heard open."""
    state = State()

    def forgiving(event: seawall.Event) -> None:
        if isinstance(event, seawall.CircuitChanged) and event.new == "open":
            assert state.snapshot()
            state.circuit(event.key).reset()

    stack = Stack(CircuitBreaker(consecutive=1))
    with Client(stack, transport=ScriptedServer(503), state=state, listeners=[forgiving]) as client:
        client.get(URL)
        assert client.get(URL).status_code == 200


# -- the logger


def levels(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "seawall"]


def test_retries_and_giving_up_are_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """What happens every day is DEBUG, on the logger `seawall`."""
    caplog.set_level(logging.DEBUG, logger="seawall")
    told(ScriptedServer(503, httpx.ConnectError("refused"), then=503), Retry(3, wait=tenacity.wait_fixed(2)))
    assert levels(caplog) == [
        ("DEBUG", f"attempt 1 at {ORIGIN} failed (503); next in 2 s"),
        ("DEBUG", f"attempt 2 at {ORIGIN} failed (ConnectError); next in 2 s"),
        ("DEBUG", f"gave up on {ORIGIN} after attempt 3: attempts"),
    ]


def test_an_exhausted_budget_is_logged_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """An operator should know when retries are cut off."""
    told(ScriptedServer(then=500), Retry(budget=RetryBudget(capacity=1)))
    assert levels(caplog) == [("WARNING", f"gave up on {ORIGIN} after attempt 1: budget")]


def test_circuit_transitions_are_logged_as_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """An operator should know when a circuit opens."""
    told(ScriptedServer(503), CircuitBreaker(consecutive=1))
    assert levels(caplog) == [("WARNING", f"circuit {ORIGIN}: closed -> open")]


def test_a_call_that_goes_well_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Silence means that all is well."""
    caplog.set_level(logging.DEBUG, logger="seawall")
    told(ScriptedServer(), *seawall.standard())
    assert levels(caplog) == []


def test_the_logger_has_no_handlers_of_its_own() -> None:
    """Where messages go is the application's choice."""
    assert logging.getLogger("seawall").handlers == []
    assert logging.getLogger("seawall").level == logging.NOTSET
