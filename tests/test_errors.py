"""The error tree: what inherits from what, so that code written for httpx or pybreaker keeps working."""

import pickle

import httpx
import pybreaker
import pytest

import seawall
import seawall.httpx
from seawall.testing import ScriptedServer

FAMILY_ERRORS = {
    "CircuitOpen": (seawall.CircuitOpen, httpx.TransportError, pybreaker.CircuitBreakerError),
    "QueueFull": (seawall.QueueFull, httpx.TransportError),
    "WaitTooLong": (seawall.WaitTooLong, httpx.PoolTimeout, httpx.TransportError),
    "TimedOut": (seawall.TimedOut, httpx.TimeoutException, httpx.TransportError),
}


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (seawall.SeawallError, [Exception]),
        (seawall.Rejected, [seawall.SeawallError]),
        (seawall.CircuitOpen, [seawall.Rejected, pybreaker.CircuitBreakerError]),
        (seawall.QueueFull, [seawall.Rejected]),
        (seawall.WaitTooLong, [seawall.Rejected]),
        (seawall.TimedOut, [seawall.SeawallError]),
        (seawall.StackError, [seawall.SeawallError, ValueError]),
        (seawall.OptionError, [seawall.SeawallError, ValueError]),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_error_tree(error: type[Exception], bases: list[type[Exception]]) -> None:
    """Errors inherit as documented, and a rejection has an endpoint, a key and a retry_after."""
    assert error.__bases__ == tuple(bases)
    if issubclass(error, seawall.Rejected):
        assert (error.endpoint, error.key, error.retry_after) == (None, None, None)


@pytest.mark.parametrize(("name", "bases"), list(FAMILY_ERRORS.items()), ids=list(FAMILY_ERRORS))
def test_errors_of_calls_belong_to_both_trees(name: str, bases: tuple[type[Exception], ...]) -> None:
    """An error raised by an httpx call is caught by `except httpx....` and by `except seawall....`."""
    error = getattr(seawall.httpx, name)
    for base in bases:
        assert issubclass(error, base)
    assert error.__qualname__ == name
    assert error.__module__ == seawall.httpx.__name__
    assert not issubclass(error, httpx.ConnectError)


@pytest.mark.parametrize("name", list(FAMILY_ERRORS))
def test_errors_pickle(name: str) -> None:
    """An error goes through pickle with its message, its fields and its request."""
    request = httpx.Request("GET", "https://a.example/x")
    error = getattr(seawall.httpx, name)("a message")
    error.request, error.key, error.endpoint, error.retry_after = request, "https://a.example", "*", 1.5
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == "a message"
    assert (copy.key, copy.endpoint, copy.retry_after) == ("https://a.example", "*", 1.5)
    assert copy.request.url == request.url


@pytest.mark.parametrize("name", ["SeawallError", "StackError", "OptionError", *FAMILY_ERRORS])
def test_core_errors_pickle(name: str) -> None:
    """The errors of the core go through pickle too."""
    error = getattr(seawall, name)("a message")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == "a message"


# -- as raised by calls


def refusing(*policies: seawall.Policy) -> seawall.httpx.Client:
    return seawall.httpx.Client(seawall.Stack(*policies), transport=ScriptedServer(httpx.ConnectError("refused")))


def test_a_rejection_tells_where_and_when() -> None:
    """`CircuitOpen` has the endpoint's pattern, the origin, a retry_after and the request of the rejected call."""
    with refusing(seawall.CircuitBreaker(consecutive=1, open_for=100)) as client:
        with pytest.raises(httpx.ConnectError):
            client.get("https://a.example/x")
        with pytest.raises(seawall.CircuitOpen) as caught:
            client.get("https://a.example/y")
    error = caught.value
    assert isinstance(error, httpx.TransportError)
    assert (error.endpoint, error.key) == ("*", "https://a.example")
    assert 79 < error.retry_after <= 120
    assert error.request.url == "https://a.example/y"
    assert str(error).startswith("the circuit for https://a.example is open; it may close in ")


def test_a_library_error_has_its_request() -> None:
    """A transport error that the inner transport raised without its request is given it, and is the real one."""
    boom = httpx.ConnectError("refused")
    with (
        seawall.httpx.Client(seawall.Stack(seawall.Retry(1)), transport=ScriptedServer(boom)) as client,
        pytest.raises(httpx.ConnectError) as caught,
    ):
        client.get("https://a.example/x")
    assert caught.value is boom
    assert boom.request.url == "https://a.example/x"


def test_the_last_error_says_why_it_was_the_last() -> None:
    """The error of the last attempt carries a note that tells why it was not retried."""
    with refusing(seawall.Retry(1)) as client, pytest.raises(httpx.ConnectError) as caught:
        client.get("https://a.example/x")
    assert caught.value.__notes__ == ["seawall: not retried after attempt 1 of at most 1: attempts"]
