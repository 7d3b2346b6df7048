"""The test kit: virtual time, scripted servers, recorded events, and pytest's fixtures for them."""

import contextvars
import subprocess
import sys
from typing import Any

import httpx
import pytest
from drivers import run
from hypothesis import given
from hypothesis import strategies as st

import seawall
from seawall import CircuitBreaker, Retry, Stack, Timeout
from seawall._errors import Expired
from seawall.httpx import AsyncClient, Client
from seawall.testing import Cancelled, Recorder, Reply, ScriptedServer, VirtualRuntime, reply

URL = "https://api.example.com/items"


# -- virtual time


def test_virtual_time_takes_no_time() -> None:
    """A thousand years of sleep are over at once, and exactly that long on the runtime's clock."""
    runtime = VirtualRuntime()

    async def main() -> str:
        await runtime.sleep(3e10)
        return "awake"

    assert runtime.run(main()) == "awake"
    assert runtime.now() == 3e10


def test_virtual_time_starts_where_it_is_told() -> None:
    """`start=` sets the clock, and time goes on from run to run."""
    runtime = VirtualRuntime(start=100)

    async def main() -> None:
        await runtime.sleep(1)

    runtime.run(main())
    runtime.run(main())
    assert runtime.now() == 102


def busy(seed: int) -> list[Any]:
    """What a busy hour looks like: several clients, retries with jitter, a breaker."""
    runtime, recorder = VirtualRuntime(seed=seed), Recorder()
    server = ScriptedServer(then=lambda request: reply(503 if runtime.random() < 0.5 else 200, after=runtime.random()))
    stack = Stack(Timeout(30), Retry(3), CircuitBreaker(minimum_calls=5), Timeout(0.9))
    client = AsyncClient(stack, transport=server, listeners=[recorder])

    async def one(number: int) -> int | str:
        await runtime.sleep(runtime.random())
        try:
            return (await client.get(f"{URL}/{number}")).status_code
        except httpx.TransportError as error:
            return type(error).__name__

    async def main() -> list[Any]:
        tasks = [runtime.spawn(one(number)) for number in range(20)]
        return [await task for task in tasks]

    outcomes = runtime.run(main())
    changes = [(change.old, change.new) for change in recorder.of(seawall.CircuitChanged)]
    return [outcomes, changes, [(r.at, r.url) for r in server.requests], runtime.now()]


def test_a_run_repeats_exactly_with_its_seed() -> None:
    """The same seed gives the same run to the last microsecond, another seed another run."""
    assert busy(seed=1) == busy(seed=1)
    assert busy(seed=1) != busy(seed=2)


def test_tasks_run_in_a_fixed_order_one_at_a_time() -> None:
    """Tasks take turns in the order in which they became ready; timers of one time in the order they were set."""
    runtime, seen = VirtualRuntime(), []

    async def worker(name: str, pause: float) -> str:
        for step in range(3):
            seen.append(f"{name}{step}")
            await runtime.sleep(pause)
        return name

    async def main() -> list[str]:
        tasks = [runtime.spawn(worker(name, pause)) for name, pause in [("a", 1), ("b", 1), ("c", 1.5)]]
        return [await task for task in tasks]

    assert runtime.run(main()) == ["a", "b", "c"]
    assert seen == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]
    assert runtime.now() == 4.5


def test_a_sleep_of_zero_lets_the_others_run() -> None:
    """`sleep(0)` gives every other ready task its turn first."""
    runtime, seen = VirtualRuntime(), []

    async def other() -> None:
        seen.append("other")

    async def main() -> None:
        runtime.spawn(other())
        seen.append("main")
        await runtime.sleep(0)
        seen.append("main again")

    runtime.run(main())
    assert seen == ["main", "other", "main again"]


def test_a_task_gives_its_result_or_its_error() -> None:
    """Awaiting a task, or asking for its result, gives what its coroutine returned or raised."""
    runtime = VirtualRuntime()

    async def fine() -> int:
        await runtime.sleep(1)
        return 7

    async def broken() -> None:
        raise ValueError("broken")

    async def main() -> None:
        good, bad = runtime.spawn(fine(), "good"), runtime.spawn(broken())
        with pytest.raises(RuntimeError, match="<Task good running> has not ended yet"):
            good.result()
        assert await good == 7
        assert (good.result(), good.done, repr(good)) == (7, True, "<Task good done>")
        with pytest.raises(ValueError, match="broken"):
            await bad

    runtime.run(main())


