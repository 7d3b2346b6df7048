"""What a simulation measured, and the figures that it is judged by."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import fsum
from typing import Any

from .scenario import Scenario
from .schedule import INF
from .tally import OUTCOMES, Tally

WELL = 0.97
"""The share of calls answered from which a service counts as recovered."""
STEADY = 10
"""Seconds for which it must be so."""

ANSWERED = OUTCOMES.index("answered")


@dataclass(frozen=True, slots=True)
class Result:
    """One run, as far as it was played.

        result.success, result.amplification, result.peak_amplification(5)
        result.recovery()                # seconds after the fault, None for never
        result.goodput(70, 130)          # share of the calls made in that minute which were answered
        result.latency(0.99)             # seconds

    Calls are counted in the second in which they were made, attempts in the second in which they reached the server.
    "Answered" is a status below 400. `tally` has all columns; `group` is the place of a traffic in its scenario.
    """

    scenario: Scenario
    seed: int
    at: float
    """Virtual seconds played."""
    tally: Tally

    @property
    def complete(self) -> bool:
        """Whether it was played to its end."""
        scenario, ended = self.scenario, 0 not in self.tally.calls.outcome
        return self.at >= scenario.duration + (0 if ended else scenario.drain)

    def __repr__(self) -> str:
        calls, ended = len(self.tally.calls), "" if self.complete else " so far"
        text = f"{calls} calls{ended}, {self.success:.1%} answered, {self.amplification:.3f} attempts a call"
        if self.complete and self.scenario.fault is not None:
            recovery = self.recovery()
            text += ", not recovered" if recovery is None else f", recovered {recovery:g} s after the fault"
        return f"<Result of {self.scenario.name}, seed {self.seed}: {text}>"

    # -- calls

    def offered(self, group: int | None = None) -> list[int]:
        """Calls made in each second."""
        return self._binned(self.tally.calls.within(group=group))

    def answered(self, group: int | None = None) -> list[int]:
        """Calls made in each second that were answered, whenever that was."""
        return self._binned(self._answered(group=group))

    def goodput(self, begin: float = 0.0, end: float = INF, group: int | None = None) -> float:
        """The share of the calls made in a stretch of time that were answered; 1 where none were made."""
        made = sum(1 for _ in self.tally.calls.within(begin, end, group))
        return sum(1 for _ in self._answered(begin, end, group)) / made if made else 1.0

    @property
    def success(self) -> float:
        """The share of all calls that were answered."""
        return self.goodput()

    def outcomes(self) -> dict[str, int]:
        """How many calls ended in each way."""
        return {name: self.tally.calls.outcome.count(code) for code, name in enumerate(OUTCOMES)}

    def recovery(self) -> float | None:
        """Seconds from the end of the fault to the first 10 s in which 97 % of the calls made are answered.

        None if there are none of that kind, or the scenario has no fault.
        """
        if self.scenario.fault is None:
            return None
        offered, answered = self.offered(), self.answered()
        begin = self.scenario.fault[1]
        for second in range(int(-(-begin // 1)), int(min(self.at, self.scenario.duration)) - STEADY + 1):
            if sum(answered[second : second + STEADY]) >= WELL * sum(offered[second : second + STEADY]):
                return second - begin
        return None

    def latencies(self, begin: float = 0.0, end: float = INF, group: int | None = None) -> list[float]:
        """Seconds that each answered call took, retries and waiting included, the shortest first."""
        calls = self.tally.calls
        return sorted(calls.ended[number] - calls.begun[number] for number in self._answered(begin, end, group))

    def latency(self, quantile: float, begin: float = 0.0, end: float = INF, group: int | None = None) -> float | None:
        """A quantile (0 to 1) of what answered calls took, in seconds; None if none was answered."""
        ordered = self.latencies(begin, end, group)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] if ordered else None

    def latency_over_time(self, quantile: float, seconds: int = 1, group: int | None = None) -> list[float | None]:
        """The same for the calls made in each second, or in each so many of them, from the first on."""
        calls = self.tally.calls
        bins: list[list[float]] = [[] for _ in range(0, len(self.tally.attempts), seconds)]
        for number in self._answered(group=group):
            bins[int(calls.begun[number]) // seconds].append(calls.ended[number] - calls.begun[number])
        return [sorted(took)[min(len(took) - 1, int(quantile * len(took)))] if took else None for took in bins]

    def fairness(self, group: int | None = None) -> float:
        """Jain's index of what clients were answered: 1 if all alike, 1/n if one of n got everything."""
        calls, counts = self.tally.calls, dict.fromkeys(self._clients(group), 0)
        for number in self._answered(group=group):
            counts[calls.group[number], calls.client[number]] += 1
        squares = sum(count**2 for count in counts.values())
        return sum(counts.values()) ** 2 / (len(counts) * squares) if squares else 1.0

    # -- the server

    @property
    def amplification(self) -> float:
        """Attempts for each call made; 0 where none were."""
        return sum(self.tally.attempts) / len(self.tally.calls) if len(self.tally.calls) else 0.0

    def peak_amplification(self, seconds: int = 5) -> float:
        """The most attempts for each call made, in any so many seconds in which calls were made all the time."""
        known = [value for value in self.amplifications(seconds) if value is not None]
        return max(known, default=self.amplification)

    def amplifications(self, seconds: int = 5) -> list[float | None]:
        """At each second, attempts for each call made in the last so many seconds.

        None before there were so many, where no calls were made in them, and when none are made any more.
        """
        calls = [0, *accumulate(self.offered())]
        attempts = [0, *accumulate(self.tally.attempts)]
        last = int(min(self.at, self.scenario.duration))
        return [
            (attempts[end] - attempts[end - seconds]) / (calls[end] - calls[end - seconds])
            if seconds <= end <= last and calls[end] > calls[end - seconds]
            else None
            for end in range(1, len(calls))
        ]

    def waste(self, begin: float = 0.0, end: float = INF) -> float:
        """The share of the service which ended in a stretch of time that was for clients who had gone."""
        wasted, useful = self._sum(self.tally.wasted, begin, end), self._sum(self.tally.useful, begin, end)
        return wasted / (wasted + useful) if wasted else 0.0

    def utilisation(self, begin: float = 0.0, end: float = INF) -> float:
        """Slot-seconds in which the server served, as a share of those that it had; 0 where there is no bound."""
        slots = self._sum(self.tally.slots, begin, end)
        return self._sum(self.tally.busy, begin, end) / slots if slots else 0.0

    def round_trip(self, begin: float = 0.0, end: float = INF) -> float | None:
        """Mean seconds at the server, its line included, of attempts answered in a stretch of time."""
        answers = self._sum(self.tally.answers, begin, end)
        return self._sum(self.tally.round_trips, begin, end) / answers if answers else None

    # -- as data

    def trace(self) -> bytes:
        """Every call and every bin, as bytes: the same for the same scenario, stack and seed."""
        tally, calls = self.tally, self.tally.calls
        parts: list[Any] = [calls.begun, calls.ended, calls.outcome, calls.attempts, calls.group, calls.client]
        parts += [tally.attempts, tally.answers, tally.round_trips, tally.useful, tally.wasted]
        parts += [tally.busy, tally.slots, tally.waiting]
        return b"".join(map(bytes, parts)) + repr((tally.states, tally.circuits)).encode()

    def digest(self) -> str:
        """A short name for the trace."""
        return hashlib.sha256(self.trace()).hexdigest()[:16]

    def data(self) -> dict[str, Any]:
        """Plain data, for JSON: the figures, and a row of numbers per second."""
        tally, fault = self.tally, self.scenario.fault
        return {
            "scenario": self.scenario.name,
            "seed": self.seed,
            "complete": self.complete,
            "seconds": self.at,
            "fault": fault,
            "calls": len(tally.calls),
            "outcomes": self.outcomes(),
            "success": self.success,
            "recovery": self.recovery(),
            "goodput_after": None if fault is None else self.goodput(fault[1], fault[1] + 60),
            "amplification": self.amplification,
            "peak_amplification": self.peak_amplification(),
            "waste": self.waste(),
            "fairness": self.fairness(),
            "latency": {str(q): self.latency(q) for q in (0.5, 0.9, 0.99, 0.999)},
            "digest": self.digest(),
            "series": {
                "offered": self.offered(),
                "answered": self.answered(),
                "attempts": list(tally.attempts),
                "waiting": list(tally.waiting),
                "busy": list(tally.busy),
                "slots": [None if slots == INF else slots for slots in tally.slots],
                "wasted": list(tally.wasted),
                "states": [{name: None if v == INF else v for name, v in shown.items()} for shown in tally.states],
            },
            "circuits": [list(change) for change in tally.circuits],
        }

    def _answered(self, begin: float = 0.0, end: float = INF, group: int | None = None) -> Iterator[int]:
        """The numbers of the calls made in a stretch of time that were answered."""
        outcome = self.tally.calls.outcome
        return (number for number in self.tally.calls.within(begin, end, group) if outcome[number] == ANSWERED)

    def _binned(self, numbers: Iterator[int]) -> list[int]:
        """How many of these calls were made in each second."""
        counts = Counter(map(int, map(self.tally.calls.begun.__getitem__, numbers)))
        return [counts[second] for second in range(len(self.tally.attempts))]

    def _clients(self, group: int | None) -> list[tuple[int, int]]:
        groups = enumerate(self.scenario.traffic)
        return [(g, number) for g, traffic in groups if group in (None, g) for number in range(traffic.clients)]

    @staticmethod
    def _sum(bins: Sequence[float], begin: float, end: float) -> float:
        """Of the whole seconds within a stretch of time."""
        return fsum(bins[int(begin) : None if end == INF else int(end)])
