"""What becomes of a server in trouble, under Seawall and under published algorithms, in simulated time.

    python -m benchmarks.overload
    python -m benchmarks.overload --scenario stall,outage --seeds 20 --report-only

Exit status 1 if a target is missed, unless --report-only is given.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import measure
from benchmarks.overload.contenders import NAMES, contenders
from benchmarks.overload.runs import NEVER, Played, Run, across, play_all, seeds
from benchmarks.overload.targets import bars, compared, shown, variants
from seawall.testing.simulation import SCENARIOS, overload

HOUR = "hour"
"""The scenario that is about speed: nothing happens, for an hour."""
REFERENCE_COLUMNS = (
    "algorithm", "recovery, s", "ref.", "goodput after", "ref.", "outage peak", "ref.", "success at 10 %", "ref."
)  # fmt: skip


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    known = (*SCENARIOS, HOUR)

    def choice(names: Sequence[str]) -> object:
        def selection(text: str) -> list[str]:
            chosen = [part.strip() for part in text.split(",")]
            if unknown := [name for name in chosen if name not in names]:
                raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(names)}")
            return chosen

        return selection

    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--scenario", type=choice(known), default=list(known), metavar="NAME,...", help=", ".join(known)
    )
    parser.add_argument("--only", type=choice(NAMES), default=list(NAMES), metavar="NAME,...", help=", ".join(NAMES))
    parser.add_argument("--seeds", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="at once (default one a processor)")
    parser.add_argument("--report-only", action="store_true", help="exit with status 0 whatever is missed")
    parser.add_argument("--smoke", action="store_true", help="one short run of two scenarios, not judged")
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file")
    options = parser.parse_args(argv)
    if options.seeds < 1 or options.processes < 1:
        parser.error("--seeds and --processes must be at least 1")
    return options


def planned(options: argparse.Namespace) -> list[Run]:
    """Everything that is to be played."""
    if options.smoke:
        short = overload("stall", load=0.1, duration=72), replace(SCENARIOS["herd"], drain=20.0)
        return [Run(name, scenario, 0, scenario.name) for scenario in short for name in contenders(scenario)]
    runs: list[Run] = []
    for name in options.scenario:
        if name == HOUR:
            if "seawall" in options.only:
                runs.append(Run("seawall", overload("calm", duration=3600.0), 0, HOUR))
            continue
        scenario = SCENARIOS[name]
        for contender in contenders(scenario):
            if contender in options.only:
                runs += seeds(contender, scenario, options.seeds, name)
        if "seawall" in options.only:
            for variant, data in variants(name).items():
                runs += seeds("seawall", data, options.seeds, variant)
    return runs


def show(title: str, about: str, groups: dict[str, list[Played]], *, markdown: bool) -> None:
    """One scenario's table."""
    columns = list(next(iter(groups.values()))[0].figures)
    rows = [
        [name, *(shown(across(group, figure), 3) for figure in columns), f"{across_seconds(group):.1f}"]
        for name, group in groups.items()
    ]
    print(f"\n{f'**{title}**' if markdown else title}: {about}\n")
    print(measure.table(["contender", *columns, "took, s"], rows, markdown=markdown), flush=True)


def across_seconds(group: list[Played]) -> float:
    return sum(one.seconds for one in group) / len(group)


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    facts = measure.environment("httpx", "tenacity")
    print(f"{measure.describe(facts)}; seeds 0 to {options.seeds - 1}")
    runs = planned(options)
    groups: dict[tuple[str, str], list[Played]] = {}
    left = {variant: sum(run.variant == variant for run in runs) for variant in dict.fromkeys(r.variant for r in runs)}
    for one in play_all(runs, options.processes):
        variant = one.run.variant
        groups.setdefault((variant, one.run.contender), []).append(one)
        left[variant] -= 1
        if not left[variant]:
            table = {name: group for (scenario, name), group in groups.items() if scenario == variant}
            show(variant, one.run.scenario.about, table, markdown=options.markdown)

    judged = [] if options.smoke else bars(groups)
    if rows := compared(groups):
        print("\nMeasured, the spread over the seeds, and the reference\n")
        print(measure.table(REFERENCE_COLUMNS, rows, markdown=options.markdown))
    if judged:
        print(f"\n{measure.table(measure.BAR_COLUMNS, [bar.row() for bar in judged], markdown=options.markdown)}")
    if options.json:
        data = {
            "environment": facts,
            "runs": [
                {
                    "scenario": variant,
                    "contender": contender,
                    "seed": one.run.seed,
                    "figures": {name: None if value == NEVER else value for name, value in one.figures.items()},
                    "digest": one.digest,
                    "seconds": one.seconds,
                }
                for (variant, contender), group in groups.items()
                for one in group
            ],
            "bars": [bar.data() | {"value": None if bar.value == NEVER else bar.value} for bar in judged],
        }
        options.json.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    return int(not options.report_only and not all(bar.met for bar in judged))


if __name__ == "__main__":
    sys.exit(main())
