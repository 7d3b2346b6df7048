"""Virtual time: the same policies and transports on a clock that jumps.

Tasks run one at a time in a fixed order; when all of them wait, the clock jumps to the next timer. Randomness is
seeded. So a run takes no real time and repeats exactly.
"""

import heapq
import itertools
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Hashable
from contextvars import copy_context
from random import Random
from typing import Any, Generic, TypeVar

from .._errors import Expired
from .._transport import virtual
from ..runtime._awaiting import Awaiting, resume

T = TypeVar("T")
INF = float("inf")


class Cancelled(BaseException):
    """What `Task.cancel()` raises inside the task, as asyncio's CancelledError would be."""


class Park:
    """What a suspended task waits for: the only suspension there is."""

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: Task[Any] | None = None

    def __await__(self) -> Generator["Park", None, None]:
        yield self


class Timer:
    """A call at a virtual time, until cancelled."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call."""
        self.callback = None


class _Deadline(Timer):
    """A timer that interrupts the task that set it."""

    __slots__ = ("task",)

    def __init__(self, task: "Task[Any]") -> None:
        self.task: Task[Any] | None = task
        self.callback = self._reached

    def _reached(self) -> None:
        task = self.task
        assert task is not None
        task._runtime.passed(self)
        task.interrupt(_Reached(self))

    def cancel(self) -> None:
        self.callback = self.task = None  # it may stay among the timers for long


class _Reached(BaseException):
    """A deadline, thrown into the task that set it."""

    def __init__(self, deadline: _Deadline) -> None:
        self.deadline = deadline


class Task(Generic[T]):
    """A coroutine that runs in virtual time. Await it for its result."""

    __slots__ = (
        "_context", "_coro", "_error", "_joining", "_park", "_result", "_runtime", "_throw", "done", "name", "steps",
    )  # fmt: skip

    def __init__(self, runtime: "VirtualRuntime", coro: Coroutine[Any, Any, T], name: str) -> None:
        self.name = name
        self.done = False
        self.steps = 0
        """How often it has run: its suspensions so far, plus one."""
        self._runtime = runtime
        self._coro = coro
        self._context = copy_context()  # as a task of asyncio's: what it sets there is its own
        self._park: Park | None = None
        self._throw: BaseException | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        self._joining: list[VirtualWaiter] | None = None

    def cancel(self) -> None:
        """Raise `Cancelled` where the task waits, or at its next step if it is about to run."""
        self.interrupt(Cancelled())

    def interrupt(self, error: BaseException) -> None:
        """Raise an error where the task waits, or at its next step."""
        if self.done:
            return
        self._throw = error
        if self._park is not None:
            self._runtime.resume(self._park)

    def result(self) -> T:
        """What the coroutine returned; raises what it raised, or `RuntimeError` while it runs."""
        if not self.done:
            raise RuntimeError(f"{self!r} has not ended yet")
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[no-any-return]

    def step(self) -> None:
        """Run to the next suspension."""
        self.steps += 1
        try:
            if self._throw is None:
                park = self._context.run(self._coro.send, None)
            else:
                throw, self._throw = self._throw, None
                park = self._context.run(self._coro.throw, throw)
        except StopIteration as done:
            self._end(done.value, None)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self._end(None, error)
        else:
            if isinstance(park, Park):
                park.task = self
                self._park = park
            else:
                self._coro.close()
                self._end(None, RuntimeError(f"{self!r} awaited something of another event loop: {park!r}"))

    def _end(self, result: Any, error: BaseException | None) -> None:
        self.done, self._result, self._error = True, result, error
        self._runtime._alive.pop(self, None)
        for waiter in self._joining or ():
            waiter.wake()

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done:
            waiter = self._runtime.waiter()
            if self._joining is None:
                self._joining = []
            self._joining.append(waiter)
            yield from waiter.wait(INF).__await__()
        return self.result()

    def __repr__(self) -> str:
        return f"<Task {self.name} {'done' if self.done else 'running'}>"


class VirtualWaiter:
    """One wait in virtual time."""

    __slots__ = ("_park", "_runtime", "_woken")

    def __init__(self, runtime: "VirtualRuntime") -> None:
        self._runtime = runtime
        self._park = Park()
        self._woken = False

    def wake(self) -> bool:
        self._woken = True
        self._runtime.resume(self._park)
        return True

    async def wait(self, until: float) -> bool:
        if self._woken:
            return True
        timer = None if until == INF else self._runtime.call_at(until, lambda: self._runtime.resume(self._park))
        try:
            await self._park
        finally:
            if timer is not None:
                timer.cancel()
        return self._woken


