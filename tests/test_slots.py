"""Slots and the line before them: permits are conserved, whatever happens to those who wait for them."""

import asyncio
import contextlib
import gc
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from calls import URL, client, outcome
from hypothesis import given
from hypothesis import strategies as st

import seawall
from seawall import ConcurrencyLimit, QueueFull, WaitTooLong
from seawall._call import Trail
from seawall._circuit import CircuitState
from seawall._options import Options
from seawall._slots import Slots
from seawall.runtime.asyncio import ASYNCIO
from seawall.testing import Cancelled, ScriptedServer, VirtualRuntime, reply

INF = float("inf")


class StubCall:
    """As much of a call as a line needs."""

    def __init__(self, runtime: Any, priority: float = 0) -> None:
        self.runtime = runtime
        self.options = Options(priority=priority)
        self.trail = Trail()

    async def wait(self, waiter: Any, until: float) -> bool:
        return await waiter.wait(until)

    def rejected(self, kind: type, message: str, *, key: Any) -> Exception:
        return kind(message)


async def enter(slots: Slots, runtime: Any, until: float = INF, priority: float = 0) -> None:
    """Take a slot, waiting for it if need be."""
    if not slots.try_enter():
        await slots.enter(StubCall(runtime, priority), until, owner="a test", key=None, flow=None)


calls = st.lists(
    st.tuples(
        st.floats(0, 5),  # arrives
        st.floats(0, 2),  # keeps its slot
        st.none() | st.floats(0, 3),  # waits at most
        st.none() | st.floats(0, 6),  # is cancelled
        st.integers(-1, 1),  # priority
    ),
    max_size=25,
)


@given(limit=st.integers(1, 4), bound=st.none() | st.integers(0, 5), given_calls=calls)
def test_permits_are_conserved(limit: int, bound: int | None, given_calls: list[Any]):
    """Never more than `limit` inside, nobody waits while a slot is free, and in the end every slot is free."""
    runtime, slots, inside = VirtualRuntime(), Slots(limit, bound), 0

    def check() -> None:
        assert inside <= slots.in_use <= limit
        assert slots.waiting <= slots.bound
        assert slots.in_use == limit or not slots.waiting

    async def one(arrives: float, keeps: float, patience: float | None, priority: float) -> None:
        nonlocal inside
        await runtime.sleep(arrives)
        try:
            await enter(slots, runtime, INF if patience is None else runtime.now() + patience, priority)
        except (QueueFull, WaitTooLong):
            return
        inside += 1
        check()
        try:
            await runtime.sleep(keeps)
        finally:
            inside -= 1
            slots.release()
            check()

    async def main() -> None:
        tasks = []
        for arrives, keeps, patience, cancelled, priority in given_calls:
            tasks.append(runtime.spawn(one(arrives, keeps, patience, priority)))
            if cancelled is not None:
                runtime.call_at(cancelled, tasks[-1].cancel)
        for task in tasks:
            with contextlib.suppress(Cancelled):
                await task
        assert (slots.in_use, slots.waiting, inside) == (0, 0, 0)

    runtime.run(main())


@pytest.mark.parametrize("step", range(8))
def test_a_waiter_cancelled_at_any_step_loses_no_slot(step: int):
    """Cancelled before, while or just after it was granted: whatever the moment, the next in line gets the slot."""
    runtime, slots = VirtualRuntime(), Slots(1)

    async def main() -> bool:
        await enter(slots, runtime)
        first = runtime.spawn(enter(slots, runtime))
        second = runtime.spawn(enter(slots, runtime))
        for moment in range(8):
            if moment == step:
                first.cancel()
            if moment == 4:
                slots.release()
            else:
                await runtime.sleep(0)
        if first.done and first._error is None:  # it was inside already
            slots.release()
        await runtime.sleep(0)
        return second.done

    assert runtime.run(main())
    assert (slots.in_use, slots.waiting) == (1, 0)


