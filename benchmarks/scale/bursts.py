"""A burst of 50,000 GETs beside ones of 1,000: is the rate the same?

A small burst is over in a second, in which a shared machine may be at any of its speeds, while a large one lasts for a
minute and has its share of all of them. So each large one stands between small ones and is compared with their rate
taken together: all of their requests in all of their seconds.
"""

from dataclasses import asdict
from multiprocessing.context import SpawnContext

from benchmarks import burst, server
from benchmarks.burst import Outcome
from benchmarks.measure import Bar, Spread
from benchmarks.scale.sections import Scale, Section


def measured(context: SpawnContext, scale: Scale) -> list[Section]:
    columns = ("contender", "requests", "requests/s", "first answer, s", "last answer, s", "failures")
    section = Section("GETs started together over a hundred connections", columns)
    with server.running(context) as url:
        for name in burst.SEAWALL:
            few, many = scale.bursts
            runs: dict[int, list[Outcome]] = {few: [], many: []}
            small = [few] * scale.around
            for requests in [*small, many, *small] * scale.rounds:
                runs[requests].append(burst.run(context, name, url, requests, burst.CONNECTIONS, scale.cap))
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
    small, large = (burst.Contender(name, runs[requests]).finished for requests in runs)
    ratio = None
    if small and large and not any(run.failures for run in small + large):
        each = len(small) // len(large)
        around = [small[place : place + each] for place in range(0, len(small), each)]
        usual = [sum(run.requests for run in runs) / sum(run.last for run in runs) for runs in around]
        ratio = Spread.of(more.rate / less for more, less in zip(large, usual, strict=True)).median
    return Bar(f"{name}: rate of {many:,} / rate of {few:,}", ratio, limit=0.9, at_least=True)
