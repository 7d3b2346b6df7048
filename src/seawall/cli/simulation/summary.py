"""The terminal's summary: a table of figures, goodput in a line of blocks, the verdict."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from seawall.testing.simulation import Result, Scenario

from .figures import rows
from .run import PARTIAL, Run
from .verdict import trouble, verdict

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 60
"""Columns of a line of goodput, at most: within 80, with a name after it."""
SHORT = 10
"""Seconds of calls from which there is a line to see."""


def show(run: Run, console: Console) -> None:
    """Print what came of a run."""
    console.print(_table(run))
    console.print()
    if (console.encoding or "").startswith("utf") and run.scenario.duration >= SHORT:
        for line in _lines(run):
            console.print(line, no_wrap=True)
        console.print()
    for name, does in verdict(run):
        console.print(Text.assemble((name, "bold"), " ", does))
    if run.stopped is not None:
        console.print()
        console.print(Text(f"{run.stopped}. {PARTIAL}", style="yellow"))


def _table(run: Run) -> Table:
    grid = Table()
    grid.add_column("")
    for contender in run.contenders:
        grid.add_column(Text(contender.name), justify="right", overflow="fold")
    for row in rows(run):
        grid.add_row(row.name, *(Text(figure.words) for figure in row.figures))
    return grid


def _lines(run: Run) -> Iterator[Text]:
    """Goodput over time, a block for every so many seconds, with the fault marked."""
    end = int(min(run.scenario.duration, max(result.at for result in run.results)))
    step = -(-end // WIDTH) or 1
    yield Text(f"answered, of the requests made in each {f'{step} s' if step > 1 else 'second'}")
    for contender, result in run.pairs:
        yield Text.assemble((f"{_blocks(result, end, step)} ", "cyan"), contender.name)
    if run.scenario.fault is not None:
        yield Text(_mark(run.scenario, end, step), style="red")


def _blocks(result: Result, end: int, step: int) -> str:
    offered, answered = result.offered(), result.answered()
    shown = ""
    for second in range(0, end, step):
        asked = sum(offered[second : second + step])
        share = sum(answered[second : second + step]) / asked if asked else None
        shown += " " if share is None else BLOCKS[min(7, int(share * 8))]
    return shown


def _mark(scenario: Scenario, end: int, step: int) -> str:
    assert scenario.fault is not None
    first, last = (int(at // step) for at in scenario.fault)
    if first * step >= end:
        return ""
    width = max(1, min(last, -(-end // step)) - first)
    return f"{' ' * first}{'^' * width} {trouble(scenario)}"