def test_a_waiter_cancelled_just_after_its_grant_passes_it_on():
    """The grant is decided, the wake delivered, and the task cancelled before it runs: the next one is woken."""
    runtime, slots = VirtualRuntime(), Slots(1)

    async def main() -> None:
        await enter(slots, runtime)
        waiting = [runtime.spawn(enter(slots, runtime)) for _ in range(3)]
        await runtime.sleep(0)
        slots.release()  # grants the first
        waiting[0].cancel()
        waiting[1].cancel()
        await waiting[2]
        assert (slots.in_use, slots.waiting) == (1, 0)

    runtime.run(main())


def test_asyncio_s_cancellation_in_the_tick_of_the_grant_passes_it_on():
    """The same under asyncio, where the cancelled task may find its future already resolved."""

    async def main() -> None:
        slots = Slots(1)
        await enter(slots, ASYNCIO)
        first, second = (asyncio.ensure_future(enter(slots, ASYNCIO)) for _ in range(2))
        await asyncio.sleep(0)
        slots.release()
        first.cancel()
        await second
        assert first.cancelled()
        assert (slots.in_use, slots.waiting) == (1, 0)

    asyncio.run(main())


def test_a_deadline_in_the_instant_of_the_grant_is_no_loss():
    """A call granted its slot at its very deadline keeps it: a slot is never given to nobody."""
    runtime, slots = VirtualRuntime(), Slots(1)

    async def main() -> None:
        await enter(slots, runtime)
        waiting = runtime.spawn(enter(slots, runtime, until=1.0))
        runtime.call_at(1.0, slots.release)
        await runtime.sleep(2)
        assert waiting.done
        assert slots.in_use == (waiting._error is None)
        assert slots.waiting == 0

    runtime.run(main())


def test_a_wake_whose_loop_is_closed_passes_the_slot_on():
    """A waiter of an event loop that is no more cannot be woken; the next in line gets the slot, and keeps it."""
    slots, gone = Slots(1), asyncio.new_event_loop()
    assert slots.try_enter()
    stranded = gone.create_task(enter(slots, ASYNCIO))
    gone.run_until_complete(asyncio.sleep(0))
    gone.close()

    async def main() -> None:
        waiting = asyncio.ensure_future(enter(slots, ASYNCIO))
        await asyncio.sleep(0)
        assert slots.waiting == 2
        slots.release()
        await asyncio.wait_for(waiting, 30)

    asyncio.run(main())
    assert (slots.in_use, slots.waiting) == (1, 0)
    stranded._log_destroy_pending = False
    del stranded
    gc.collect()
    assert slots.in_use == 1


def test_a_slot_and_its_next_owner_dropped_together_come_back_once():
    """A holder is dropped, then the one in line, whose loop is closed: one slot comes back, not two."""
    slots, gone = Slots(1), asyncio.new_event_loop()
    assert slots.try_enter()
    coroutine = enter(slots, ASYNCIO)
    stranded = gone.create_task(coroutine)
    gone.run_until_complete(asyncio.sleep(0))
    gone.close()
    stranded._log_destroy_pending = False
    with slots._lock:  # a collector interrupts one who holds it
        slots.abandon()
        coroutine.close()
    assert slots.try_enter() or slots.try_enter()  # the first may look before it takes back what was dropped
    assert (slots.in_use, slots.waiting) == (1, 0)


def test_a_grant_is_decided_under_the_lock_and_its_wake_delivered_outside():
    """Waking may run code of ours or of an event loop's: never under the lock."""
    slots, seen = Slots(1), []

    class Looking:
        def wake(self) -> bool:
            seen.append(slots._lock.locked())
            return True

    slots.try_enter()
    runtime = VirtualRuntime()

    async def main() -> None:
        runtime.waiter = lambda: SimpleNamespace(wait=VirtualRuntime.waiter(runtime).wait, wake=Looking().wake)
        runtime.spawn(enter(slots, runtime))
        await VirtualRuntime.sleep(runtime, 0)
        slots.release()

    runtime.run(main())
    assert seen == [False]


