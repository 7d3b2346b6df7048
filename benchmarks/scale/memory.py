"""Bytes that stay allocated, as tracemalloc counts them, per waiting call, idle key and open circuit."""

import asyncio
import gc
import tracemalloc
from multiprocessing.context import SpawnContext

from benchmarks.scale.keys import pass_through, transport
from benchmarks.scale.lines import AtFutures, Line, Waiting, cancel, line_up
from benchmarks.scale.sections import Scale, Section, apart


def allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def waiting(line: Line | None, count: int) -> float:
    return asyncio.run(_waiting(line, count))


async def _waiting(line: Line | None, count: int) -> float:
    calls = Waiting(line, count) if line else AtFutures(count)
    tracemalloc.start()
    before = allocated()
    await line_up(calls, count)
    taken = allocated() - before
    tracemalloc.stop()
    await cancel(calls.tasks)
    return taken / count


def keys(count: int, *, opened: bool) -> float:
    """One call to each origin. The first few, before, make what is made once."""
    client = transport(count + 100, failing=opened)
    pass_through(client, range(-100, 0))
    tracemalloc.start()
    before = allocated()
    pass_through(client, range(count))
    return (allocated() - before) / count


def opened_keys(count: int) -> float:
    return keys(count, opened=True)


def idle_keys(count: int) -> float:
    return keys(count, opened=False)


def measured(context: SpawnContext, scale: Scale) -> list[Section]:
    count = scale.counted
    plain = apart(context, waiting, None, count)
    rows: list[tuple[str, float, float | None]] = [("task and request, waiting at a future", plain, None)]
    for line in ("limit", "throttle"):
        whole = apart(context, waiting, line, count)
        rows.append((f"call waiting in the line of a {line}", whole, whole - plain))
    for name, function in (("idle key, standard stack", idle_keys), ("open circuit, its key included", opened_keys)):
        whole = apart(context, function, count)
        rows.append((name, whole, whole))
    section = Section(f"Memory of {count:,} of each", ("of what", "bytes each", "of them Seawall's"))
    for name, whole, own in rows:
        section.rows.append([name, f"{whole:,.0f}", "" if own is None else f"{own:,.0f}"])
        section.figures.append({"of": name, "bytes": whole, "seawall": own})
    return [section]
