"""What servers say about when to come back: read where it makes sense, ignored where it does not, never a crash."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seawall._headers import Quota, mentions_quota, quota, retry_after

NOW = datetime(2026, 10, 21, 7, 28, 0, tzinfo=UTC)
DATE = format_datetime(NOW, usegmt=True)
EPOCH = int(NOW.timestamp())


def headers(**fields: str) -> httpx.Headers:
    """Headers with underscores for hyphens."""
    return httpx.Headers({name.replace("_", "-"): value for name, value in fields.items()})


# -- Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1", 1), ("120", 120), (" 7 ", 7), ("1.5", 1.5), ("007", 7), ("999999999", 999999999)],
)
def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    """A number is so many seconds; servers send fractions too."""
    assert retry_after(headers(retry_after=value)) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "Wed, 21 Oct 2026 07:28:30 GMT",
        "Wednesday, 21-Oct-26 07:28:30 GMT",
        "Wed Oct 21 07:28:30 2026",
        "Wed, 21 Oct 2026 09:28:30 +0200",
        "wed, 21 oct 2026 07:28:30 gmt",
    ],
)
def test_retry_after_as_a_date(value: str) -> None:
    """Each form of an HTTP date counts from the response's own Date."""
    assert retry_after(headers(retry_after=value, date=DATE)) == 30


def test_the_callers_clock_does_not_matter() -> None:
    """A server whose clock is years off is understood all the same."""
    fields = headers(retry_after="Fri, 01 Jan 1999 00:01:00 GMT", date="Fri, 01 Jan 1999 00:00:00 GMT")
    assert retry_after(fields) == 60


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "0", "0.0", "-1", "+1", "1e3", "1_000", "0x10", "nan", "inf", "Infinity", "1,2", "1 s", "soon",
        "\N{ARABIC-INDIC DIGIT THREE}", ".5", "5.",
        DATE, "Wed, 21 Oct 2026 07:27:59 GMT", "Wed, 99 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 99999 07:28:30 GMT",
        "Wed, 21 Oct 2026 99:99:99 GMT", "Wed, 21 Oct 2026 07:28:30 +9999", "9" * 5000, "x" * 5000, "\x00",
    ],
    ids=lambda value: repr(value[:30]),
)  # fmt: skip
def test_a_retry_after_that_makes_no_sense_is_none(value: str) -> None:
    """What is malformed, negative, zero or past is as if it were not there."""
    assert retry_after(httpx.Headers([(b"retry-after", value.encode()), (b"date", DATE.encode())])) is None


@pytest.mark.parametrize("date", [None, "", "yesterday", "0"])
def test_a_date_without_a_date_is_none(date: str | None) -> None:
    """Without a readable Date a Retry-After date says nothing."""
    fields = headers(retry_after="Wed, 21 Oct 2099 07:28:30 GMT", **({} if date is None else {"date": date}))
    assert retry_after(fields) is None


@pytest.mark.parametrize(
    ("exact", "seconds"),
    [("250", 0.25), ("1500.5", 1.5005), (" 20 ", 0.02), ("0", None), ("soon", 2), ("-1", 2), ("", 2)],
)
def test_retry_after_in_milliseconds_comes_first(exact: str, seconds: float | None) -> None:
    """A retry-after-ms that is a number takes the place of Retry-After; any other is as if it were not there."""
    assert retry_after(headers(retry_after_ms=exact, retry_after="2")) == seconds


def test_no_retry_after_is_none() -> None:
    """Most responses say nothing."""
    assert retry_after(headers(date=DATE)) is None


