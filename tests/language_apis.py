"""What the chat APIs of OpenAI and Anthropic say: whole answers, event streams and refusals."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PATHS = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic"}


@dataclass(frozen=True)
class Dialect:
    """One API's way to say things."""

    name: str

    def answer(self, text: str) -> dict[str, Any]:
        """A whole answer."""
        if self.name == "openai":
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
            return self._openai("chat.completion", choice) | {"usage": usage}
        return self._message([{"type": "text", "text": text}], "end_turn")

    def events(self, words: Iterable[str]) -> list[bytes]:
        """The same as a stream: one event for each word, and those around them."""
        if self.name == "openai":
            told = [self._openai("chat.completion.chunk", {"index": 0, "delta": {"content": word}}) for word in words]
            last = self._openai("chat.completion.chunk", {"index": 0, "delta": {}, "finish_reason": "stop"})
            return [b"data: %b\n\n" % json.dumps(event).encode() for event in [*told, last]] + [b"data: [DONE]\n\n"]
        start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        deltas = [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in words
        ]
        ends = [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
            {"type": "message_stop"},
        ]
        told = [{"type": "message_start", "message": self._message([], None)}, start, *deltas, *ends]
        return [b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in told]

    def error(self, kind: str) -> dict[str, Any]:
        """The body of a refusal."""
        error = {"type": kind, "message": f"This is a {kind}."}
        return {"error": error} if self.name == "openai" else {"type": "error", "error": error}

    def quota(self, *, remaining: int, reset: str) -> dict[str, str]:
        """The rate-limit headers: how many requests are left until when."""
        told = {"limit": "60", "remaining": str(remaining), "reset": reset}
        form = "x-ratelimit-{}-requests" if self.name == "openai" else "anthropic-ratelimit-requests-{}"
        return {form.format(name): value for name, value in told.items()}

    def _openai(self, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "any", "choices": [choice]}

    def _message(self, content: list[dict[str, str]], stop: str | None) -> dict[str, Any]:
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "any", "content": content,
            "stop_reason": stop, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 2},
        }  # fmt: skip


OPENAI, ANTHROPIC = Dialect("openai"), Dialect("anthropic")
