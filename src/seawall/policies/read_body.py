"""ReadBody: reads response bodies inside the attempt, so that one that breaks is a failed attempt like any other."""

from dataclasses import KW_ONLY
from typing import Any

from .. import _check
from .._call import Call
from .._headers import handed_over, retry_after
from .._policy import Next, Policy
from .._values import Value, value


@value
class ReadBody(Value, Policy[None]):
    """Reads bodies of up to `max_bytes` before the response is handed on.

        Stack(Retry(), ReadBody(1_000_000))

    - `max_bytes`: at least 0. A body whose Content-Length is within it is read at once; longer ones stream on
      untouched.
    - `chunked` (default False): also read bodies without a Content-Length, up to the bound; one that proves longer
      streams on, what was read first. Event streams and upgrades are never read.

    Stands inside Retry. Without it a body that breaks after the response was handed over cannot be retried.
    """

    max_bytes: int
    _: KW_ONLY
    chunked: bool = False

    def __post_init__(self) -> None:
        _check.integer("ReadBody", "max_bytes", self.max_bytes, least=0)
        _check.flag("ReadBody", "chunked", self.chunked)

    async def handle(self, call: Call, state: None, next: Next) -> Any:
        response = await next(call)
        if not response.is_closed and self._wanted(response):
            body = call.body(response)
            beyond, body.deadline = body.deadline, min(body.deadline, call.deadline)
            try:
                whole = await body.read(self.max_bytes)
            except Exception as error:
                asked = retry_after(response.headers) if response.status_code >= 400 else None
                call.trail.broke(error, call.runtime.now(), asked)
                raise
            body.deadline = beyond
            if whole is not None:
                response.stream = call.family.bytes_stream(whole)
        return response

    def _wanted(self, response: Any) -> bool:
        if handed_over(response):
            return False
        length: str = response.headers.get("content-length", "")
        if length.isascii() and length.isdecimal():
            return len(length) < 20 and int(length) <= self.max_bytes
        return self.chunked


ReadBody.__module__ = "seawall"  # its public name, however it is come by