@given(st.integers(1, 10**9), st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_dates_and_seconds_mean_the_same(seconds: int, now: datetime) -> None:
    """A date so many seconds after the response's own is that many seconds."""
    now = now.replace(microsecond=0)
    then = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    as_date = headers(retry_after=then, date=format_datetime(now, usegmt=True))
    assert retry_after(as_date) == retry_after(headers(retry_after=str(seconds))) == seconds


# -- rate-limit headers


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # draft-ietf-httpapi-ratelimit-headers-07 and later
        ({"ratelimit": '"default";r=50;t=30'}, Quota(50, 30)),
        ({"ratelimit": '"default";r=50;t=30', "ratelimit_policy": '"default";q=100;w=60'}, Quota(50, 30, 100)),
        (
            {"ratelimit": '"burst";r=0;t=3, "daily";r=900;t=80000', "ratelimit_policy": '"burst";q=9, "daily";q=1000'},
            Quota(0, 3, 9),
        ),
        ({"ratelimit": '"burst";r=50;t=3, "daily";r=0;t=80000'}, Quota(0, 80000)),
        ({"ratelimit": '"default";r=50;t=30', "ratelimit_policy": '"default";w=60'}, Quota(50, 30)),
        # the older single field, and the older separate ones
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, Quota(50, 5, 100)),
        ({"ratelimit_limit": "100", "ratelimit_remaining": "50", "ratelimit_reset": "5"}, Quota(50, 5, 100)),
        ({"ratelimit_limit": "100, 100;w=60", "ratelimit_remaining": "1", "ratelimit_reset": "5"}, Quota(1, 5, 100)),
        # X-RateLimit, in each dialect of its reset
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "12"}, Quota(0, 12)),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "1.5"}, Quota(0, 1.5)),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(EPOCH + 90), "date": DATE}, Quota(0, 90)),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": f"{EPOCH + 90}000", "date": DATE}, Quota(0, 90)),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(EPOCH - 90), "date": DATE}, Quota(0, 0)),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "2026-10-21T07:29:00Z", "date": DATE}, Quota(0, 60)),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "2026-10-21T07:27:00Z", "date": DATE}, Quota(0, 0)),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "2026-10-21T09:29:00+02:00", "date": DATE}, Quota(0, 60)),
        ({"x_rate_limit_limit": "15", "x_rate_limit_remaining": "3", "x_rate_limit_reset": "7"}, Quota(3, 7, 15)),
        # OpenAI: one set per resource, Go durations
        (
            {
                "x_ratelimit_limit_requests": "60",
                "x_ratelimit_remaining_requests": "59",
                "x_ratelimit_reset_requests": "1s",
                "x_ratelimit_limit_tokens": "150000",
                "x_ratelimit_remaining_tokens": "0",
                "x_ratelimit_reset_tokens": "6m0.5s",
            },
            Quota(0, 360.5, 150000),
        ),
        (
            {
                "x_ratelimit_remaining_tokens": "0",
                "x_ratelimit_reset_tokens": "6s",
                "x_ratelimit_remaining_requests": "59",
                "x_ratelimit_reset_requests": "1s",
                "x_ratelimit_remaining": "7",
                "x_ratelimit_reset": "2",
            },
            Quota(0, 6),
        ),
        ({"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "1h2m3s"}, Quota(0, 3723)),
        ({"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "250ms"}, Quota(0, 0.25)),
        # Anthropic: RFC 3339
        (
            {
                "anthropic_ratelimit_requests_limit": "50",
                "anthropic_ratelimit_requests_remaining": "0",
                "anthropic_ratelimit_requests_reset": "2026-10-21T07:28:10Z",
                "date": DATE,
            },
            Quota(0, 10, 50),
        ),
        (
            {
                "anthropic_ratelimit_tokens_remaining": "0",
                "anthropic_ratelimit_tokens_reset": "2026-10-21T07:28:10Z",
                "anthropic_ratelimit_requests_remaining": "49",
                "anthropic_ratelimit_requests_reset": "2026-10-21T07:28:01Z",
                "date": DATE,
            },
            Quota(0, 10),
        ),
    ],
)  # fmt: skip
def test_every_common_dialect_is_read(fields: dict[str, str], expected: Quota) -> None:
    """The standard's drafts and the dialects in use give the tightest of their quotas."""
    assert quota(headers(**fields)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"content_length": "5", "x_limited": "yes"},
        {"x_ratelimit_remaining": "5"},
        {"x_ratelimit_reset": "5"},
        {"x_ratelimit_remaining": "-1", "x_ratelimit_reset": "5"},
        {"x_ratelimit_remaining": "none", "x_ratelimit_reset": "5"},
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "-5"},
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "later"},
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(EPOCH + 90)},
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "2026-10-21T07:29:00Z"},
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "2026-10-21T07:29:00", "date": DATE},
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "-1m"},
        {"ratelimit": '"default";r=-1;t=30'},
        {"ratelimit": '"default";r=1;t=soon'},
        {"ratelimit": '"default";r=1'},
        {"ratelimit": "remaining=5"},
        {"ratelimit": "limit=9, reset=5"},
        {"ratelimit": ";;;===,,,"},
        {"ratelimit_policy": '"default";q=100;w=60'},
    ],
    ids=lambda fields: ", ".join(fields.values()),
)
def test_what_makes_no_sense_is_no_quota(fields: dict[str, str]) -> None:
    """Half a statement, or a malformed or negative one, says nothing."""
    assert quota(headers(**fields)) is None


def test_a_limit_of_nothing_divides_nothing() -> None:
    """A limit of 0 is no share to reckon with, and no error."""
    assert quota(headers(ratelimit="limit=0, remaining=0, reset=5")) is not None


