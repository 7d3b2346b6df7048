"""A scenario: a server, its traffic, what goes wrong and for how long. Plain data."""

from collections.abc import Sequence
from dataclasses import dataclass

from ... import _check
from .server import Server
from .traffic import Traffic

DAY = 86_400.0
GROUPS = 255
"""A call's group is kept in a byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a stack is put through.

        Scenario(name="stall", server=Server(...), traffic=[Traffic(...)], fault=(60, 70), duration=240)

    - `name`, and `about`: what happens, in a sentence.
    - `server`, `traffic` (1 to 255 groups, names differing).
    - `duration` (seconds, above 0): how long calls are made; `drain` (default 60 s, at least 0): how long those
      that are under way then may take, before they are given up as unfinished. At most a day (86,400 s) each.
    - `fault` (default None): when the trouble begins and ends, in seconds; recovery is counted from its end.
    - `attempt_timeout` (default 1 s, above 0), `attempts` (default 3, at least 1): what callers of this server
      usually ask for, for those who build a stack for the scenario. The simulation itself does not look at them.
    """

    name: str
    about: str = ""
    server: Server
    traffic: Sequence[Traffic]
    duration: float
    drain: float = 60.0
    fault: tuple[float, float] | None = None
    attempt_timeout: float = 1.0
    attempts: int = 3

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"Scenario: name must be a non-empty string, not {self.name!r}")
        if not isinstance(self.server, Server):
            raise TypeError(f"Scenario: server must be a Server, not {self.server!r}")
        groups = _check.collection("Scenario", "traffic", self.traffic, "Traffic")
        for group in groups:
            if not isinstance(group, Traffic):
                raise TypeError(f"Scenario: traffic must hold Traffic, not {group!r}")
        names = [group.name for group in groups]
        if not 1 <= len(names) <= GROUPS or len(set(names)) < len(names):
            raise ValueError(f"Scenario: traffic must hold 1 to {GROUPS} groups, of different names, not {names}")
        object.__setattr__(self, "traffic", groups)
        _check.number("Scenario", "duration", self.duration, above=0, most=DAY)
        _check.number("Scenario", "drain", self.drain, least=0, most=DAY)
        if self.fault is not None:
            if not isinstance(self.fault, tuple | list) or len(self.fault) != 2:
                raise TypeError(f"Scenario: fault must be a pair of seconds or None, not {self.fault!r}")
            begin, end = self.fault
            _check.number("Scenario", "the begin of fault", begin, least=0)
            _check.number("Scenario", "the end of fault", end, least=begin, most=self.duration)
            object.__setattr__(self, "fault", (begin, end))
        _check.number("Scenario", "attempt_timeout", self.attempt_timeout, above=0)
        _check.integer("Scenario", "attempts", self.attempts, least=1)
