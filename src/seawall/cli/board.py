"""Progress of the demo: live bars on a terminal, one line per step elsewhere."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from .traffic import Measured


class Board(Protocol):
    """Where the two halves show how far they are."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def started(self, half: Measured) -> None: ...

    def moved(self, half: Measured) -> None: ...

    def finished(self, half: Measured) -> None: ...


def board(console: Console) -> Board:
    """The board that suits where the output goes."""
    live = console.is_terminal and not console.is_dumb_terminal
    return Bars(console) if live else Lines(console)


class Lines:
    """A line when a half starts and one when it is done: for pipes, logs and dumb terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, half: Measured) -> None:
        self._console.print(f"{half.label}: sending {half.planned} request{'' if half.planned == 1 else 's'}")

    def moved(self, half: Measured) -> None:
        pass

    def finished(self, half: Measured) -> None:
        self._console.print(f"{half.label}: {half.succeeded} succeeded, {half.failed} failed")


class Bars:
    """A bar for each half, with what it has seen so far and the state of its circuit."""

    def __init__(self, console: Console) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("[green]{task.fields[succeeded]} ok[/] [red]{task.fields[failed]} failed[/]"),
            TextColumn("{task.fields[circuit]}"),
            console=console,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, half: Measured) -> None:
        self._tasks[half.label] = self._progress.add_task(
            half.label, total=half.planned, succeeded=0, failed=0, circuit=""
        )

    def moved(self, half: Measured) -> None:
        circuit = f"circuit {half.transitions[-1].new}" if half.transitions else ""
        self._progress.update(
            self._tasks[half.label],
            completed=len(half.outcomes),
            succeeded=half.succeeded,
            failed=half.failed,
            circuit=circuit,
        )

    def finished(self, half: Measured) -> None:
        self.moved(half)
