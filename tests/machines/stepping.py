"""What the machines share: coroutines stepped by hand, so that anything may happen between a wake and what it wakes."""

import types
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

from seawall._call import Trail
from seawall._options import Options

INF = float("inf")


class Cancelled(BaseException):
    """What cancels a stepped coroutine."""


@types.coroutine
def park() -> Iterator[None]:
    """Suspend until stepped again."""
    yield


class Waiter:
    """A wake that is noted, and acted on only when the machine says so."""

    def __init__(self) -> None:
        self.woken = False
        self.gone = False  # its event loop is closed

    def wake(self) -> bool:
        self.woken = self.woken or not self.gone
        return not self.gone

    async def wait(self, until: float) -> bool:
        await park()
        return self.woken


class Stepped:
    """A coroutine that runs as far as its next suspension whenever it is stepped."""

    def __init__(self, coro: Coroutine[Any, Any, Any]) -> None:
        self.coro = coro
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.step()

    def step(self) -> None:
        self._run(lambda: self.coro.send(None))

    def cancel(self) -> None:
        self._run(lambda: self.coro.throw(Cancelled()))

    def _run(self, run: Callable[[], Any]) -> None:
        try:
            run()
        except StopIteration as ended:
            self.done, self.result = True, ended.value
        except AssertionError:
            raise
        except BaseException as error:
            self.done, self.error = True, error


class Runtime:
    """The machine's clock, and waits that end when it says so."""

    def __init__(self) -> None:
        self.time = 100.0
        self.coin = 0.5
        self.place: Any = self

    def now(self) -> float:
        return self.time

    def random(self) -> float:
        return self.coin

    def waiter(self) -> Waiter:
        return Waiter()

    def home(self) -> Any:
        return self.place

    async def sleep(self, seconds: float) -> None:
        await park()

    async def close(self, resource: Any) -> None:
        await resource.aclose()


class StubCall:
    """As much of a call as a line needs."""

    def __init__(self, runtime: Any, origin: Any = None, **options: Any) -> None:
        self.runtime = runtime
        self.options = Options(**options)
        self.trail = Trail()
        self.chain = SimpleNamespace(origin=origin)
        self.request = SimpleNamespace(extensions={})
        self.deadline = INF
        self.waiter: Waiter | None = None

    async def wait(self, waiter: Waiter, until: float) -> bool:
        self.waiter = waiter
        return await waiter.wait(until)

    def rejected(self, kind: type, message: str, **told: Any) -> Exception:
        return kind(message)
