"""What stays per waiting call, idle key and open circuit: bytes, as tracemalloc counts them, and containers.

Containers are what the collector of garbage walks through at each of its full passes.
"""

import asyncio
import gc
import tracemalloc
from multiprocessing.context import SpawnContext
from typing import NamedTuple

from benchmarks.scale.keys import pass_through, transport
from benchmarks.scale.lines import AtFutures, Line, Waiting, cancel, line_up
from benchmarks.scale.sections import Scale, Section, apart


class Size(NamedTuple):
    """Of one of many."""

    bytes: float
    containers: float


def allocated() -> tuple[int, int]:
    gc.collect()
    return tracemalloc.get_traced_memory()[0], len(gc.get_objects())


def of_each(before: tuple[int, int], count: int) -> Size:
    return Size(*((now - then) / count for now, then in zip(allocated(), before, strict=True)))


def waiting(line: Line | None, count: int) -> Size:
    return asyncio.run(_waiting(line, count))


async def _waiting(line: Line | None, count: int) -> Size:
    calls = Waiting(line, count) if line else AtFutures(count)
    tracemalloc.start()
    before = allocated()
    await line_up(calls, count)
    size = of_each(before, count)
    tracemalloc.stop()
    await cancel(calls.tasks)
    return size


def keys(count: int, *, opened: bool) -> Size:
    """One call to each origin. The first few, before, make what is made once."""
    client = transport(count + 100, failing=opened)
    pass_through(client, range(-100, 0))
    tracemalloc.start()
    before = allocated()
    pass_through(client, range(count))
    return of_each(before, count)


def opened_keys(count: int) -> Size:
    return keys(count, opened=True)


def idle_keys(count: int) -> Size:
    return keys(count, opened=False)


def measured(context: SpawnContext, scale: Scale) -> list[Section]:
    count = scale.counted
    plain = apart(context, waiting, None, count)
    rows: list[tuple[str, Size, Size]] = [("task and request, waiting at a future", plain, Size(0, 0))]
    for line in ("limit", "throttle"):
        whole = apart(context, waiting, line, count)
        own = Size(*(all_of - others for all_of, others in zip(whole, plain, strict=True)))
        rows.append((f"call waiting in the line of a {line}", whole, own))
    for name, function in (("idle key, standard stack", idle_keys), ("open circuit, its key included", opened_keys)):
        whole = apart(context, function, count)
        rows.append((name, whole, whole))
    columns = ("of what", "bytes each", "of them Seawall's", "containers each", "of them Seawall's")
    section = Section(f"Memory of {count:,} of each", columns)
    for name, whole, own in rows:
        section.rows.append(
            [name, f"{whole.bytes:,.0f}", f"{own.bytes:,.0f}", f"{whole.containers:.1f}", f"{own.containers:.1f}"]
        )
        section.figures.append({"of": name, "whole": whole._asdict(), "seawall": own._asdict()})
    return [section]
