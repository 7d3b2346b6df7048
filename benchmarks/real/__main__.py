"""Does virtual time predict the real thing? A stall in real time, over real sockets, beside the simulation of it.

    python -m benchmarks.real            # two minutes, in which one core is half busy

The same stack, the same data, the same times of calls and of service; in reality with HTTP, sockets and an event loop
in between. Exit status 1 if a figure of a real run lies outside what simulated runs of other seeds span.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import measure
from benchmarks.real.figures import SLACK, STACKS, STALL, figures, spanned, stall
from benchmarks.real.play import play
from seawall.testing.simulation import simulate

SEEDS = 20


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", choices=STACKS, nargs="+", default=list(STACKS), help="which stacks (all of them)")
    parser.add_argument("--smoke", action="store_true", help="a few seconds, to see that everything works; not judged")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file")
    options = parser.parse_args(argv)
    scenario, seeds = (stall(slots=3, begin=0.5, end=1, duration=2), 2) if options.smoke else (STALL, SEEDS)
    logging.getLogger("seawall").addHandler(logging.NullHandler())  # the circuits and budgets say what they should
    facts = measure.environment("httpx", "httpcore")
    print(f"{measure.describe(facts)}\n\n{scenario.about}\n", flush=True)

    rows, runs = [], []
    for name in options.only:
        spans = spanned(simulate(scenario, STACKS[name], seed=seed) for seed in range(seeds))
        same = figures(simulate(scenario, STACKS[name], seed=options.seed))
        real = asyncio.run(play(scenario, STACKS[name], seed=options.seed))
        for figure, value in figures(real.result).items():
            low, high = spans[figure]
            inside = low - SLACK[figure] <= value <= high + SLACK[figure]
            runs.append({"stack": name, "figure": figure, "real": value, "same": same[figure], "span": [low, high]})
            runs[-1] |= {"inside": inside, "late": real.late, "strain": real.strain}
            row = [name, figure, f"{value:.3f}", f"{same[figure]:.3f}", f"{low:.3f} to {high:.3f}"]
            rows.append([*row, "-" if options.smoke else "inside" if inside else "OUTSIDE"])
        late, strain = real.late * 1000, real.strain * 1000
        print(f"{name}: the event loop was late by {late:.0f} ms at most, {strain:.1f} ms in the mean", flush=True)
    columns = ("stack", "figure", "real", "simulated, same seed", f"simulated, {seeds} seeds", "verdict")
    print(f"\n{measure.table(columns, rows, markdown=options.markdown)}")
    if options.json:
        options.json.write_text(json.dumps({"environment": facts, "runs": runs}, indent=2) + "\n", encoding="utf-8")
    return int(not options.smoke and not all(run["inside"] for run in runs))


if __name__ == "__main__":
    sys.exit(main())
