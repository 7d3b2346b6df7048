"""A million origins through one bounded `State`, and a hundred thousand open circuits in another.

Each origin is called once, through the sync transport and the standard stack, over a transport that answers at
once. A look-up is what a call does to find its chain, and no more: the lines of `Core.call`.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from multiprocessing.context import SpawnContext
from typing import Any, TypeVar

import httpx

import seawall
import seawall.httpx
from benchmarks import measure
from benchmarks.measure import Bar, Spread
from benchmarks.noop import Noop
from benchmarks.scale.sections import Scale, Section, apart, resident

T = TypeVar("T")

HOUR = 3600.0
FLAT = 1.1
SAMPLE = 2_000  # calls per timing
BATCH = 20  # URLs made before they are looked up
OPENING = seawall.standard().replace(seawall.CircuitBreaker(consecutive=1, window=20, open_for=HOUR, max_open_for=HOUR))


class Failing(httpx.BaseTransport):
    """Answers 503 at once."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(503)


def transport(max_keys: int, *, failing: bool = False) -> seawall.httpx.Transport:
    logging.getLogger("seawall").disabled = True  # it tells of every circuit that opens
    stack, inner = (OPENING, Failing()) if failing else (seawall.standard(), Noop())
    return seawall.httpx.Transport(stack, transport=inner, state=seawall.State(max_keys))


def url(number: int) -> str:
    return f"https://host-{number}.example.com"


def post(number: int) -> httpx.Request:
    """What nobody sends twice, so that a circuit opens by one call."""
    return httpx.Request("POST", url(number))


def pass_through(client: seawall.httpx.Transport, numbers: Iterable[int]) -> None:
    for number in numbers:
        client.handle_request(post(number)).read()


def each(use: Callable[[T], Any], items: Sequence[T]) -> float:
    """Microseconds for one."""
    begin = time.perf_counter()
    for item in items:
        use(item)
    return (time.perf_counter() - begin) / len(items) * 1e6


def look_up(client: seawall.httpx.Transport, numbers: Sequence[int]) -> float:
    """Microseconds to find the chain of an origin that is known.

    A call has made its URL just before: each is new, so that its host has no hash yet, and at hand in the processor's
    cache, which it would not be if thousands were made before the first is looked up.
    """
    core, chains, origin = client.core, client.state.chains, client.core.family.origin
    now, taken = time.monotonic(), 0.0
    for start in range(0, len(numbers), BATCH):
        urls = [httpx.URL(url(number)) for number in numbers[start : start + BATCH]]
        begin = time.perf_counter()
        for asked in urls:
            key = core, origin(asked)
            chain = chains.get(key)
            if chain is None:
                raise RuntimeError(f"{asked} is not known")
            chain.used = now
        taken += time.perf_counter() - begin
    return taken / len(numbers) * 1e6


def calls(client: seawall.httpx.Transport, numbers: Iterable[int]) -> float:
    """Microseconds for a call that succeeds, and its body."""
    return each(lambda request: client.handle_request(request).read(), [post(number) for number in numbers])


# --- A million origins ---