def test_what_main_raises_comes_out_of_run() -> None:
    """An error of the main coroutine is raised by `run`, and the runtime is usable after it."""
    runtime = VirtualRuntime()

    async def broken() -> None:
        raise ValueError("broken")

    async def fine() -> int:
        return 1

    with pytest.raises(ValueError, match="broken"):
        runtime.run(broken())
    assert runtime.run(fine()) == 1


def test_cancelling_a_task_raises_where_it_waits() -> None:
    """`cancel()` raises `Cancelled` inside, which no `except Exception` swallows; what it holds is given back."""
    runtime, seen = VirtualRuntime(), []

    async def worker() -> None:
        try:
            await runtime.sleep(100)
        except Exception:
            seen.append("swallowed")
        finally:
            seen.append(runtime.now())

    async def main() -> None:
        task = runtime.spawn(worker())
        await runtime.sleep(3)
        task.cancel()
        with pytest.raises(Cancelled):
            await task
        task.cancel()  # of no effect: it is over

    runtime.run(main())
    assert seen == [3]


def test_a_task_cancelled_before_its_first_step_never_runs() -> None:
    """A cancellation that comes before the first step is raised at that step."""
    runtime, seen = VirtualRuntime(), []

    async def worker() -> None:
        seen.append("ran")

    async def main() -> None:
        task = runtime.spawn(worker())
        task.cancel()
        with pytest.raises(Cancelled):
            await task

    runtime.run(main())
    assert seen == []


def test_a_cancelled_call_gives_everything_back() -> None:
    """A call that is cancelled on the wire or in line leaves no permit in use and is no failure of the circuit."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(after=50))
    stack = Stack(CircuitBreaker(consecutive=1), seawall.ConcurrencyLimit(1))
    client = AsyncClient(stack, transport=server)

    async def main() -> None:
        tasks = [runtime.spawn(client.get(URL)) for _ in range(2)]
        await runtime.sleep(1)
        for task in reversed(tasks):
            task.cancel()
        await runtime.sleep(1)

    runtime.run(main())
    by_policy = {entry["policy"]: entry for entry in client.state.snapshot()}
    assert by_policy["ConcurrencyLimit"]["in_use"] == by_policy["ConcurrencyLimit"]["waiting"] == 0
    assert by_policy["CircuitBreaker"]["state"] == "closed"


def test_tasks_left_over_are_cancelled_when_main_ends() -> None:
    """`run` leaves nothing running: what `main` did not wait for is cancelled."""
    runtime, seen = VirtualRuntime(), []

    async def endless() -> None:
        try:
            await runtime.sleep(1e9)
        finally:
            seen.append("ended")

    async def main() -> None:
        runtime.spawn(endless())
        await runtime.sleep(1)

    runtime.run(main())
    assert seen == ["ended"]
    assert runtime.now() == 1


def test_a_deadlock_is_an_error_that_lists_who_waits() -> None:
    """When every task waits for ever, `run` says so, with the time and the tasks."""
    runtime = VirtualRuntime()

    async def main() -> None:
        await runtime.sleep(2)
        await runtime.waiter().wait(float("inf"))

    with pytest.raises(RuntimeError, match=r"every task waits for ever at 2 s: <Task main running>"):
        runtime.run(main())


def test_awaiting_something_of_asyncio_is_an_error_that_shows_it() -> None:
    """A task that awaits another event loop's things is told so, by name."""

    class Foreign:
        def __await__(self) -> Any:
            yield "a future of asyncio"

    async def main() -> None:
        await Foreign()

    with pytest.raises(RuntimeError, match=r"<Task main .*> awaited something of another event loop: 'a future of as"):
        VirtualRuntime().run(main())


def test_a_waiter_is_woken_once_or_times_out() -> None:
    """A waiter returns True when woken, even before it waits, and False at its time."""
    runtime = VirtualRuntime()

    async def main() -> list[Any]:
        early, late, never = runtime.waiter(), runtime.waiter(), runtime.waiter()
        early.wake()
        runtime.call_at(5, late.wake)
        return [
            (await early.wait(1), runtime.now()),
            (await late.wait(9), runtime.now()),
            (await never.wait(7), runtime.now()),
        ]

    assert runtime.run(main()) == [(True, 0), (True, 5), (False, 7)]


