"""hishel's cache, outside Seawall and inside it."""

import importlib
from pathlib import Path
from typing import Any

import documentation
import httpx
import httpx2
import pytest
import tenacity
from drivers import known
from real.conftest import Serve
from real.modes import Mode
from real.servers import Connection, Heard, answers, hold, response

import seawall
from seawall import CircuitBreaker, CircuitOpen, ConcurrencyLimit, Retry, Stack, Throttle, Timeout

hishel = pytest.importorskip("hishel")
pytest.importorskip("hishel.httpx")
pytest.importorskip("hishel.httpx2")

PAGE = Path(__file__).parents[2] / "docs/integrations/hishel.md"
POLICIES = Stack(
    Timeout(30),
    Retry(wait=tenacity.wait_none()),
    CircuitBreaker(consecutive=1),
    ConcurrencyLimit(1, queue=0),
    Throttle(10, per=3600),
)
"""Room for one call at a time: another is refused at once."""

FRESH = response(b"fresh", Cache_Control="max-age=3600")


def site(connection: Connection) -> None:
    """Answers that may be kept for an hour, for no time at all, or not; what is stale is confirmed."""
    while request := connection.request():
        connection.send(page(request))


def page(request: Heard) -> bytes:
    if request.headers.get("if-none-match"):
        return response(b"", status="304 Not Modified", ETag='"1"', Cache_Control="max-age=0")
    if request.target == "/fresh":
        return FRESH
    if request.target in ("/stale", "/strict"):
        also = ", must-revalidate" if request.target == "/strict" else ""
        return response(b"old", Cache_Control=f"max-age=0{also}", ETag='"1"')
    return response(b"never kept", Cache_Control="no-store")


class Each(Mode):
    """A mode of one library, with hishel's transport for it."""

    library: str

    def cached(self, inner: Any, folder: Path) -> Any:
        """hishel's transport around another."""
        prefix = "Async" if self.is_async else ""
        storage = getattr(hishel, f"{prefix}SqliteStorage")(database_path=folder / "cache.db")
        home = importlib.import_module(f"hishel.{self.library}")
        return getattr(home, f"{prefix}CacheTransport")(inner, storage=storage, rfc=True)


@pytest.fixture(params=["httpx", "httpx2"])
def each(request: pytest.FixtureRequest, mode: Mode) -> Each:
    """Both libraries, one after the other."""
    made = Each(mode.name, importlib.import_module(f"seawall.{request.param}"), importlib.import_module(request.param))
    made.library = request.param
    return made


def spent(state: seawall.State) -> float:
    """How many calls have started."""
    return 10 - float(known(state, Throttle)["tokens"])


# -- the cache outside


async def test_an_answer_from_the_cache_costs_nothing(mode: Mode, each: Each, serve: Serve, tmp_path: Path) -> None:
    """With the cache outside, only the first of three equal requests is sent, and spends a start."""
    server = serve(site)
    guarded = each.Transport(POLICIES)
    async with each.using(each.Plain(transport=each.cached(guarded, tmp_path))) as client:
        first, *others = [await each.get(client, server.url("/fresh")) for _ in range(3)]
    assert [answer.content for answer in (first, *others)] == [b"fresh"] * 3
    assert [answer.extensions["caching"]["from_cache"] for answer in (first, *others)] == [False, True, True]
    assert len(server.heard) == 1
    assert spent(guarded.state) == 1
    assert len(seawall.report(first).attempts) == 1
    with pytest.raises(LookupError, match="not the outcome of a call made through Seawall"):
        seawall.report(others[0])


async def test_the_cache_answers_while_nothing_gets_through(
    mode: Mode, each: Each, serve: Serve, tmp_path: Path
) -> None:
    """With every slot taken, or the circuit open, what is stored is served, and what is not is refused."""
    server = serve(site)
    guarded = each.Transport(POLICIES)
    async with each.using(each.Plain(transport=each.cached(guarded, tmp_path))) as client:
        await each.get(client, server.url("/fresh"))
        busy = await each.open(client, server.url("/other"))
        with pytest.raises(seawall.QueueFull):
            await each.get(client, server.url("/another"))
        assert (await each.get(client, server.url("/fresh"))).content == b"fresh"
        await each.close(busy)
        guarded.state.circuit(server.origin).isolate()
        with pytest.raises(CircuitOpen):
            await each.get(client, server.url("/other"))
        assert (await each.get(client, server.url("/fresh"))).content == b"fresh"


async def test_a_revalidation_is_a_call(mode: Mode, each: Each, serve: Serve, tmp_path: Path) -> None:
    """A stale answer is confirmed through Seawall: a start is spent, and the slot of the 304 comes back."""
    server = serve(site)
    guarded = each.Transport(POLICIES)
    async with each.using(each.Plain(transport=each.cached(guarded, tmp_path))) as client:
        told = [await each.get(client, server.url("/stale")) for _ in range(3)]
    assert [answer.content for answer in told] == [b"old"] * 3
    assert [answer.extensions["caching"]["revalidated"] for answer in told] == [False, True, True]
    assert [heard.headers.get("if-none-match") for heard in server.heard] == [None, '"1"', '"1"']
    assert spent(guarded.state) == 3
    assert known(guarded.state, ConcurrencyLimit)["in_use"] == 0