class VirtualRuntime(Awaiting):
    """A clock that jumps, a scheduler with a fixed order, a seeded coin.

        runtime = VirtualRuntime(seed=1)
        response = runtime.run(main())     # `main` uses Seawall's async clients as always
        runtime.now()                      # the virtual seconds that it took

    Inside, `runtime.sleep(...)`, tasks from `runtime.spawn(...)` and Seawall's clients can be awaited; awaiting
    something of asyncio is an error that says so. `run` raises `RuntimeError` when every task waits for ever.
    """

    name = "virtual"

    def __init__(self, seed: int = 0, start: float = 0.0) -> None:
        self._now = start
        self._coin = Random(seed)
        self._ready: deque[Task[Any]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        # Deadlines that come in order, of which only the first is among the timers: nearly all of them are cancelled,
        # long before, and would make a heap of thousands.
        self._deadlines: deque[tuple[float, int, _Deadline]] = deque()
        self._order = itertools.count()
        self._alive: dict[Task[Any], None] = {}
        self._current: Task[Any] | None = None

    # -- for tests

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, and what it spawns, until it ends. Tasks that still run then are cancelled."""
        virtual.append(self)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._end)
        try:
            task = self.spawn(main, "main")
            self._until(lambda: task.done)
            for left in list(self._alive):
                left.cancel()
            self._until(lambda: not self._alive)
            return task.result()
        finally:
            sys.set_asyncgen_hooks(*hooks)
            virtual.remove(self)

    def advance(self, until: float, *, most: int | None = None) -> None:
        """Run every task and timer before a virtual time, which it then is. What waits for longer goes on waiting.

        For whoever drives a run from outside, a stretch at a time. Raises `RuntimeError` once tasks have taken more
        than `most` steps (default None, any number): something then goes round in circles and no time passes.
        """
        virtual.append(self)
        ready, timers, heappop = self._ready, self._timers, heapq.heappop
        left = INF if most is None else most
        try:
            while True:
                while ready:
                    task = self._current = ready.popleft()
                    task.step()
                    left -= 1
                    if left < 0:
                        raise RuntimeError(
                            f"more than {most:,} steps on the way to {until:g} s, and it is still {self._now:g} s: "
                            "something goes round in circles"
                        )
                if not timers or timers[0][0] >= until:
                    break
                when, _, timer = heappop(timers)
                callback = timer.callback
                if callback is not None:
                    self._now = when
                    callback()
            self._now = max(self._now, until)
        finally:
            self._current = None
            virtual.remove(self)

    def _end(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Have an async generator that was left half-way come to its end in a task of its own, as other loops do."""

        async def end() -> None:
            await generator.aclose()

        if self in virtual:
            self.spawn(end(), "the end of a generator")

    def spawn(self, coro: Coroutine[Any, Any, T], name: str | None = None) -> Task[T]:
        """Start a task; it takes its first step when the current one suspends."""
        task = Task(self, coro, name or f"task-{next(self._order)}")
        self.start(task)
        return task

    def start(self, task: Task[Any]) -> None:
        """Let a new task take its first step when the current one suspends."""
        self._alive[task] = None
        self._ready.append(task)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at a virtual time; next, if that has passed."""
        timer = Timer(callback)
        self.set(timer, max(when, self._now))
        return timer

    def set(self, timer: Timer, when: float) -> None:
        """Have a timer call back at a virtual time that has not passed, once more if it did before."""
        heapq.heappush(self._timers, (when, next(self._order), timer))

    # -- for policies

    def now(self) -> float:
        """Virtual seconds."""
        return self._now

    def random(self) -> float:
        """A seeded float from [0, 1)."""
        return self._coin.random()

    def waiter(self) -> VirtualWaiter:
        return VirtualWaiter(self)

    def home(self) -> Hashable:
        return self

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass. 0 lets every other task that is ready run first."""
        await VirtualWaiter(self).wait(self._now + seconds)

    async def rest(self, steps: Any, suspended: Any, deadline: float) -> Any:
        if deadline == INF:
            return await resume(steps, suspended)
        assert self._current is not None, "only a task of this runtime awaits here"
        if deadline < self._now:
            deadline = self._now  # it comes next
        timer, line = _Deadline(self._current), self._deadlines
        entry = deadline, next(self._order), timer
        if line and entry > line[-1]:
            line.append(entry)
        else:
            heapq.heappush(self._timers, entry)
            if not line:
                line.append(entry)
        try:
            return await resume(steps, suspended)
        except _Reached as reached:
            if reached.deadline is not timer:
                raise  # an outer deadline
            raise Expired from None
        finally:
            timer.cancel()
            if line and line[0][2] is timer:
                self.passed(timer)

    # -- the scheduler

    def resume(self, park: Park) -> None:
        """The task that waits here takes its next step soon."""
        task = park.task
        if task is not None and task._park is park:
            task._park = None
            self._ready.append(task)

    def passed(self, deadline: _Deadline) -> None:
        """A deadline is over: if it was the first in line, the next takes its place among the timers."""
        line = self._deadlines
        if line and line[0][2] is deadline:
            line.popleft()
            while line and line[0][2].callback is None:
                line.popleft()
            if line:
                heapq.heappush(self._timers, line[0])

    def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            while self._ready and not reached():
                task = self._current = self._ready.popleft()
                try:
                    task.step()
                finally:
                    self._current = None
            if not reached():
                self._jump()

    def _jump(self) -> None:
        """On to the next timer."""
        while self._timers:
            when, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                self._now = when
                timer.callback()
                return
        raise RuntimeError(f"every task waits for ever at {self._now:g} s: {', '.join(map(repr, self._alive))}")

    def __repr__(self) -> str:
        return f"<VirtualRuntime at {self._now:g} s, {len(self._alive)} tasks>"
