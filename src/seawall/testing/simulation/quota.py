"""A server's rate quota, and how it tells of it in each dialect that clients meet."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import floor
from typing import Literal, get_args

from ... import _check

Dialect = Literal[
    "none", "retry-after", "retry-after-date", "retry-after-ms", "ratelimit", "ratelimit-list", "ratelimit-fields",
    "x-ratelimit-delta", "x-ratelimit-epoch", "x-ratelimit-epoch-ms", "x-ratelimit-rfc3339", "x-ratelimit-go",
    "anthropic",
]  # fmt: skip
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
"""The calendar's time at second 0 of a simulation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How many requests a server admits, and what it tells the others.

        Quota(rate=100, burst=20, dialect="retry-after")
        Quota(rate=5000, per=3600, dialect="x-ratelimit-epoch")

    - `rate`: requests, above 0, per `per` seconds (default 1, above 0).
    - `burst` (default None): None counts in fixed windows of `per` seconds; a number of at least 1 is a token bucket.
    - `status` (default 429): the answer to what is refused, at once and without a slot.
    - `dialect` (default "retry-after"): the headers; one of "none", "retry-after", "retry-after-date", "retry-after-ms"
      (as of OpenAI and Azure), "ratelimit" (draft-ietf-httpapi-ratelimit-headers, with its policy), "ratelimit-list"
      (its older form in one field), "ratelimit-fields" (RateLimit-Limit, -Remaining, -Reset), "x-ratelimit-delta"
      (seconds), "x-ratelimit-epoch", "x-ratelimit-epoch-ms", "x-ratelimit-rfc3339", "x-ratelimit-go" (durations such as
      1m2.5s), "anthropic". Times are whole seconds where the dialect knows no others, and not below the truth.
    - `always` (default False): every answer has the headers, but Retry-After, which only refusals have.
    - `retry_after` (default None): what Retry-After says, in seconds; None for how long it is in truth.
    """

    rate: float
    per: float = 1.0
    burst: float | None = None
    status: int = 429
    dialect: Dialect = "retry-after"
    always: bool = False
    retry_after: float | None = None

    def __post_init__(self) -> None:
        _check.number("Quota", "rate", self.rate, above=0)
        _check.number("Quota", "per", self.per, above=0)
        _check.number("Quota", "burst", self.burst, least=1, optional=True)
        _check.codes("Quota", "status", (self.status,))
        _check.choice("Quota", "dialect", self.dialect, get_args(Dialect))
        _check.flag("Quota", "always", self.always)
        _check.number("Quota", "retry_after", self.retry_after, above=0, optional=True)


class Meter:
    """A quota as it is used up."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.size = quota.rate if quota.burst is None else quota.burst
        self.left = self.size
        self._since = 0.0

    def admit(self, now: float) -> bool:
        """Whether one more request is within the quota, which it then uses."""
        quota = self.quota
        if quota.burst is None:
            if now - self._since >= quota.per:
                self.left, self._since = self.size, floor(now / quota.per) * quota.per
        else:
            self.left = min(self.size, self.left + (now - self._since) * quota.rate / quota.per)
            self._since = now
        if self.left < 1 - 1e-9:
            return False
        self.left -= 1
        return True

    def headers(self, now: float, admitted: bool) -> dict[str, str]:
        """What the answer says about it."""
        quota, reset = self.quota, self._reset(now)
        if quota.dialect.startswith("retry-after"):
            if admitted:
                return {}
            reset = reset if quota.retry_after is None else quota.retry_after
        elif admitted and not quota.always:
            return {}
        return _tell(quota.dialect, quota, max(0, floor(self.left + 1e-9)), reset, now)

    def _reset(self, now: float) -> float:
        """Seconds until another request is admitted, or until the window ends."""
        if self.quota.burst is None:
            return self._since + self.quota.per - now
        return max(0.0, 1 - self.left) * self.quota.per / self.quota.rate


def _tell(dialect: Dialect, quota: Quota, left: int, reset: float, now: float) -> dict[str, str]:
    """The headers of a dialect: what is left, and how many seconds until there is more."""
    date = {"Date": _date(now)}  # for those who tell of points in time, which are measured against it
    seconds = str(_whole(reset))
    match dialect:
        case "retry-after":
            return {"Retry-After": seconds}
        case "retry-after-date":
            return date | {"Retry-After": _date(_whole(now + reset))}
        case "retry-after-ms":
            return {"Retry-After": seconds, "retry-after-ms": str(_whole(reset * 1000))}
        case "ratelimit":
            policy = f'"quota";q={_number(quota.rate)};w={_number(quota.per)}'
            return {"RateLimit-Policy": policy, "RateLimit": f'"quota";r={left};t={seconds}'}
        case "ratelimit-list":
            return {"RateLimit": f"limit={_number(quota.rate)}, remaining={left}, reset={seconds}"}
        case "ratelimit-fields":
            return _fields("RateLimit-", "", quota, left, seconds)
        case "x-ratelimit-delta":
            return _fields("X-RateLimit-", "", quota, left, seconds)
        case "x-ratelimit-epoch":
            epoch = int(BEGINNING.timestamp()) + _whole(now + reset)
            return date | _fields("X-RateLimit-", "", quota, left, str(epoch))
        case "x-ratelimit-epoch-ms":
            epoch = int(BEGINNING.timestamp()) * 1000 + _whole((now + reset) * 1000)
            return date | _fields("X-RateLimit-", "", quota, left, str(epoch))
        case "x-ratelimit-rfc3339":
            return date | _fields("X-RateLimit-", "", quota, left, _stamp(now + reset))
        case "x-ratelimit-go":
            minutes, rest = divmod(reset, 60)
            duration = f"{int(minutes)}m{_number(rest)}s" if minutes else f"{_number(rest)}s"
            return _fields("X-RateLimit-", "-Requests", quota, left, duration)
        case "anthropic":
            return date | _fields("anthropic-ratelimit-requests-", "", quota, left, _stamp(now + reset))
        case "none":
            return {}


def _fields(prefix: str, suffix: str, quota: Quota, left: int, reset: str) -> dict[str, str]:
    values = {"Limit": _number(quota.rate), "Remaining": str(left), "Reset": reset}
    return {f"{prefix}{name}{suffix}": value for name, value in values.items()}


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _whole(at: float) -> int:
    """A time in whole units, not before the truth, which is known to a microsecond."""
    return -floor(-round(at, 6))


def _date(at: float) -> str:
    return format_datetime(BEGINNING + timedelta(seconds=floor(at)), usegmt=True)


def _stamp(at: float) -> str:
    return (BEGINNING + timedelta(seconds=_whole(at))).isoformat().replace("+00:00", "Z")
