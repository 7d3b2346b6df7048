"""One simulated client: the real policies, around a wire to the simulated server.

What it runs is `seawall.httpx.AsyncTransport`, with requests and responses of httpx itself; only `httpx.AsyncClient`
around it is left out, which knows nothing of policies and costs three times as much as all of the rest.
"""

import functools
import types
from collections.abc import Callable, Generator
from typing import Any

import httpx

from ..._state import State
from ..._transport import Policies
from ...httpx import AsyncTransport
from .serving import Job, Serving
from .streams import stream
from .traffic import Traffic

LENGTH = httpx.Headers({"content-length": "0"})
NOTHING = httpx.ByteStream(b"")


class Parts:
    """A request or response of httpx, made of parts that need no looking at any more. Its headers few ever ask for."""

    given: httpx.Headers

    @functools.cached_property
    def headers(self) -> httpx.Headers:
        return httpx.Headers(self.given)


class Request(Parts, httpx.Request):  # type: ignore[override]  # a cached property can be assigned, as httpx's attribute
    stream = NOTHING

    def __init__(self, method: str, url: httpx.URL, headers: httpx.Headers, extensions: dict[str, Any]) -> None:
        self.method = method
        self.url = url
        self.given = headers
        self.extensions = extensions


class Response(Parts, httpx.Response):  # type: ignore[override]  # as above
    def __init__(self, status: int, headers: httpx.Headers) -> None:
        self.status_code = status
        self.given = headers
        self.extensions = {}
        self.history = []


_made = Response(200, LENGTH)
for _name, _value in vars(httpx.Response(200, stream=NOTHING)).items():  # what else it begins with
    if not hasattr(_made, _name):
        setattr(Response, _name, _value)
del _made, _name, _value


class Wire(httpx.AsyncBaseTransport):
    """The way to the server: nothing but the server takes time."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving

    @types.coroutine
    def handle_async_request(self, request: httpx.Request) -> Generator[Any, Any, httpx.Response]:
        request.extensions["visit"].attempted()
        serving = self.serving
        job = Job(serving.world._now)
        serving.submit(job)
        if job.answer is None:
            try:
                yield job
            except BaseException:
                job.replica.leave(job)
                raise
        answer, headers = job.answer, job.headers
        if isinstance(answer, str):
            raise getattr(httpx, answer)(f"simulated {answer}", request=request)
        assert answer is not None
        return Response(answer, httpx.Headers({**LENGTH, **headers}) if headers else LENGTH)


class Client:
    """A transport with policies, who calls through it, and their coin."""

    def __init__(
        self, traffic: Traffic, group: int, number: int, policies: Policies, wire: Wire, state: State, seed: int
    ) -> None:
        self.name = f"{traffic.name} {number}"
        self.group = group
        self.number = number
        self.coin: Callable[[], float] = stream(seed, traffic.name, number, "policies").random
        self.transport = AsyncTransport(policies, transport=wire, state=state)
        self._method = traffic.method
        self._url = httpx.URL(traffic.url)
        self._headers = httpx.Headers({"host": self._url.netloc.decode("ascii")})
        self._options = dict(traffic.options)

    def request(self, visit: object) -> httpx.Request:
        """The request of a call, which the wire knows it by."""
        extensions: dict[str, Any] = {"visit": visit}
        if self._options:
            extensions["seawall"] = self._options
        return Request(self._method, self._url, self._headers, extensions)
