"""A real asyncio event loop on a clock that jumps: its timers fire in order, and take no time."""

import asyncio
import selectors
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from seawall.runtime.asyncio import AsyncioRuntime

TICK = 1e-9
"""Each round of the loop takes some time, as on any machine: some libraries poll until rounding lets them through."""


class JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for a timer, moves the loop's clock to it."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError(f"every task waits for ever at {self.loop.now:g} s")
        self.loop.now += max(TICK, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` starts at 0 and jumps from timer to timer."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """`asyncio.run`, on a virtual loop whose clock Seawall's asyncio runtime reads as well."""
    loops: list[VirtualLoop] = []

    def make() -> VirtualLoop:
        loops.append(VirtualLoop())
        return loops[-1]

    def monotonic() -> float:
        return loops[-1].now if loops else 0.0

    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=make) as runner:
        patch.setattr("seawall.runtime.asyncio.time", SimpleNamespace(monotonic=monotonic))
        patch.setattr(AsyncioRuntime, "now", staticmethod(monotonic))
        return runner.run(main)