def origins(max_keys: int, milestones: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    """Memory and times at each milestone, on the way to the last."""
    client = transport(max_keys)
    dice = random.Random(2)
    passed, found, before = 0, [], resident()
    for milestone in milestones:
        sample = min(SAMPLE, max_keys // 2)
        pass_through(client, range(passed, milestone - rounds * sample))
        passed = milestone - rounds * sample
        memory = resident() - before
        figures: dict[str, Any] = {"origins": milestone, "bytes": memory, "look_up": [], "known": [], "new": []}
        for _ in range(rounds):
            latest = range(passed - sample, passed)
            figures["look_up"].append(look_up(client, dice.sample(latest, sample)))
            figures["known"].append(calls(client, dice.sample(latest, sample)))
            figures["new"].append(calls(client, range(passed, passed + sample)))
            passed += sample
        figures["keys"] = len(client.state.chains)
        found.append(figures)
    return found


def million(context: SpawnContext, scale: Scale) -> Section:
    columns = ("origins", "keys kept", "MB more", "µs to look up", "quartiles", "µs, known", "µs, new")
    section = Section(f"Distinct origins through one State(max_keys={scale.keys})", columns)
    section.figures = apart(context, origins, scale.keys, scale.origins, scale.rounds)
    for figures in section.figures:
        spread = Spread.of(figures["look_up"])
        known, new = (Spread.of(figures[name]).median for name in ("known", "new"))
        section.rows.append(
            [
                *(f"{figures['origins']:,}", f"{figures['keys']:,}", f"{figures['bytes'] / 1e6:.1f}"),
                *(f"{spread.median:.2f}", f"{spread.low:.2f} to {spread.high:.2f}", f"{known:.1f}", f"{new:.1f}"),
            ]
        )
    first, last = section.figures[0], section.figures[-1]
    kept = max(figures["keys"] for figures in section.figures)
    section.bars = [
        Bar(f"memory at {last['origins']:,} / at {first['origins']:,} origins", last["bytes"] / first["bytes"], FLAT),
        Bar("most keys kept", kept, limit=scale.keys),
        Bar("look-up of a known origin, µs", Spread.of(last["look_up"]).median, limit=1.5),
    ]
    return section


# --- Open circuits ---


def circuits(count: int, rounds: int) -> dict[str, Any]:
    client = transport(2 * count, failing=True)
    state, dice = client.state, random.Random(2)
    before = resident()
    begin = time.perf_counter()
    pass_through(client, range(count))
    making = (time.perf_counter() - begin) / count * 1e6
    figures: dict[str, Any] = {"circuits": count, "making": making, "bytes": resident() - before}
    timings: dict[str, list[float]] = {"look_up": [], "rejected": [], "circuit": [], "missing": []}
    measure.settle()
    some = min(SAMPLE, count)
    for _ in range(rounds):
        timings["look_up"].append(look_up(client, dice.sample(range(count), some)))
        requests = [post(number) for number in dice.sample(range(count), some)]
        timings["rejected"].append(each(partial(refused, client), requests))
        timings["circuit"].append(each(state.circuit, [url(number) for number in dice.sample(range(count), 20)]))
        timings["missing"].append(each(partial(no_circuit, state), ["https://nowhere.example.com"]))
    still_open = sum(circuit.state == "open" for circuit in state.circuits())
    return figures | timings | {"open": still_open}


def refused(client: seawall.httpx.Transport, request: httpx.Request) -> None:
    try:
        client.handle_request(request)
    except seawall.CircuitOpen:
        return
    raise RuntimeError(f"the circuit for {request.url} let a call in")


def no_circuit(state: seawall.State, key: str) -> None:
    try:
        state.circuit(key)
    except KeyError:
        return
    raise RuntimeError(f"there is a circuit for {key}")


def opened(context: SpawnContext, scale: Scale) -> Section:
    columns = (
        "circuits",
        "still open",
        "MB",
        "µs to open",
        "µs to look up",
        "µs rejected",
        "circuit(), µs",
        "if none, µs",
    )
    section = Section("Open circuits in one State with room for twice as many keys", columns)
    for count in scale.circuits:
        figures = apart(context, circuits, count, scale.rounds)
        section.figures.append(figures)
        times = [Spread.of(figures[name]).median for name in ("look_up", "rejected", "circuit", "missing")]
        section.rows.append(
            [
                *(f"{count:,}", f"{figures['open']:,}", f"{figures['bytes'] / 1e6:.1f}", f"{figures['making']:.1f}"),
                *(f"{times[0]:.2f}", f"{times[1]:.1f}", f"{times[2]:,.1f}", f"{times[3]:,.0f}"),
            ]
        )
    last = section.figures[-1]
    section.bars = [
        Bar(f"of {last['circuits']:,} open circuits stay open", last["open"], limit=last["circuits"], at_least=True),
        Bar("look-up of an origin among them, µs", Spread.of(last["look_up"]).median, limit=1.5),
    ]
    return section


def measured(context: SpawnContext, scale: Scale) -> list[Section]:
    return [million(context, scale), opened(context, scale)]
