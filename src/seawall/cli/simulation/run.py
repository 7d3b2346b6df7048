"""All contenders play one scenario at once, a virtual second at a time: wherever it is left, they compare."""

import gc
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from seawall.testing.simulation import Result, Scenario, Simulation

from .contenders import Contender, Unusable, told

LONGEST = 86_400.0
"""Virtual seconds that a scenario may last: a day. What one second may do is bounded by the simulator."""

PARTIAL = "The report is about the time until then, and counts requests that were under way as unanswered."
"""What there is to know of a run that did not come to its end."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What was played, the user's own stack first."""

    scenario: Scenario
    seed: int
    contenders: Sequence[Contender]
    results: Sequence[Result]
    stopped: str | None
    """Why it did not come to its end, in words; None if it did."""
    interrupted: bool
    """Whether that was Ctrl-C."""

    @property
    def pairs(self) -> Sequence[tuple[Contender, Result]]:
        """Each contender and what it came to."""
        return list(zip(self.contenders, self.results, strict=True))


def play(scenario: Scenario, contenders: Sequence[Contender], seed: int, console: Console) -> Run:
    """Play it to its end, until Ctrl-C, or until a stack cannot go on. Raises `Unusable` if one cannot begin."""
    if scenario.duration + scenario.drain > LONGEST:
        raise Unusable(
            f"{scenario.name!r} would go on for {scenario.duration + scenario.drain:g} s (duration and drain); "
            f"a simulation ends after {LONGEST:g} s at most"
        )
    simulations = [_begun(scenario, contender, seed) for contender in contenders]
    stopped, now = None, 0.0
    playing = {number: iter(one) for number, one in enumerate(simulations)}
    with _undisturbed(), _interruptible() as interrupted, _progress(console, scenario) as moved:
        while playing and stopped is None:
            for number, seconds in list(playing.items()):
                try:
                    now = next(seconds)
                except StopIteration:
                    del playing[number]
                except Exception as error:
                    at = f"virtual second {simulations[number].now:g}"
                    stopped = f"{contenders[number].name} could not go on at {at}: {told(error)}"
                    break
            moved(now)
            if playing and stopped is None and interrupted():
                stopped = f"Interrupted at virtual second {now:g} of {scenario.duration:g}"
                if now > scenario.duration:
                    stopped = f"Interrupted at virtual second {now:g}, when only the last answers were waited for"
    results = [simulation.result() for simulation in simulations]
    return Run(scenario, seed, contenders, results, stopped, stopped is not None and interrupted())


def _begun(scenario: Scenario, contender: Contender, seed: int) -> Simulation:
    try:
        return Simulation(scenario, contender.policies, seed=seed)
    except Exception as error:
        raise Unusable(f"{contender.name!r} cannot play {scenario.name!r}: {told(error)}") from None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Have the collector look less often at the hundred thousand requests that a storm leaves in a line."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed meanwhile. A virtual second then still comes to its end; the next Ctrl-C is final."""
    pressed: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, usual)

    usual = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()  # others have no handlers of signals
    if not main or usual in (signal.SIG_IGN, None):  # ignored, as in a shell's background, or not Python's to handle
        yield lambda: False
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, usual)


@contextmanager
def _progress(console: Console, scenario: Scenario) -> Iterator[Callable[[float], None]]:
    """A bar of virtual seconds, on a terminal only; it leaves nothing behind."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda _: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("simulating", total=scenario.duration, now="")

        def moved(now: float) -> None:
            ends, doing = scenario.duration, "simulating"
            if now > ends:
                ends, doing = ends + scenario.drain, "waiting for the last answers"
            progress.update(task, completed=now, total=ends, description=doing, now=f"second {now:g} of {ends:g}")

        yield moved
