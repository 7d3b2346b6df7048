"""`seawall get URL...`: real requests through the standard stack, and what happened to each."""

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from rich.console import Console
from rich.text import Text

import seawall
import seawall.httpx

from .comparison import seconds
from .redaction import said, shown, without_userinfo
from .stacks import timed

_GAVE_UP = {
    "attempts": "no attempts are left",
    "budget": "the retry budget is empty",
    "deadline": "the next attempt would not begin within --timeout",
    "method": "the method is not safe to repeat",
    "body": "the request's body cannot be sent again",
    "retry-after": "the server asks for a longer wait than is allowed",
    "stop": "the stop strategy said so",
}


@dataclass(frozen=True, slots=True)
class Header:
    """A request header; its repr leaves the value out."""

    name: str
    value: bytes

    def __repr__(self) -> str:
        return f"Header({self.name!r}, ...)"


@dataclass(frozen=True, slots=True)
class Fetched:
    """One URL's story. `error` is in words, `elapsed` in seconds with the body included."""

    method: str
    url: httpx.URL
    status: int | None
    size: int
    elapsed: float
    error: str | None
    report: seawall.Report | None

    @property
    def ok(self) -> bool:
        return self.error is None and self.status is not None and self.status < 400

    @property
    def attempts(self) -> tuple[seawall.Attempt, ...]:
        return self.report.attempts if self.report is not None else ()

    @property
    def gave_up(self) -> str | None:
        return self.report.gave_up if self.report is not None else None


@dataclass(frozen=True, slots=True)
class Get:
    """The command with its settings; `timeout` is in seconds and bounds each URL, its retries included."""

    urls: tuple[httpx.URL, ...]
    method: str
    headers: tuple[Header, ...]
    timeout: float
    concurrency: int
    follow: bool
    as_json: bool

    def run(self) -> int:
        """Fetch every URL and print each story in the order given; 0 if all are below 400, else 1."""
        return asyncio.run(self._fetch_all())

    async def _fetch_all(self) -> int:
        try:
            client = self._client()
        except (ValueError, ImportError, OSError) as error:
            why = without_userinfo(str(error))
            print(f"seawall get: error: the environment's proxies or certificates: {why}", file=sys.stderr)
            return 2
        console = Console(highlight=False)
        async with client:
            # A URL's clock starts with its turn: waiting for others is none of its time.
            turn = asyncio.Semaphore(self.concurrency)
            tasks = [asyncio.create_task(self._fetch(client, url, turn)) for url in self.urls]
            fine = 0
            try:
                for task in tasks:
                    fetched = await task
                    fine += fetched.ok
                    self._show(console, fetched)
            finally:  # no task group: it would dress up a closed pipe as an ExceptionGroup
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        if len(self.urls) > 1 and not self.as_json:
            console.print(f"{fine} of {len(self.urls)} answered below 400")
        return 0 if fine == len(self.urls) else 1

    def _client(self) -> httpx.AsyncClient:
        # An attempt gets a third of the whole, which is what the standard stack's 10 of 30 s are.
        attempt = self.timeout / 3
        return seawall.httpx.AsyncClient(
            timed(seawall.standard(), total=self.timeout, attempt=attempt),
            headers=[(header.name.encode("ascii"), header.value) for header in self.headers],
            timeout=attempt,
            follow_redirects=self.follow,
        )

    async def _fetch(self, client: httpx.AsyncClient, url: httpx.URL, turn: asyncio.Semaphore) -> Fetched:
        async with turn:
            clock = asyncio.get_running_loop().time
            begun = clock()
            status, size, error, report = None, 0, None, None
            try:
                async with client.stream(self.method, url) as response:
                    status, report = response.status_code, seawall.report(response)
                    async for chunk in response.aiter_raw():
                        size += len(chunk)
            except (httpx.HTTPError, httpx.InvalidURL, seawall.SeawallError, OSError) as raised:
                error = said(raised, url)
                report = report or _report(raised)
            return Fetched(self.method, url, status, size, clock() - begun, error, report)

    def _show(self, console: Console, fetched: Fetched) -> None:
        if self.as_json:
            print(json.dumps(_plain(fetched)), flush=True)
            return
        for line in _lines(fetched):
            console.print(line, soft_wrap=True)


def _report(error: Exception) -> seawall.Report | None:
    try:
        return seawall.report(error)
    except LookupError:
        return None  # refused by httpx before our transport saw it


def _lines(fetched: Fetched) -> Iterator[Text]:
    yield Text(f"{fetched.method} {shown(fetched.url)}", style="bold")
    for attempt in fetched.attempts:
        waited = f", after waiting {seconds(attempt.waited)}" if attempt.waited else ""
        yield Text.assemble(
            f"  attempt {attempt.number} at {attempt.started:.2f} s{waited}: ", _result(fetched, attempt)
        )
    yield Text.assemble("  ", _final(fetched))
    if fetched.gave_up is not None:
        yield Text(f"  not retried further, {fetched.gave_up}: {_GAVE_UP.get(fetched.gave_up, 'see the report')}")


def _result(fetched: Fetched, attempt: seawall.Attempt) -> Text:
    took = "" if attempt.elapsed is None else f" in {seconds(attempt.elapsed)}"
    if attempt.error is not None:
        return Text(f"failed{took}, {said(attempt.error, fetched.url)}", style="red")
    if attempt.status is None:
        return Text("no answer", style="red")
    asked = "" if attempt.retry_after is None else f", Retry-After {attempt.retry_after:g} s"
    return Text(f"{attempt.status}{took}{asked}", style="green" if attempt.status < 400 else "red")


def _final(fetched: Fetched) -> Text:
    took = f"in {seconds(fetched.elapsed)}"
    answer = "" if fetched.status is None else f"{fetched.status}, {fetched.size:,} bytes"
    if fetched.error is None:
        return Text(f"{answer} {took}", style="green" if fetched.ok else "red")
    return Text(f"{answer + ', ' if answer else ''}failed {took}, {fetched.error}", style="red")


def _plain(fetched: Fetched) -> dict[str, object]:
    return {
        "url": shown(fetched.url),
        "method": fetched.method,
        "status": fetched.status,
        "error": fetched.error,
        "bytes": fetched.size,
        "elapsed": round(fetched.elapsed, 6),
        "gave_up": fetched.gave_up,
        "attempts": [
            {
                "number": attempt.number,
                "started": round(attempt.started, 6),
                "elapsed": None if attempt.elapsed is None else round(attempt.elapsed, 6),
                "status": attempt.status,
                "error": None if attempt.error is None else said(attempt.error, fetched.url),
                "waited": round(attempt.waited, 6),
                "retry_after": attempt.retry_after,
            }
            for attempt in fetched.attempts
        ],
    }
