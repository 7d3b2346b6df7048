"""A run in words: what follows from its figures, the unwelcome included."""

from functools import lru_cache

from seawall.testing.simulation import Result, Scenario

from ..comparison import seconds
from .contenders import Contender
from .figures import AFTER, percent, recovery
from .run import Run

SAME = 0.0005
"""Shares that differ by less are called the same."""
WASTED = 0.01
"""From here on work for clients who have gone is worth a word."""


Sentence = tuple[str, str]
"""A contender's name, and what it does."""


@lru_cache(maxsize=1)
def verdict(run: Run) -> list[Sentence]:
    """A sentence on each contender, and after a fault one on how the first compares with each of the others."""
    (first, own), *others = run.pairs
    if not own.tally.calls:
        return [(first.name, "has not been asked for anything.")]
    alone = [(contender.name, f"{_alone(result)}.") for contender, result in run.pairs]
    if run.scenario.fault is None:  # then that is what they say already
        return alone
    return [*alone, *((first.name, _compared(own, other, result)) for other, result in others)]


def trouble(scenario: Scenario) -> str:
    """What a scenario's fault is called: by its name if that is a noun by the looks of it."""
    return f"the {scenario.name}" if scenario.name.isalpha() else "the fault"


def _alone(result: Result) -> str:
    said = [_recovers(result), f"sends at most {result.peak_amplification():.2f} requests per request offered"]
    if (slow := result.latency(0.99)) is not None:
        said.append(f"its answers have a p99 of {seconds(slow)}")
    wasted = result.waste()
    if wasted >= WASTED:
        said.append(f"lets the server spend {percent(wasted)} of its work on clients who have gone")
    return "; ".join(said)


def _recovers(result: Result) -> str:
    scenario = result.scenario
    if scenario.fault is None:
        return f"answers {percent(result.success)} of all requests"
    begin, end = scenario.fault
    played, what = min(result.at, scenario.duration), trouble(scenario)
    if played <= begin:
        return f"answers {percent(result.success)} of all requests before {what}"
    figure = recovery(result)
    if figure.value is None:
        if figure.words == "too early to tell":
            return f"was not played for long enough after {what} to tell whether it recovers"
        return f"has not recovered {played - end:g} s after {what}"
    when = f"as soon as {what} is over" if figure.value == 0 else f"{figure.words} after {what}"
    after = percent(result.goodput(end, end + AFTER))
    return f"recovers {when}, and answers {after} of what is offered in the {min(AFTER, played - end):g} s after it"


def _compared(own: Result, other: Contender, result: Result) -> str:
    more = own.success - result.success
    if abs(more) < SAME:
        return f"answers as many requests as {other.name} does: {percent(own.success)}."
    shares = f"answers {percent(own.success)} of all requests, and {other.name} {percent(result.success)}"
    return f"{shares}: here it costs answers." if more < 0 else f"{shares}."
