"""What all benchmarks share: optional contenders, spreads, bars and tables."""

import argparse
import datetime
import gc
import importlib
import importlib.metadata
import json
import os
import platform
import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Skipped:
    """Why a contender has no figures: its library is missing, or cannot do this."""

    reason: str

    def __str__(self) -> str:
        return f"skipped: {self.reason}"


def load(module: str, function: str) -> Callable[..., Any] | Skipped:
    """Find a contender's function, without requiring every peer to be installed.

    Only a missing module is forgiven. A peer that is there but broken should be seen, not skipped.
    """
    try:
        contender = importlib.import_module(module)
    except ModuleNotFoundError as error:
        return Skipped(f"{error.name} not installed")
    opener: Callable[..., Any] | None = getattr(contender, function, None)
    return opener or Skipped(f"offers no {function.replace('_', ' ')}")


def interleaved(contenders: Iterable[T], rounds: int, seed: int = 2) -> Iterator[T]:
    """Each contender once a round, in an order of its own each round.

    A machine drifts (clock speed, neighbours): what is compared must be measured side by side, and nobody
    should always come just after the same other. The seed makes a run repeatable.
    """
    order = list(contenders)
    dice = random.Random(seed)
    for _ in range(rounds):
        dice.shuffle(order)
        yield from order


def settle() -> None:
    """Hide what exists so far from the collector, lest its passes over it hit some and not others."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles. Timings lean to the right, so a mean would mislead."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        ordered = sorted(values)
        if len(ordered) == 1:
            return cls(ordered[0], ordered[0], ordered[0])
        low, median, high = statistics.quantiles(ordered, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Bar:
    """A figure that must stay on one side of a limit. `aim` is where we would like it to be."""

    name: str
    value: float | None
    limit: float
    aim: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        if self.met:
            return "met"
        return f"missed by {abs(self.value - self.limit):.2f} ({abs(self.value / self.limit - 1):.0%})"

    def row(self) -> list[str]:
        bound = f"{'≥' if self.at_least else '≤'} {self.limit:g}"
        if self.aim is not None:
            bound += f" (aim {self.aim:g})"
        return [self.name, "-" if self.value is None else f"{self.value:.3f}", bound, self.verdict]

    def data(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "limit": self.limit, "aim": self.aim, "met": self.met}


BAR_COLUMNS = ("bar", "measured", "must be", "verdict")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    """Lay out a table: names to the left, figures to the right. A short row ends in a remark."""
    full = [row for row in (columns, *rows) if len(row) == len(columns)]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    widths[0] = max(len(row[0]) for row in (columns, *rows))

    def line(row: Sequence[str]) -> str:
        remark = len(row) < len(columns)
        padded = [*row, *[""] * (len(columns) - len(row))]
        align = str.ljust if remark else str.rjust
        cells = [padded[0].ljust(widths[0]), *map(align, padded[1:], widths[1:])]
        return f"| {' | '.join(cells)} |" if markdown else "  ".join(cells).rstrip()

    if markdown:
        rule = "".join(["|", "-" * (widths[0] + 2), *(f"|{'-' * (width + 1)}:" for width in widths[1:]), "|"])
    else:
        rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(columns), rule, *map(line, rows)])


def environment(*packages: str) -> dict[str, str]:
    """Where and with what the figures were taken; they mean little without it."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        **{package: _version(package) for package in packages},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def describe(facts: dict[str, str]) -> str:
    """The environment in one line."""
    named = ("date", "python", "system")
    packages = [f"{name} {version}" for name, version in facts.items() if name not in named]
    return ", ".join([*(facts[name] for name in named), *packages])


# --- The commands ---


def parser(name: str, description: str, contenders: Iterable[str]) -> argparse.ArgumentParser:
    """The options that both benchmarks have."""
    known = list(contenders)

    def selection(text: str) -> list[str]:
        chosen = {part.strip() for part in text.split(",")}
        if unknown := chosen.difference(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
        return [contender for contender in known if contender in chosen]

    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description.split("\n")[0])
    made.add_argument("--only", type=selection, default=known, metavar="NAME,...", help=", ".join(known))
    made.add_argument("--library", choices=("httpx", "httpx2"), default="httpx", help="what stands as httpx")
    made.add_argument("--smoke", action="store_true", help="a few requests each, to see that everything works")
    made.add_argument("--check", action="store_true", help="exit with status 1 if a bar is missed")
    made.add_argument("--markdown", action="store_true", help="print tables for a README")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file")
    return made


def conclude(result: dict[str, Any], bars: Sequence[Bar], options: argparse.Namespace) -> int:
    """Print the bars, write the file if one was asked for, and give the exit status.

    A smoke run is too short to be judged.
    """
    if options.smoke:
        bars = ()
    if bars:
        print(f"\n{table(BAR_COLUMNS, [bar.row() for bar in bars], markdown=options.markdown)}")
    if options.json:
        data = {**result, "bars": [bar.data() for bar in bars]}
        options.json.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    return int(options.check and not all(bar.met for bar in bars))