def test_a_timer_can_be_cancelled() -> None:
    """`call_at` calls back at its time, at once if that has passed, and not at all once cancelled."""
    runtime, seen = VirtualRuntime(start=10), []

    async def main() -> None:
        runtime.call_at(3, lambda: seen.append(runtime.now()))
        runtime.call_at(12, lambda: seen.append(runtime.now()))
        runtime.call_at(11, lambda: seen.append("cancelled")).cancel()
        await runtime.sleep(5)

    runtime.run(main())
    assert seen == [10, 12]


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(1, 8), st.integers(0, 9)), min_size=1, max_size=12
    )  # when it begins, how long it may take, how long it takes
)
def test_deadlines_are_kept_in_whatever_order_they_come(works: list[tuple[int, int, int]]) -> None:
    """Each is interrupted at its own deadline, if it is not over by then, whatever other deadlines stand around it."""
    runtime, ends = VirtualRuntime(), {}

    async def work(number: int, begin: int, most: int, takes: int) -> None:
        await runtime.sleep(begin)
        try:
            await runtime.within(runtime.sleep(takes + 0.5), runtime.now() + most)
            ends[number] = ("over", runtime.now())
        except Expired:
            ends[number] = ("expired", runtime.now())

    async def main() -> None:
        for task in [runtime.spawn(work(number, *each)) for number, each in enumerate(works)]:
            await task

    runtime.run(main())
    assert ends == {
        number: ("expired", begin + most) if most < takes + 0.5 else ("over", begin + takes + 0.5)
        for number, (begin, most, takes) in enumerate(works)
    }


def test_a_deadline_that_is_waited_for_for_long_holds_up_no_other() -> None:
    """Who takes long to leave after the first deadline does not make the second one late."""
    runtime, seen = VirtualRuntime(), []

    async def slow_to_leave() -> None:
        try:
            await runtime.sleep(100)
        finally:
            await runtime.sleep(50)

    async def bounded(work: Any, until: float) -> None:
        try:
            await runtime.within(work, until)
        except Expired:
            seen.append(runtime.now())

    async def main() -> None:
        tasks = [runtime.spawn(bounded(slow_to_leave(), 1)), runtime.spawn(bounded(runtime.sleep(100), 2))]
        for task in tasks:
            await task

    runtime.run(main())
    assert seen == [2, 51]


def test_a_run_can_be_driven_from_outside() -> None:
    """`advance` runs what comes before a time, which it then is; the rest waits for the next stretch."""
    runtime, seen = VirtualRuntime(), []

    async def worker() -> None:
        for _ in range(3):
            await runtime.sleep(1)
            seen.append(runtime.now())

    runtime.spawn(worker())
    runtime.advance(2)
    assert (seen, runtime.now()) == ([1], 2)
    runtime.advance(2.5)
    assert (seen, runtime.now()) == ([1, 2], 2.5)
    runtime.advance(10)
    assert (seen, runtime.now()) == ([1, 2, 3], 10)


def test_a_run_that_goes_round_in_circles_is_stopped() -> None:
    """`advance(most=...)` is an error once tasks have taken so many steps."""
    runtime = VirtualRuntime()

    async def restless() -> None:
        while True:
            await runtime.sleep(0)

    runtime.spawn(restless())
    with pytest.raises(RuntimeError, match=r"more than 100 steps on the way to 5 s, and it is still 0 s: something"):
        runtime.advance(5, most=100)


# -- scripted servers


def test_a_script_is_answered_step_by_step() -> None:
    """Statuses, replies, exceptions, exception types and functions of the request are steps; then `then` answers."""
    broken = httpx.ReadError("broken")
    server = ScriptedServer(
        204, reply(201, b"made"), broken, httpx.ConnectError, lambda request: int(request.url.path[1:]), then=500
    )
    with httpx.Client(transport=server) as client:
        assert client.get(URL).status_code == 204
        assert client.get(URL).content == b"made"
        with pytest.raises(httpx.ReadError) as caught:
            client.get(URL)
        assert caught.value is broken
        with pytest.raises(httpx.ConnectError, match="scripted"):
            client.get(URL)
        assert client.get("https://a.example/418").status_code == 418
        assert [client.get(URL).status_code for _ in range(2)] == [500, 500]
    assert repr(server) == "<ScriptedServer 7 requests, 0 steps left>"


