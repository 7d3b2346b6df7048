"""Microseconds that each contender adds to a request that succeeds, over a transport that does nothing.

    python -m benchmarks.overhead
    python -m benchmarks.overhead --mode async --only naive,seawall --rounds 1000
    python -m benchmarks.overhead --library httpx2
    python -m benchmarks.overhead --socket

In each round each contender sends the same number of GETs and reads their bodies. What it adds is its time
less that of bare httpx *in the same round*, and its share of the naive stack is the ratio of what the two
added in that round; the table gives medians over the rounds.

With `--socket` the requests go to a server on this machine, through httpx's own connections or Seawall's.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import httpx

import seawall.httpx
from benchmarks import LIBRARY, measure, server
from benchmarks.measure import Bar, Skipped, Spread
from benchmarks.noop import BODY, URL, AsyncNoop, Noop, turn
from benchmarks.transports import MODULES

Mode = Literal["async", "sync"]
SEAWALL = ("seawall", "seawall-client")
PACKAGES = (
    *(LIBRARY, "tenacity", "pybreaker", "aiolimiter"),
    *("httpx-retries", "httpx-limiter", "httpx-tenacity", "httpx-hedged", "hyx", "stamina"),
)


# --- Measuring ---


@dataclass
class Contender:
    """A client over a transport of its own, and what its requests took, round by round."""

    name: str
    client: Any  # an httpx.Client or an httpx.AsyncClient
    inner: Any  # a no-op, or what sends over sockets
    timings: list[float] = field(default_factory=list)

    def works(self, responses: Sequence[httpx.Response]) -> None:
        """The first requests show whether it does, and let the interpreter specialise its code."""
        if not all(response.status_code == 200 and response.content == BODY for response in responses):
            raise RuntimeError(f"{self.name} does not hand on the response of the transport it wraps")

    def sent_once(self, requests: int) -> None:
        """A contender that retried or hedged was measured doing something else; a no-op has counted."""
        if isinstance(self.inner, Noop | AsyncNoop) and self.inner.requests != requests:
            raise RuntimeError(f"{self.name} sent {self.inner.requests} requests for {requests}")


Contenders = dict[str, Contender | Skipped]


def contenders(chosen: Sequence[str], function: str, make_inner: Callable[[str], Any]) -> Contenders:
    found: Contenders = {}
    for name in chosen:
        open_client = measure.load(f"benchmarks.transports.{MODULES[name]}", function)
        if isinstance(open_client, Skipped):
            found[name] = open_client
        else:
            inner = make_inner(name)
            found[name] = Contender(name, open_client(inner), inner)
    return found


def present(found: Contenders) -> list[Contender]:
    return [contender for contender in found.values() if isinstance(contender, Contender)]


def connections(mode: Mode, name: str) -> Any:
    """What a contender sends over sockets with: Seawall with its own pool, as its clients do."""
    if name in SEAWALL:
        return seawall.httpx.AsyncPool() if mode == "async" else seawall.httpx.Pool()
    return httpx.AsyncHTTPTransport() if mode == "async" else httpx.HTTPTransport()


def measure_sync(
    chosen: Sequence[str], rounds: int, requests: int, url: str, make_inner: Callable[[str], Any]
) -> Contenders:
    found = contenders(chosen, "sync_client", make_inner)
    for contender in present(found):
        contender.works([contender.client.get(url) for _ in range(requests)])
    measure.settle()
    for contender in measure.interleaved(present(found), rounds):
        contender.timings.append(time_sync(contender.client, requests, url))
    for contender in present(found):
        contender.client.close()
        contender.sent_once((rounds + 1) * requests)
    return found


async def measure_async(
    chosen: Sequence[str], rounds: int, requests: int, url: str, make_inner: Callable[[str], Any]
) -> Contenders:
    found = contenders(chosen, "async_client", make_inner)
    for contender in present(found):
        contender.works([await contender.client.get(url) for _ in range(requests)])
    measure.settle()
    for contender in measure.interleaved(present(found), rounds):
        contender.timings.append(await time_async(contender.client, requests, url=url))
    for contender in present(found):
        await contender.client.aclose()
        contender.sent_once((rounds + 1) * requests)
    return found


def time_sync(client: httpx.Client, requests: int, url: str) -> float:
    started = time.perf_counter()
    for _ in range(requests):
        client.get(url)
    return (time.perf_counter() - started) / requests * 1e6


async def time_async(
    client: httpx.AsyncClient, requests: int, turn: Callable[[], Awaitable[None]] = turn, url: str = URL
) -> float:
    started = time.perf_counter()
    for _ in range(requests):
        await client.get(url)
    await turn()  # the loop drops cancelled timers now, at the cost of whoever made them
    return (time.perf_counter() - started) / requests * 1e6


# --- Reporting ---


@dataclass(frozen=True)
class Row:
    """What one contender costs: microseconds, then shares (`of_naive` if the naive stack was measured)."""

    name: str
    request: Spread
    added: Spread
    of_bare: Spread
    of_naive: Spread | None

    COLUMNS = ("contender", "µs a request", "µs added", "quartiles", "of bare", "of naive", "quartiles")

    def cells(self) -> list[str]:
        if self.name == "bare":
            return [self.name, f"{self.request.median:.1f}", "", "", "", "", ""]
        naive = self.of_naive
        return [
            self.name,
            f"{self.request.median:.1f}",
            f"{self.added.median:.1f}",
            f"{self.added.low:.1f} to {self.added.high:.1f}",
            f"{self.of_bare.median:.1%}",
            f"{naive.median:.3f}" if naive else "",
            f"{naive.low:.3f} to {naive.high:.3f}" if naive else "",
        ]


Result = Row | tuple[str, Skipped]


def results(found: Contenders) -> list[Result]:
    timings = {contender.name: contender.timings for contender in present(found)}
    return [
        (name, contender)
        if isinstance(contender, Skipped)
        else row(name, contender.timings, timings["bare"], timings.get("naive"))
        for name, contender in found.items()
    ]


def row(name: str, timings: list[float], bare: list[float], naive: list[float] | None) -> Row:
    """Pair each round with its own bare and naive timings, then take medians: drift cancels out."""
    added = [mine - base for mine, base in zip(timings, bare, strict=True)]
    of_naive = None
    if naive is not None:
        pairs = zip(added, naive, bare, strict=True)
        of_naive = Spread.of(mine / (other - base) for mine, other, base in pairs)
    return Row(
        name=name,
        request=Spread.of(timings),
        added=Spread.of(added),
        of_bare=Spread.of(mine / base for mine, base in zip(added, bare, strict=True)),
        of_naive=of_naive,
    )


def bars(mode: Mode, measured: Sequence[Result]) -> list[Bar]:
    """What Seawall promises. A share of the naive stack holds on any machine, microseconds do not."""
    found = {entry.name: entry for entry in measured if isinstance(entry, Row)}
    judged = []
    for name in SEAWALL:
        entry = found.get(name)
        of_naive = entry.of_naive.median if entry and entry.of_naive else None
        of_bare = entry.of_bare.median if entry else None
        if mode == "async":
            judged.append(Bar(f"{name}, async: added / naive's added", of_naive, limit=0.33, aim=0.20))
            judged.append(Bar(f"{name}, async: added / bare AsyncClient.get", of_bare, limit=0.12))
        else:
            judged.append(Bar(f"{name}, sync: added / naive's added", of_naive, limit=0.45, aim=0.33))
    return judged


def show(mode: Mode, measured: Sequence[Result], *, markdown: bool) -> None:
    lines = [entry.cells() if isinstance(entry, Row) else [entry[0], str(entry[1])] for entry in measured]
    print(f"\n{f'**{mode}**' if markdown else mode}\n")
    print(measure.table(Row.COLUMNS, lines, markdown=markdown))


def data(measured: Sequence[Result]) -> list[dict[str, Any]]:
    return [
        asdict(entry) if isinstance(entry, Row) else {"name": entry[0], "skipped": entry[1].reason}
        for entry in measured
    ]


# --- The command ---


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = measure.parser("overhead", __doc__, MODULES)
    parser.add_argument("--mode", choices=("async", "sync", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=300, help="each gives one sample of each contender")
    parser.add_argument("--requests", type=int, default=40, help="per contender and round")
    parser.add_argument("--suspend", action="store_true", help="async: the no-op suspends once, as I/O would")
    parser.add_argument("--socket", action="store_true", help="send to a server on this machine, without any bars")
    options = parser.parse_args(argv)
    if options.smoke:
        options.rounds, options.requests = 2, 5
    if options.rounds < 1 or options.requests < 1:
        parser.error("--rounds and --requests must be positive")
    if options.socket and options.suspend:
        parser.error("--suspend is for the no-op: sockets do")
    if "bare" not in options.only:  # everything is added to it
        options.only.insert(0, "bare")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    facts = measure.environment(*PACKAGES)
    over = "; the no-op suspends" if options.suspend else " over a socket" if options.socket else ""
    print(f"{measure.describe(facts)}; {options.rounds} rounds of {options.requests} requests{over}")

    settings = {name: getattr(options, name) for name in ("rounds", "requests", "suspend", "socket")}
    result: dict[str, Any] = {"environment": facts, **settings}
    judged: list[Bar] = []
    for mode in ("async", "sync"):
        if options.mode in (mode, "both"):
            measured = results(run(mode, options))
            show(mode, measured, markdown=options.markdown)
            result[mode] = data(measured)
            if not options.socket:
                judged += bars(mode, measured)
    return measure.conclude(result, judged, options)


def run(mode: Mode, options: argparse.Namespace) -> Contenders:
    def inner(name: str) -> Any:
        if options.socket:
            return connections(mode, name)
        return Noop() if mode == "sync" else AsyncNoop(turn if options.suspend else None)

    spawn = multiprocessing.get_context("spawn")
    with server.running(spawn) if options.socket else contextlib.nullcontext(URL) as url:
        settings = options.only, options.rounds, options.requests, url, inner
        return measure_sync(*settings) if mode == "sync" else asyncio.run(measure_async(*settings))


if __name__ == "__main__":
    sys.exit(main())