async def test_only_the_last_outcome_is_stored(mode: Mode, each: Each, serve: Serve, tmp_path: Path) -> None:
    """A 503 that a retry mended is not stored; the answer that mended it is."""
    busy = response(b"busy", status="503 Busy", Cache_Control="max-age=3600")
    server = serve(answers(busy, FRESH))
    guarded = each.Transport(POLICIES.without(CircuitBreaker))
    async with each.using(each.Plain(transport=each.cached(guarded, tmp_path))) as client:
        first = await each.get(client, server.url("/fresh"))
        assert (await each.get(client, server.url("/fresh"))).content == b"fresh"
    assert [attempt.status for attempt in seawall.report(first).attempts] == [503, 200]
    assert len(server.heard) == 2


async def test_an_answer_that_is_left_early_gives_its_slot_back(
    mode: Mode, each: Each, serve: Serve, tmp_path: Path
) -> None:
    """A response that the cache would have stored, closed before its end, frees the slot and is not stored."""
    server = serve(site)
    guarded = each.Transport(POLICIES)
    async with each.using(each.Plain(transport=each.cached(guarded, tmp_path))) as client:
        await each.close(await each.open(client, server.url("/fresh")))
        assert known(guarded.state, ConcurrencyLimit)["in_use"] == 0
        answer = await each.get(client, server.url("/fresh"))
        assert not answer.extensions["caching"]["from_cache"]


async def test_a_deadline_passes_through_the_cache(mode: Mode, each: Each, serve: Serve, tmp_path: Path) -> None:
    """A server that does not answer is a TimedOut of Seawall's, as without the cache."""
    server = serve(answers(hold))
    guarded = each.Transport(POLICIES)
    async with each.using(each.Plain(transport=each.cached(guarded, tmp_path))) as client:
        with seawall.options(timeout=0.05), pytest.raises(seawall.TimedOut):
            await each.get(client, server.url("/fresh"))


# -- the cache inside


async def test_inside_every_answer_is_a_call(mode: Mode, each: Each, serve: Serve, tmp_path: Path) -> None:
    """With the cache inside, an answer from it spends a start, takes a slot until it is read, and has a report."""
    server = serve(site)
    inner = each.PlainTransport()
    async with each.using(each.Client(POLICIES, transport=each.cached(inner, tmp_path))) as client:
        first = await each.get(client, server.url("/fresh"))
        second = await each.open(client, server.url("/fresh"))
        assert second.extensions["caching"]["from_cache"]
        assert known(client.state, ConcurrencyLimit)["in_use"] == 1
        assert await each.read(second) == b"fresh"
        assert known(client.state, ConcurrencyLimit)["in_use"] == 0
        assert spent(client.state) == 2
        client.state.circuit(server.origin).isolate()
        with pytest.raises(CircuitOpen):
            await each.get(client, server.url("/fresh"))
    assert len(server.heard) == 1
    assert [len(seawall.report(answer).attempts) for answer in (first, second)] == [1, 1]


# -- a stale answer while the circuit is open: the policy that the page shows


@pytest.fixture
def stale_if_open() -> Any:
    """The policy as the page prints it."""
    (block,) = (block for block in documentation.blocks(PAGE) if "class StaleIfOpen" in block.source)
    names: dict[str, Any] = {"seawall": seawall}
    exec(block.compile(), names)
    return names["StaleIfOpen"]()


async def test_what_is_stale_is_served_while_the_circuit_is_open(
    mode: Mode, each: Each, serve: Serve, tmp_path: Path, stale_if_open: Any
) -> None:
    """An origin that is down opens its circuit; from then on stored answers are served, and nothing else is."""
    server = serve(site)
    guarded = each.Transport(POLICIES)
    async with each.using(each.Client(Stack(stale_if_open), transport=each.cached(guarded, tmp_path))) as client:
        for path in ("/stale", "/strict"):
            await each.get(client, server.url(path))
        server.stop()
        with pytest.raises((httpx.TransportError, httpx2.TransportError)):
            await each.get(client, server.url("/other"))
        assert guarded.state.circuit(server.origin).state == "open"
        served = await each.get(client, server.url("/stale"))
        assert (served.content, served.extensions["caching"]["from_cache"]) == (b"old", True)
        for path in ("/strict", "/other"):
            with pytest.raises(CircuitOpen):
                await each.get(client, server.url(path))
        server.restart()
        guarded.state.circuit(server.origin).close()
        assert (await each.get(client, server.url("/stale"))).extensions["caching"]["revalidated"]