def test_a_server_remembers_what_it_received() -> None:
    """Each request is kept with its time, method, URL, headers and content."""
    server = ScriptedServer()

    async def main() -> None:
        await runtime.sleep(3)
        async with httpx.AsyncClient(transport=server) as client:
            await client.post(URL, content=b"body", headers={"X-Name": "value"})

    runtime = VirtualRuntime()
    runtime.run(main())
    [received] = server.requests
    assert (received.at, received.method, received.url, received.content) == (3, "POST", URL, b"body")
    assert received.headers["x-name"] == "value"
    assert server.closed


def test_a_reply_takes_its_time_and_may_break() -> None:
    """`after` is before the headers, `every` before each chunk, `breaks` is raised in place of the end."""
    runtime = VirtualRuntime()
    server = ScriptedServer(reply(body=[b"a", b"b"], after=1, every=2, breaks=httpx.ReadError, headers={"x": "y"}))

    async def main() -> None:
        async with httpx.AsyncClient(transport=server) as client, client.stream("GET", URL) as response:
            assert (runtime.now(), server.open, response.headers["x"]) == (1, 1, "y")
            assert "content-length" not in response.headers
            chunks = response.aiter_raw()
            assert [await anext(chunks), await anext(chunks)] == [b"a", b"b"]
            with pytest.raises(httpx.ReadError, match="scripted"):
                await anext(chunks)

    runtime.run(main())
    assert (runtime.now(), server.open) == (5, 0)


def test_a_server_serves_every_driver(driver: str) -> None:
    """One class of server answers sync, asyncio and virtual-time clients, and counts its open bodies."""
    server = ScriptedServer(reply(body=[b"a", b"b"]))

    async def main() -> bytes:
        async with AsyncClient(Stack(Retry()), transport=server) as client, client.stream("GET", URL) as response:
            assert server.open == 1
            return await response.aread()

    if driver == "threads":
        with Client(Stack(Retry()), transport=server) as client, client.stream("GET", URL) as response:
            assert server.open == 1
            body = response.read()
    else:
        body = run(driver, main)
    assert (body, server.open, server.closed) == (b"ab", 0, True)


def test_reply_is_the_short_form_of_a_reply() -> None:
    """`reply` takes one chunk or several, and the options of `Reply`."""
    assert reply(201, b"x") == Reply(status=201, body=(b"x",))
    assert reply(body=[b"x", b"y"], after=1) == Reply(body=(b"x", b"y"), after=1)


# -- recorder and fixtures


def test_a_recorder_remembers_events() -> None:
    """A Recorder is a listener that keeps events in order, gives those of one kind, and can forget."""
    recorder = Recorder()
    with Client(Stack(Retry(2, wait=lambda _: 0.0)), transport=ScriptedServer(503), listeners=[recorder]) as client:
        client.get(URL)
    assert [type(event).__name__ for event in recorder.events] == ["RetryScheduled", "CallEnded"]
    assert [event.attempt for event in recorder.of(seawall.RetryScheduled)] == [1]
    assert recorder.of(seawall.Event) == recorder.events
    assert repr(recorder) == "<Recorder 2 events>"
    recorder.clear()
    assert recorder.events == []


def test_fixtures_give_fresh_ones(seawall_runtime: Any, seawall_server: Any, seawall_recorder: Any) -> None:
    """The plugin's fixtures are a virtual runtime of seed 0, the server class, and an empty recorder."""
    assert isinstance(seawall_runtime, VirtualRuntime)
    assert seawall_runtime.random() == VirtualRuntime(seed=0).random()
    assert seawall_server is ScriptedServer
    assert isinstance(seawall_recorder, Recorder)
    assert seawall_recorder.events == []


def test_the_plugin_loads_no_http_library() -> None:
    """Every pytest run on the machine loads the plugin: it must not load an HTTP library for them."""
    script = "import sys, seawall.testing.plugin; print({'httpx', 'httpx2', 'httpcore'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("set()\n", "")


def test_each_task_has_a_context_of_its_own() -> None:
    """What a task sets in a context variable no other sees, and it begins with what its maker had set."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
    runtime = VirtualRuntime()

    async def child(name: str) -> tuple[str, str]:
        found = variable.get()
        variable.set(name)
        await runtime.sleep(1)
        return found, variable.get()

    async def main() -> Any:
        variable.set("parent's")
        tasks = [runtime.spawn(child(name)) for name in ("first", "second")]
        return [await task for task in tasks], variable.get()

    assert runtime.run(main()) == ([("parent's", "first"), ("parent's", "second")], "parent's")
    assert variable.get() == "nothing"
