"""Plays a case: its calls over a scripted server that notes what came in, with all that happened in one log."""

import asyncio
import gc
import io
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields
from typing import Any

import httpx
from cancellation.stage import Scenario, Stage
from cancellation.strikes import DRIVERS, STRUCK, Strike, Virtual

from seawall import CircuitChanged, Stack, State, report
from seawall._circuit import CircuitState
from seawall.httpx import AsyncClient
from seawall.testing import Cancelled, reply

from .case import CHUNK, HOSTS, Answer, Case, Visit
from .lines import Door, Line, Lines, Replayed, Watched
from .locks import wrong
from .trace import INF, Ended, Heard, Sent, Trace

REST = 1000.0
"""Seconds in which every pause, window and open time is over."""
DROPPED = "a response was dropped without being read or closed"


class Storm(Stage):
    """One run of a case."""

    def __init__(self, driver: Any, case: Case) -> None:
        super().__init__(driver, Scenario(stack=lambda: Stack(*case.policies), connections=case.connections))
        self.case = case
        self.trace = Trace()
        self.whose: dict[Any, int] = {}
        self.script = list(case.script)
        self.cable.server = Door(self)  # type: ignore[assignment]  # what stands for the server
        transport: Any = Lines(self)
        if self.pool is not None:
            transport = self.pool
            self.pool.shards.build = lambda: Line(self)
        state = State(max_keys=case.max_keys)
        self.clients = [
            AsyncClient(self.scenario.stack(), transport=transport, state=state, listeners=[self.hear])
            for _ in range(2)
        ]
        self.client = self.clients[0]

    async def send(self, request: httpx.Request, handle: Callable[[httpx.Request], Awaitable[Any]]) -> httpx.Response:
        """Have a connection send a request, and note what becomes of it."""
        answer = self.script.pop(0) if self.script else Answer()
        host, key = f"{request.url.scheme}://{request.url.host}", request.headers.get("idempotency-key")
        visit, now = int(request.headers["visit"]), self.driver.now
        sent = Sent(visit, host, answer, now(), self.note("sent", visit, host, key), key)
        self.trace.sent.append(sent)
        request.extensions["sent"] = sent
        try:
            response: httpx.Response = await handle(request)
        except BaseException as error:
            sent.error = type(error).__name__ if isinstance(error, Exception) else None
            sent.answered_at = sent.over_at = now()
            sent.answered = sent.over = self.note("failed", visit, sent.error)
            raise
        sent.status, sent.answered_at = response.status_code, now()
        sent.answered = self.note("answered", visit, sent.status)
        response.stream = Watched(response.stream, lambda: self._over(sent))
        return response

    def _over(self, sent: Sent) -> None:
        if sent.over == INF:
            sent.over_at = self.driver.now()
            sent.over = self.note("over", sent.visit)

    def _answer(self, request: Any) -> Any:
        answer: Answer = request.extensions["answer"]
        return reply(
            answer.status,
            [CHUNK] * answer.chunks,
            headers=answer.headers,
            after=answer.after,
            every=answer.every,
            breaks=httpx.ReadError if answer.breaks else None,
        )

    # -- the log

    def note(self, kind: str, *what: Any) -> int:
        """Add to the log. Returns the place of the entry."""
        self.trace.log.append((self.driver.now(), kind, *what))
        self._look()
        return len(self.trace.log) - 1

    def hear(self, event: Any) -> None:
        """A listener of the clients'."""
        virtual = isinstance(self.driver, Virtual)
        visit = self.whose.get(self.driver.runtime._current if virtual else asyncio.current_task())
        told = {f.name: getattr(event, f.name) for f in fields(event) if f.name != "report"}
        place = self.note(type(event).__name__, visit, told)
        states = [cell.state for cell in self.client.state._cells.values()]
        known = type(event) is not CircuitChanged or any(
            isinstance(state, CircuitState) and (state.label, state.state) == (event.key, event.new) for state in states
        )
        self.trace.heard.append(Heard(place, self.driver.now(), visit, event, known))

    def _look(self) -> None:
        """What holds at any time, as far as no coroutine is in the middle of a step."""
        for cell in list(self.client.state._cells.values()):
            if what := wrong(cell.state):
                self.trace.broken.append(f"after {self.trace.log[-1]}: {what}")

    # -- the calls

    async def play_all(self) -> Trace:
        async with self.clients[0], self.clients[1]:
            visits = [self.driver.spawn(self._visit(index, visit)) for index, visit in enumerate(self.case.calls)]
            self.trace.ended = [await visit for visit in visits]
            gc.collect()
            if not any(visit.reading == "drop" for visit in self.case.calls):
                await self.nothing_left(None)
            self.script.clear()
            for turn in range(2):
                for host in HOSTS:
                    await self.driver.sleep(REST)
                    response = await self.clients[turn].get(host, headers={"visit": "-1"})
                    self.trace.later.append(response.status_code)
            await self.driver.sleep(REST)
            if self.pool is not None and any(visit.reading == "drop" for visit in self.case.calls):
                self.pool = None  # a connection that was dropped is nobody's to close
            await self.nothing_left(None)
        return self.trace

    async def _visit(self, index: int, visit: Visit) -> Ended:
        driver, cut = self.driver, visit.cut
        virtual = isinstance(driver, Virtual)
        await driver.sleep(visit.at)
        ended = Ended(driver.now())
        by_number = cut is not None and cut.after is None
        how = cut.how if by_number and not virtual else "cancel"
        strike = Strike(how, cut.when, cut.number) if by_number else Strike("cancel", "waiting")
        task = driver.strike(self._act(index, visit, ended), strike)
        self.whose[task] = index

        def cancel() -> None:
            if not (task.done if virtual else task.done()):
                strike.hit = True
                task.cancel()

        def call(after: float) -> Any:
            if virtual:
                return driver.runtime.call_at(driver.now() + after, cancel)
            return asyncio.get_running_loop().call_later(after, cancel)

        timer = call(cut.after) if cut is not None and cut.after is not None else None
        try:
            outcome = await task
        except (Cancelled, asyncio.CancelledError):
            outcome = STRUCK
        finally:
            if timer is not None:
                timer.cancel()
        if visit.reading == "drop":
            gc.collect()
        ended.hit, ended.unbalanced = strike.hit, strike.unbalanced
        if isinstance(outcome, Exception):
            ended.error = outcome
            ended.outcome = type(outcome).__name__
            if ended.report is None and hasattr(outcome, "request"):
                ended.report = report(outcome)
        elif outcome is STRUCK:
            ended.outcome = STRUCK
        self.note("ended", index, ended.outcome, len(ended.content))
        return ended

    async def _act(self, index: int, visit: Visit, ended: Ended) -> None:
        """What a caller does."""
        client, now = self.clients[visit.client], self.driver.now

        async def timed(awaitable: Awaitable[Any]) -> Any:
            began = now()
            try:
                return await awaitable
            finally:
                ended.waits.append((began, now()))

        options = self.request(index, visit)
        if visit.reading == "read":
            response = await timed(client.request(**options))
            ended.content, ended.whole = response.content, True
        else:
            response = await timed(client.send(client.build_request(**options), stream=True))
        ended.outcome, ended.report = response.status_code, report(response)
        if visit.reading in ("read", "drop"):
            return
        try:
            if visit.reading == "linger":
                await self.driver.sleep(visit.pause)
                return
            stream = response.aiter_raw()
            while (chunk := await timed(anext(stream, None))) is not None:
                ended.content += chunk
                await self.driver.sleep(visit.pause)
                if visit.reading == "leave":
                    return
            ended.whole = True
        finally:
            await timed(response.aclose())

    def request(self, index: int, visit: Visit) -> dict[str, Any]:
        """What httpx is asked to send."""

        async def once() -> AsyncIterator[bytes]:
            for _ in range(2):
                yield CHUNK
                if visit.pause:
                    await self.driver.sleep(visit.pause)

        headers = {"visit": str(index), **visit.headers}
        body: dict[str, Any] = {}
        if visit.body == "file":
            headers["content-type"] = "multipart/form-data; boundary=here"
            body = {"files": {"file": io.BytesIO(CHUNK * 2)}}
        elif visit.body:
            body = {"content": {"bytes": CHUNK * 2, "replayed": Replayed(once), "once": once()}[visit.body]}
        extensions = {"seawall": dict(visit.options)}
        return {"method": visit.method, "url": visit.url, "headers": headers, "extensions": extensions, **body}


def play(case: Case) -> Trace:
    """Play a case once, and see that nothing was dropped on the floor but what its callers drop."""
    collecting = gc.isenabled()
    gc.disable()  # what was dropped is collected when the storm says so, and not at some other time
    gc.freeze()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            driver = DRIVERS[case.driver]()
            trace: Trace = driver.run(Storm(driver, case).play_all())
            del driver
            gc.collect()
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()
    may_drop = sum(visit.reading == "drop" for visit in case.calls)
    dropped = [str(warning.message) for warning in caught]
    assert dropped == [DROPPED] * len(dropped), f"warned of {dropped}"
    assert len(dropped) <= may_drop, f"{len(dropped)} responses were dropped"
    return trace
