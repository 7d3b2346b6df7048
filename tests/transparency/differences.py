"""The differences that are meant, as data: where a protected client shows something else than a bare one.

The documentation has the same table (`docs/transparency.md`). A test that meets one of them calls `user.expect`, which
makes the two comparable; everything else must be the same.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Seen = dict[str, Any]

OWN_EXTENSIONS = {"seawall.trail"}
"""Extensions of requests and responses that a bare client does not have."""

OWN_BASES = ("seawall", "pybreaker")
"""Modules of the types that stand between an error of Seawall's and those of the HTTP library."""

COLLECTED = "exception=GeneratorExit()"
"""Ends the line that httpcore logs when a body that was left half-way is collected, which is at some time or other."""

LEFT = re.compile(r"timeout=(None|9\.9\d+|19\.9\d+)")
"""A timeout that was not set, and what is left of an attempt's 10 s or a call's 20 s when it is used in its place."""


@dataclass(frozen=True)
class Difference:
    """One of them."""

    bare: str
    """What a bare client does."""
    protected: str
    """What a protected one does."""
    level: Callable[[Seen], None] | None = None
    """Makes what was seen comparable, given either side."""


def _any_order(seen: Seen) -> None:
    seen["log"].sort()


def _any_connection(seen: Seen) -> None:
    for name, requests in seen.items():
        if name.startswith("requests"):
            seen[name] = [request for _, request in requests]
    seen["log"].sort()


def _any_watch(seen: Seen) -> None:
    for note in seen["notes"]:
        if isinstance(note, dict) and "trace" in note.get("extensions", ()):
            note["extensions"].remove("trace")


def _any_timeout(seen: Seen) -> None:
    seen["log"] = [LEFT.sub("timeout=...", line) for line in seen["log"]]


def _librarys(kind: Any) -> Any:
    return kind.__bases__[-1] if isinstance(kind, type) and kind.__module__.startswith("seawall") else kind


def _any_cookies(seen: Seen) -> None:
    seen["notes"] = [[_librarys(kind) for kind in note] for note in seen["notes"]]


def _any_cause(seen: Seen) -> None:
    for note in seen["notes"]:
        if isinstance(note, dict) and note.get("cause"):
            note["cause"]["cause"] = None


MEANT = {
    "watched": Difference(
        "a transport of your own gets the request as you made it",
        "in a sync client, while it is sent, with a `trace` extension and timeouts shortened to what is left",
        _any_watch,
    ),
    "extensions": Difference(
        "`extensions` of requests and responses are yours and the HTTP library's",
        "also have `seawall.trail`, for `seawall.report`",
    ),
    "read ahead": Difference(
        "response hooks run, and `httpx` logs the response, when its headers are there",
        "with `ReadBody` in the stack, once its body is there too; that comes in one piece when it is streamed",
        _any_order,
    ),
    "idle": Difference(
        "of several idle connections, the one that was made first is used again",
        "the one that was used last is; those beyond `max_keepalive_connections` are closed a moment later",
        _any_connection,
    ),
    "timeouts": Difference(
        "`timeout=None` waits for ever",
        "until the deadline of a `Timeout`; in a sync client httpcore is told, and logs, what is left until then",
        _any_timeout,
    ),
    "cookies": Difference(
        "`client.cookies` is an `httpx.Cookies`",
        "of Seawall's own clients one of a derived class, which only looks for cookies where some are set",
        _any_cookies,
    ),
    "cause": Difference(
        "an error along a body comes from one of httpcore's, which in httpx hides what it came from itself",
        "that one shows it, as in httpx2",
        _any_cause,
    ),
}
