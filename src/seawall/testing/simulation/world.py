"""The virtual runtime of a simulation, in which each client has a coin of its own, and no run is endless."""

import logging
from collections.abc import Callable
from typing import Any

from ..virtual import Task, VirtualRuntime

STEPS = 2_000_000
"""Steps of tasks and timers that one virtual second may take."""

logger = logging.getLogger("seawall")


class Endless(BaseException):
    """One call goes on for ever. No policy may take it for a failure, so it is no Exception."""


class CoinTask(Task[Any]):
    """A task whose policies draw from a coin of its client's."""

    __slots__ = ("coin",)
    coin: Callable[[], float]


class World(VirtualRuntime):
    """Virtual time for a simulation."""

    def random(self) -> float:
        """The next of the stream that belongs to whose call runs now."""
        task = self._current
        return task.coin() if isinstance(task, CoinTask) else self._coin.random()

    def through(self, until: float) -> None:
        """Run what comes before a virtual time. What policies would log, thousands of times a second, is not logged."""
        disabled, logger.disabled = logger.disabled, True
        try:
            self.advance(until, most=STEPS)
        finally:
            logger.disabled = disabled