class Interrupted:
    """A lock that is interrupted by the collector whenever it is held, and refuses to deadlock."""

    def __init__(self, collect: Any) -> None:
        self._lock = threading.Lock()
        self._collect = collect

    def acquire(self, blocking: bool = True) -> bool:
        taken = self._lock.acquire(blocking=False)
        assert taken or not blocking, "this thread waits for a lock that it holds itself"
        if blocking:
            self._collect()
        return taken

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


@pytest.mark.parametrize("interrupted", ["try_enter", "enter", "release", "leave"])
def test_a_del_that_runs_while_its_thread_holds_the_lock_does_not_deadlock(interrupted: str):
    """The collector strikes inside our critical section: the slot comes back, and who waits for it is woken."""
    runtime, slots, dropped = VirtualRuntime(), Slots(2), []

    class Response:
        """Garbage in a cycle, holding a slot."""

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            slots.abandon()

    def collect() -> None:
        while dropped:
            dropped.pop()
            gc.collect()

    async def main() -> None:
        slots.try_enter()
        slots.try_enter()
        waiting = runtime.spawn(enter(slots, runtime))
        late = runtime.spawn(enter(slots, runtime, until=5)) if interrupted == "leave" else None
        await runtime.sleep(0)
        dropped.append(Response())
        slots._lock = Interrupted(collect)
        if interrupted == "try_enter":
            assert not slots.try_enter()
        elif interrupted == "release":
            slots.release()
        elif interrupted == "enter":
            again = runtime.spawn(slots.enter(StubCall(runtime), INF, owner="a test", key=None, flow=None))
            await runtime.sleep(0)
            assert not again.done
        else:
            late.cancel()
            await runtime.sleep(0)
        assert not dropped
        await waiting

    runtime.run(main())


def test_an_orphaned_slot_is_handed_on_by_another_thread_s_lock_holder():
    """A `__del__` that finds the lock taken leaves the slot to whoever holds it."""
    slots = Slots(1)
    slots.try_enter()
    slots._lock.acquire()
    slots.abandon()
    assert slots.in_use == 1
    slots._lock.release()
    assert not slots.try_enter()  # drains
    assert slots.try_enter()


def test_a_circuit_s_orphans_take_no_lock():
    """A dropped response reports to its circuit without waiting for the lock that its own thread may hold."""
    circuit = CircuitState(seawall.CircuitBreaker())
    admission = circuit.admit(SimpleNamespace(guard=None))
    with circuit._lock:
        admission.abandon()
    assert list(circuit.orphans) == [admission]


def drop(responses: list[Any]) -> None:
    """Let go of them, and have the collector find them."""
    responses.clear()
    gc.collect()


def test_a_dropped_response_gives_its_slot_back_once_collected():
    """Dropping a response without closing it is a ResourceWarning, and the call that waits for its slot proceeds."""
    runtime, server = VirtualRuntime(), ScriptedServer(then=reply(body=[b"a", b"b"]))

    async def main() -> Any:
        async with client(server, ConcurrencyLimit(1)) as c:
            responses = [await c.send(c.build_request("GET", URL), stream=True)]
            waiting = runtime.spawn(outcome(c.get(URL)))
            await runtime.sleep(1)
            assert not waiting.done
            with pytest.warns(ResourceWarning, match="dropped without being read or closed"):
                drop(responses)
            return await waiting

    assert runtime.run(main()).status_code == 200
    assert len(server.requests) == 2


def test_slots_show_their_state():
    """repr and snapshot tell the limit, what is in use and who waits."""
    slots = Slots(3)
    slots.try_enter()
    assert repr(slots) == "<Slots 1/3 in use, 0 waiting>"
    assert slots.snapshot() == {"limit": 3, "in_use": 1, "waiting": 0}
    assert not slots.idle(0)
