"""The OpenAI and Anthropic SDKs, spoken to in one way, sync and async."""

import json
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import language_apis
from real.modes import Mode, settle
from real.servers import Server, chunked, response

HELLO = [{"role": "user", "content": "Hello"}]


class Sdk:
    """One SDK, its API's dialect, and what both are asked in the tests."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.name = module.__name__
        self.dialect = language_apis.Dialect(self.name)

    def client(self, mode: Mode, http_client: Any, server: Server) -> Any:
        """An SDK client that sends through this HTTP client, and never again by itself."""
        kind = {"openai": "OpenAI", "anthropic": "Anthropic"}[self.name]
        base = server.url("/v1") if self.name == "openai" else server.origin
        make = getattr(self.module, f"Async{kind}" if mode.is_async else kind)
        return make(api_key="secret", base_url=base, http_client=http_client, max_retries=0)

    async def ask(self, sdk: Any, *, raw: bool = False, **options: Any) -> Any:
        """What the SDK makes of the answer."""
        if self.name == "openai":
            api = sdk.chat.completions
        else:
            api, options = sdk.messages, {"max_tokens": 10} | options
        api = api.with_raw_response if raw else api
        return await settle(api.create(model="any", messages=HELLO, **options))

    def text(self, answer: Any) -> str:
        said = answer.choices[0].message.content if self.name == "openai" else answer.content[0].text
        assert isinstance(said, str)
        return said

    async def words(self, stream: Any) -> AsyncIterator[str]:
        """The words of a stream, as they come."""
        if hasattr(stream, "__aiter__"):
            async for event in stream:
                if word := self._word(event):
                    yield word
        else:
            for event in stream:
                if word := self._word(event):
                    yield word

    def _word(self, event: Any) -> str | None:
        if self.name == "openai":
            return event.choices[0].delta.content  # type: ignore[no-any-return]
        return event.delta.text if event.type == "content_block_delta" else None

    # -- what the server says

    def says(self, text: str = "Hello to you", **headers: str) -> bytes:
        return response(json.dumps(self.dialect.answer(text)).encode(), Content_Type="application/json", **headers)

    def streams(self, *words: str) -> bytes:
        """A whole event stream."""
        return as_events(chunked(*self.dialect.events(words)))

    def begins(self, *words: str) -> bytes:
        """An event stream as far as these words."""
        events = self.dialect.events(words)
        so_far = events[: next(at for at, event in enumerate(events) if words[-1].encode() in event) + 1]
        return as_events(chunked(*so_far, end=False))

    def refuses(self, status: str, kind: str, **headers: str) -> bytes:
        body = json.dumps(self.dialect.error(kind)).encode()
        return response(body, status=status, Content_Type="application/json", **headers)


def as_events(answer: bytes) -> bytes:
    """An answer with the content type of an event stream."""
    return answer.replace(b"\r\n", b"\r\nContent-Type: text/event-stream\r\n", 1)
