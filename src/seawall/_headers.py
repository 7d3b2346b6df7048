"""What servers say about when to come back: Retry-After and the dialects of rate-limit headers.

Pure functions of a response's headers. Dates and epochs are measured against the response's own Date, so the
caller's wall clock never matters; where there is no Date they are ignored, as is everything malformed,
negative or past. Sources: RFC 9110 section 10.2.3, draft-ietf-httpapi-ratelimit-headers (versions -06 to -10),
and what GitHub, OpenAI, Anthropic and others send.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

# `re` compiles what is asked of it when it is asked, and remembers it: to do so for all takes 2 ms of an import
NUMBER = r"(?a:\d{1,30}(\.\d{1,30})?)"
GO_DURATION = r"(?ai:(?:\d{1,15}(?:\.\d{1,15})?(?:h|ms|us|µs|ns|m|s))+)"
GO_PART = r"(?ai:(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s))"
GO_UNIT = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
FIELD = r"(?a:(?:x-|anthropic-)?rate-?limit-(?:(\w+)-)?(limit|remaining|reset)(?:-(\w+))?)"
EPOCH = 1e9
"""A reset above this is a point in time, not a number of seconds to wait."""


class Quota(NamedTuple):
    """What is left until a window resets."""

    remaining: float
    reset: float
    """Seconds from now."""
    limit: float | None = None


def retry_after(headers: Any) -> float | None:
    """Seconds that Retry-After asks for, above 0, or None. OpenAI and Azure tell it more exactly beside it."""
    exact = headers.get("retry-after-ms", "").strip()
    if re.fullmatch(NUMBER, exact):
        return float(exact) / 1000 or None
    value = headers.get("retry-after")
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(NUMBER, value):
        return float(value) or None
    then = _http_date(value)
    date = _date(headers)
    if then is None or date is None or then <= date:
        return None
    return (then - date).total_seconds()


def handed_over(response: Any) -> bool:
    """Upgrades and event streams belong to the caller from their first byte: never repeated, never read ahead."""
    content_type: str = response.headers.get("content-type", "").lower()
    return bool(response.status_code == 101) or content_type.startswith("text/event-stream")


def mentions_quota(headers: Any) -> bool:
    """Whether `quota` has anything to read: cheap enough to ask of every response."""
    for name, _ in headers.raw:  # noqa: SIM110 - a generator would cost as much again
        if b"imit" in name or b"IMIT" in name:
            return True
    return False


def quota(headers: Any) -> Quota | None:
    """The tightest quota that the headers speak of, or None."""
    fields = [(name.lower(), value) for name, value in headers.raw]
    found = [*_structured(fields), *_named(fields, headers)]
    return min(found, key=lambda q: (q.remaining / (q.limit or q.remaining or 1), -q.reset), default=None)


def _structured(fields: list[tuple[bytes, bytes]]) -> Iterator[Quota]:
    """RateLimit: "burst";r=5;t=30, "daily";r=900;t=80000, and the older limit=100, remaining=5, reset=30."""
    limits: dict[str, float] = {}
    for name, value in fields:
        if name == b"ratelimit-policy":
            for label, item in _items(value):
                limits[label] = item.get("q", 0)
    for name, value in fields:
        if name != b"ratelimit":
            continue
        older: dict[str, float] = {}
        for label, item in _items(value):
            older |= item
            if "r" in item and "t" in item:
                yield Quota(item["r"], item["t"], limits.get(label) or None)
        if "remaining" in older and "reset" in older:
            yield Quota(older["remaining"], older["reset"], older.get("limit"))


def _items(value: bytes) -> Iterator[tuple[str, dict[str, float]]]:
    """Items of a structured list, as their label and numeric parameters."""
    for item in value.decode("ascii", "replace")[:2000].split(","):
        label, *parameters = (part.strip() for part in item.split(";"))
        numbers: dict[str, float] = {}
        for text in (label, *parameters):
            name, _, number = text.partition("=")
            if re.fullmatch(NUMBER, number.strip()):
                numbers[name.strip().lower()] = float(number)
        yield label.strip('"'), numbers


def _named(fields: list[tuple[bytes, bytes]], headers: Any) -> Iterator[Quota]:
    """X-RateLimit-Remaining and -Reset and their relatives, by what they count (requests, tokens, ...)."""
    kinds: dict[str, dict[str, str]] = {}
    for name, value in fields:
        parts = re.fullmatch(FIELD, name.decode("ascii", "replace"))
        if parts:
            kinds.setdefault(parts[1] or parts[3] or "", {})[parts[2]] = value.decode("ascii", "replace").strip()
    for kind in kinds.values():
        remaining, limit = kind.get("remaining", ""), kind.get("limit", "").partition(",")[0]
        reset = _reset(kind.get("reset", ""), headers)
        if reset is not None and re.fullmatch(NUMBER, remaining):
            yield Quota(float(remaining), reset, float(limit) or None if re.fullmatch(NUMBER, limit) else None)


def _reset(text: str, headers: Any) -> float | None:
    """Seconds until a reset given as seconds, an epoch, a Go duration or an RFC 3339 time."""
    if re.fullmatch(NUMBER, text):
        number = float(text)
        if number < EPOCH:
            return number
        date = _date(headers)
        number = number / 1000 if number >= EPOCH * 1000 else number
        return None if date is None else max(0.0, number - date.timestamp())
    if re.fullmatch(GO_DURATION, text):
        return sum(float(n) * GO_UNIT[unit.lower()] for n, unit in re.findall(GO_PART, text))
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return None
    date = _date(headers)
    if date is None or then.tzinfo is None:
        return None
    return max(0.0, (then - date).total_seconds())


def _date(headers: Any) -> datetime | None:
    return _http_date(headers.get("date", ""))


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text[:64])
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