@pytest.mark.parametrize("name", ["ratelimit", "RateLimit-Policy", "X-RATELIMIT-RESET", "x-rate-limit-limit"])
def test_names_that_may_speak_of_a_quota_are_told_in_any_case(name: str) -> None:
    """However a server writes them; without such a name no header is read."""
    assert mentions_quota(httpx.Headers([("Date", DATE), (name, "1")]))
    assert not mentions_quota(httpx.Headers([("Date", DATE), ("X-Limes", "1")]))


# -- fuzz

NAMES = st.sampled_from(
    [
        "retry-after", "date", "ratelimit", "ratelimit-policy", "ratelimit-limit", "ratelimit-remaining",
        "ratelimit-reset", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "X-RateLimit-Reset",
        "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset", "x-rate-limit-reset", "limit",
    ]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.integers(0, 10**6).map(str),
    st.sampled_from(["9" * 40, "0" * 40, "-0", "1e308", "1e999", str(EPOCH), f"{EPOCH}000"]),
)
DATE_LIKE = r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{1,5} \d{1,3}:\d{1,3}(:\d{1,3})? (GMT|[+-]\d{4})"
TIMES = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(format_datetime),
    st.datetimes(timezones=st.timezones()).map(lambda then: then.isoformat()),
    st.from_regex(
        r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{1,5} \d{1,3}:\d{1,3}(:\d{1,3})? (GMT|[+-]\d{4})", fullmatch=True
    ),
    st.from_regex(r"(\d{1,20}(\.\d{1,20})?(h|ms|us|ns|m|s)){1,5}", fullmatch=True),
)
ITEMS = st.lists(st.from_regex(r'"?[a-z]{0,3}"?(;[rtqw]=-?[0-9.]{0,9}){0,4}', fullmatch=True), max_size=4).map(",".join)
VALUES = st.one_of(st.text(), NUMBERS, TIMES, ITEMS).map(lambda text: text.encode("utf-8", "replace")) | st.binary()


@given(st.lists(st.tuples(NAMES.map(str.encode), VALUES), max_size=8))
@example([(b"retry-after", b"Mon, 1 Jan 0001 00:00:00 +2359"), (b"date", DATE.encode())])
@example([(b"retry-after", b"Fri, 31 Dec 9999 23:59:59 -2359"), (b"date", DATE.encode())])
@example([(b"date", b"Mon, 1 Jan 0001 00:00:00 +2359"), (b"x-ratelimit-reset", b"0001-01-01T00:00:00+23:59")])
@example([(b"ratelimit", b"\xff" * 10_000)])
def test_no_headers_crash_the_parsers(fields: list[tuple[bytes, bytes]]) -> None:
    """Whatever a server sends, reading it raises nothing, and gives nothing negative, infinite or undefined."""
    sent = httpx.Headers(fields)
    asked = retry_after(sent)
    assert asked is None or 0 < asked < float("inf")
    left = quota(sent)
    if left is not None:
        assert 0 <= left.remaining < float("inf")
        assert 0 <= left.reset < float("inf")
        assert left.limit is None or 0 <= left.limit < float("inf")


@pytest.mark.parametrize(
    "value", ["1h" * 5_000 + "!", "1" * 50_000, '"a";r=1;t=1,' * 5_000, "9" * 20 + "." + "9" * 20 + "s" * 5_000]
)
@pytest.mark.parametrize("name", ["retry-after", "ratelimit", "x-ratelimit-reset", "date"])
def test_long_values_are_read_in_linear_time(name: str, value: Any) -> None:
    """No value makes the parsers backtrack: the suite's own time limit would end this."""
    fields = headers(**{"x_ratelimit_remaining": "0", name.replace("-", "_"): value})
    for _ in range(20):
        retry_after(fields)
        quota(fields)


def test_of_several_quotas_the_one_with_the_smallest_share_left_counts() -> None:
    """Not the smallest number; of equal shares the one whose reset is farther off; an unknown limit has all left."""

    def found(limits: str, left: str) -> tuple[float, float]:
        tightest = quota(httpx.Headers({"RateLimit-Policy": limits, "RateLimit": left}))
        assert tightest is not None
        return tightest.remaining, tightest.reset

    assert found('"hour";q=1000, "second";q=10', '"second";r=5;t=1, "hour";r=20;t=900') == (20, 900)
    assert found('"hour";q=20, "second";q=100', '"hour";r=10;t=900, "second";r=10;t=1') == (10, 1)
    assert found('"second";q=10, "hour";q=1000', '"second";r=1;t=1, "hour";r=100;t=900') == (100, 900)
    assert found('"hour";q=1000', '"other";r=3;t=5, "hour";r=500;t=900') == (500, 900)
