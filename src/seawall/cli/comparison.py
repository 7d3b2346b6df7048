"""The demo's result in words: a table of both halves, and a reading that follows from its numbers."""

from collections.abc import Iterator

from rich.table import Table

from .traffic import Measured

LATE = 0.25
"""Seconds; from here on it is the machine that is measured."""


def table(bare: Measured, protected: Measured) -> Table:
    """Both halves side by side; at most 78 columns wide."""
    grid = Table(title="The same traffic, twice")
    grid.add_column("")
    grid.add_column(bare.label, justify="right")
    grid.add_column(protected.label, justify="right")
    pairs = zip(_rows(bare), _rows(protected), strict=True)
    for (name, left), (_, right) in pairs:
        grid.add_row(name, left, right)
    return grid


def _rows(half: Measured) -> Iterator[tuple[str, str]]:
    done = len(half.outcomes)
    yield "requests finished", f"{done} of {half.planned}" if done < half.planned else str(done)
    yield "succeeded", f"{half.succeeded}{_percent(half.succeeded, done)}"
    yield "failed", f"{half.failed}{_percent(half.failed, done)}"
    yield "  offered outside the outage", f"{half.lost(during=False)} of {half.offered(during=False)}"
    yield "  offered during the outage", f"{half.lost(during=True)} of {half.offered(during=True)}"
    yield "attempts the server received", str(half.received.total())
    yield "  during its outage", str(half.received["outage"])
    yield "p50 latency, succeeded", seconds(half.latency(0.5))
    yield "p99 latency, succeeded", seconds(half.latency(0.99))
    yield "p50 time to fail", seconds(half.latency(0.5, ok=False))
    yield "circuit transitions", str(len(half.transitions)) if half.transitions else "-"


def reading(bare: Measured, protected: Measured) -> str:
    """What the numbers say, the unwelcome ones included."""
    return " ".join(
        (
            *_doubts(bare, protected),
            _losses(bare, protected),
            *_outage(bare, protected),
            _load(bare, protected),
            *_price(bare, protected),
        )
    )


def failures(half: Measured) -> str:
    """What the failed requests ended with, the most frequent first."""
    kinds = ", ".join(f"{count} x {name}" for name, count in half.failures().most_common())
    return f"{half.label} failed with: {kinds or 'nothing'}"


def timeline(half: Measured) -> str:
    """When the circuit opened and closed, and how often it tried in between."""
    said, failed = [], 0
    for step in half.transitions:
        if step.new == "closed":
            said.append(f"closed at {step.at:.2f} s after {failed} failed probe{'' if failed == 1 else 's'}")
        elif step.old == "closed":
            failed = 0
            said.append(f"opened at {step.at:.2f} s")
        else:
            failed += step.new == "open"
    if half.transitions and half.transitions[-1].new != "closed":
        said.append(f"still {half.transitions[-1].new} at the end after {failed} failed probes")
    return f"The circuit {', '.join(said) or 'stayed closed'}."


def seconds(value: float | None) -> str:
    """A duration with three digits that matter: `0.4 ms`, `21 ms`, `1.53 s`."""
    if value is None:
        return "-"
    if value >= 0.9995:
        return f"{value:.2f} s"
    return f"{value * 1000:.0f} ms" if value >= 0.00995 else f"{value * 1000:.1f} ms"


def _percent(part: int, whole: int) -> str:
    return f" ({100 * part / whole:.1f} %)" if whole else ""


def _doubts(bare: Measured, protected: Measured) -> Iterator[str]:
    late = max(bare.late, protected.late)
    if late > LATE:
        yield (
            f"This machine did not keep up: requests started up to {seconds(late)} late, so the numbers tell more "
            f"about it than about the clients; try fewer --requests."
        )


def _losses(bare: Measured, protected: Measured) -> str:
    said = (
        f"Of {_count(bare.offered(during=False), 'request')} offered while the server was up (if flaky), "
        f"bare httpx lost {bare.lost(during=False)} and Seawall {protected.lost(during=False)}"
    )
    if protected.lost(during=False) > bare.lost(during=False):
        return f"{said}: here the protection did harm."
    if protected.lost(during=False) == bare.lost(during=False):
        return f"{said}: no difference."
    return f"{said}."


def _outage(bare: Measured, protected: Measured) -> Iterator[str]:
    offered, left, right = bare.offered(during=True), bare.lost(during=True), protected.lost(during=True)
    if not offered:
        return
    yield f"The outage cost bare httpx {left} of {_count(offered, 'request')} and Seawall {right}" + (
        ": nobody gets an answer from a server that is down." if min(left, right) >= 0.9 * offered else "."
    )
    sent, kept = bare.received["outage"], protected.received["outage"]
    if not protected.transitions:
        yield f"The circuit did not open: {_count(kept, 'attempt')} reached the failing server, {sent} from bare httpx."
    elif kept < sent:
        yield f"What the circuit changed: {_count(kept, 'attempt')} reached the failing server instead of {sent}."
    else:
        yield f"The circuit spared the failing server nothing: {_count(kept, 'attempt')} reached it, {sent} without."


def _load(bare: Measured, protected: Measured) -> str:
    left, right = bare.received.total(), protected.received.total()
    compared = "fewer than" if right < left else "more than" if right > left else "as many as"
    return f"In all Seawall sent {_count(right, 'attempt')}, {compared} bare httpx's {left}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _price(bare: Measured, protected: Measured) -> Iterator[str]:
    medians = bare.latency(0.5), protected.latency(0.5)
    tails = bare.latency(0.99), protected.latency(0.99)
    if medians[0] is None or medians[1] is None or tails[0] is None or tails[1] is None:
        return
    said = (
        f"half of its successes took {seconds(medians[1])} or more and one in a hundred {seconds(tails[1])} or "
        f"more (bare httpx: {seconds(medians[0])} and {seconds(tails[0])})"
    )
    if medians[1] > medians[0] or tails[1] > tails[0]:
        yield (
            f"The price is waiting: {said}, for they include requests that were retried, or held back as the "
            f"server asked."
        )
    else:
        yield f"Nor did it cost time: {said}."
