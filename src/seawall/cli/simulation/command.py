"""The command: who plays what, and where the report goes."""

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from seawall.testing.simulation import Scenario

from ..redaction import printable
from .contenders import Unusable, contender
from .plots import MOST
from .run import play
from .summary import show


@dataclass(frozen=True, slots=True)
class Simulate:
    """The command with its settings. `source` is how the scenario was asked for, as arguments."""

    config: str
    against: tuple[str, ...]
    scenario: Scenario
    source: tuple[str, str]
    url: str | None
    seed: int
    html: Path | None

    def run(self) -> int:
        """Play, print, write the report; 0, or 1 if a stack could not go on, 2 for what cannot be simulated, 130."""
        console = Console(highlight=False)
        try:
            scenario = self._scenario()
            names = list(dict.fromkeys((self.config, *self.against)))
            if len(names) > MOST:
                raise Unusable(f"at most {MOST} can be compared at once, and these are {len(names)}")
            contenders = [contender(name, scenario) for name in names]
            if self.html is not None:
                from . import page  # needs plotly, which says so itself

                page.require(self.html)
            title = f"{scenario.name}: {scenario.about}" if scenario.about else scenario.name
            console.print(Text(printable(title)))
            run = play(scenario, contenders, self.seed, console)
        except Unusable as error:
            print(f"seawall simulate: error: {error}", file=sys.stderr)
            return 2
        show(run, console)
        if self.html is not None:
            from . import page

            try:
                self.html.write_text(page.page(run, self._command()), encoding="utf-8")
            except OSError as error:
                print(f"seawall simulate: error: the report could not be written: {error}", file=sys.stderr)
                return 1
            console.print(Text(f"The report is in {self.html}"), soft_wrap=True)
        if run.stopped is None:
            return 0
        return 130 if run.interrupted else 1

    def _scenario(self) -> Scenario:
        if self.url is None:
            return self.scenario
        return replace(self.scenario, traffic=[replace(one, url=self.url) for one in self.scenario.traffic])

    def _command(self) -> str:
        """What gives the same result again."""
        words = ["seawall", "simulate", self.config, *self.source]
        for name in self.against:
            words += ["--against", name]
        if self.url is not None:
            words += ["--url", self.url]
        return shlex.join([*words, "--seed", str(self.seed)])
