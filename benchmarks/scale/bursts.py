"""A burst of 50,000 GETs beside one of 1,000: is the rate the same?"""

from dataclasses import asdict
from multiprocessing.context import SpawnContext

from benchmarks import burst, server
from benchmarks.burst import Finished, Outcome
from benchmarks.measure import Bar, Spread
from benchmarks.scale.sections import Scale, Section


def measured(context: SpawnContext, scale: Scale) -> list[Section]:
    columns = ("contender", "requests", "requests/s", "first answer, s", "last answer, s", "failures")
    section = Section("GETs started together over a hundred connections", columns)
    with server.running(context) as url:
        for name in burst.SEAWALL:
            runs: dict[int, list[Outcome]] = {requests: [] for requests in scale.bursts}
            for _ in range(scale.rounds):
                for requests, outcomes in runs.items():
                    outcomes.append(burst.run(context, name, url, requests, burst.CONNECTIONS, scale.cap))
            for requests, outcomes in runs.items():
                section.rows.append(cells(name, requests, outcomes))
                data = [asdict(outcome) for outcome in outcomes]
                section.figures.append({"name": name, "requests": requests, "runs": data})
                section.works &= burst.works(burst.Contender(name, outcomes))
            section.bars.append(bar(name, runs))
    return [section]


def cells(name: str, requests: int, outcomes: list[Outcome]) -> list[str]:
    entry = burst.Contender(name, outcomes)
    if entry.stopped:
        return [name, f"{requests:,}: {entry.stopped}"]
    rate, first, last, failures = burst.cells(entry)[1:]
    return [name, f"{requests:,}", rate, first, last, failures]


def bar(name: str, runs: dict[int, list[Outcome]]) -> Bar:
    """The ratio of the rates within a round; none if a burst was not through, or not all of it was answered."""
    few, many = runs
    pairs = list(zip(runs[few], runs[many], strict=True))
    ratios = [
        more.rate / less.rate
        for less, more in pairs
        if isinstance(less, Finished) and isinstance(more, Finished) and not less.failures + more.failures
    ]
    ratio = Spread.of(ratios).median if len(ratios) == len(pairs) else None
    return Bar(f"{name}: rate of {many:,} / rate of {few:,}", ratio, limit=0.9, at_least=True)
