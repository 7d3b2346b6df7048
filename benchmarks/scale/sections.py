"""What every part of `benchmarks.scale` gives, and how much it is given to do."""

import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any, Self, TypeVar

from benchmarks import measure
from benchmarks.measure import Bar

T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    """How much of everything; a smoke run has little of it."""

    rounds: int
    cap: float
    lines: tuple[int, ...] = (10_000, 20_000, 40_000)
    bursts: tuple[int, int] = (1_000, 50_000)
    counted: int = 10_000
    keys: int = 10_000
    origins: tuple[int, ...] = (100_000, 500_000, 1_000_000)
    circuits: tuple[int, int] = (1_000, 100_000)
    around: int = 10
    """Small bursts before each large one, and after it."""

    @classmethod
    def smoke(cls, cap: float) -> "Scale":
        return cls(1, cap, (50, 100, 200), (20, 100), 100, 100, (200, 400, 600), (20, 100), 1)


@dataclass
class Section:
    """A table, the bars that it is judged by, and every figure behind it."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    works: bool = True

    def show(self, *, markdown: bool) -> None:
        print(f"\n{f'**{self.title}**' if markdown else self.title}\n")
        print(measure.table(self.columns, self.rows, markdown=markdown), flush=True)


class Collecting:
    """The seconds that collecting garbage takes within a context."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> Self:
        gc.callbacks.append(self._tell)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._tell)

    def _tell(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._begun = now
        else:
            self.seconds += now - self._begun


def apart(context: SpawnContext, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a process of its own."""
    with context.Pool(1) as pool:
        return pool.apply(function, arguments)


def resident() -> int:
    """Bytes of memory that this process has; where the system does not tell, the most that it ever had."""
    gc.collect()
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource  # not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
