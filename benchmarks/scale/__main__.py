"""Thousands of waiting calls, 50,000 GETs, a million origins, a hundred thousand open circuits.

    python -m benchmarks.scale
    python -m benchmarks.scale --only lines --rounds 9

Every measurement has a process of its own.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks import measure
from benchmarks.scale import bursts, keys, lines, memory
from benchmarks.scale.sections import Scale

PARTS = {"lines": lines.measured, "bursts": bursts.measured, "memory": memory.measured, "keys": keys.measured}
PACKAGES = ("httpx", "httpcore", "pybreaker")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = measure.parser("scale", __doc__, PARTS)
    parser.add_argument("--rounds", type=int, default=5, help="each gives one sample of each timing")
    parser.add_argument("--cap", type=float, default=120.0, metavar="SECONDS", help="stop a burst after this")
    options = parser.parse_args(argv)
    if options.rounds < 1 or options.cap <= 0:
        parser.error("--rounds and --cap must be positive")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    scale = Scale.smoke(options.cap) if options.smoke else Scale(options.rounds, options.cap)
    facts = measure.environment(*PACKAGES)
    print(f"{measure.describe(facts)}; {scale.rounds} rounds")

    context = multiprocessing.get_context("spawn")
    sections = []
    for part in options.only:
        for section in PARTS[part](context, scale):
            section.show(markdown=options.markdown)
            sections.append(section)
    figures = {section.title: section.figures for section in sections}
    result = {"environment": facts, "scale": asdict(scale), "sections": figures}
    if options.smoke and not all(section.works for section in sections):
        return 1
    return measure.conclude(result, [bar for section in sections for bar in section.bars], options)


if __name__ == "__main__":
    sys.exit(main())
