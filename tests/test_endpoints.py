"""Endpoints: how patterns are read, which one wins, and that its stack is the one that is used."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, Endpoints, Retry, Stack, StackError, Throttle, Timeout, standard
from seawall._endpoints import parse
from seawall.httpx import AsyncClient, Client
from seawall.testing import ScriptedServer, VirtualRuntime, reply

ONE = Stack(Retry(1, name="one"))


def winner(patterns: list[str], method: str, url: str) -> str:
    """The pattern that handles a request sent by a real client."""
    server = ScriptedServer()
    with Client(Endpoints(dict.fromkeys(patterns, ONE)), transport=server) as client:
        return seawall.report(client.request(method, url)).endpoint or ""


# -- the grammar


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("https://api.example.com", ("https", "api.example.com", 443, None, None)),
        ("http://api.example.com", ("http", "api.example.com", 80, None, None)),
        ("https://api.example.com:8443", ("https", "api.example.com", 8443, None, None)),
        ("https://api.example.com/search/*", ("https", "api.example.com", 443, None, "/search/*")),
        ("GET https://api.example.com/items/*", ("https", "api.example.com", 443, "GET", "/items/*")),
        ("POST  *.example.com/x", (None, "*.example.com", None, "POST", "/x")),
        ("*.example.com", (None, "*.example.com", None, None, None)),
        ("*", (None, "*", None, None, None)),
        ("*/health", (None, "*", None, None, "/health")),
        ("DELETE *", (None, "*", None, "DELETE", None)),
        ("https://*", ("https", "*", 443, None, None)),
        ("*:8080", (None, "*", 8080, None, None)),
        ("API.Example.COM", (None, "api.example.com", None, None, None)),
        ("localhost:5000/a/*/c", (None, "localhost", 5000, None, "/a/*/c")),
        ("http://[::1]:8000/x", ("http", "::1", 8000, None, "/x")),
        ("[2001:db8::1]", (None, "2001:db8::1", None, None, None)),
        ("http://127.0.0.1", ("http", "127.0.0.1", 80, None, None)),
        ("https://a.example/", ("https", "a.example", 443, None, "/")),
    ],
)
def test_patterns_are_read(pattern: str, parts: tuple[Any, ...]) -> None:
    """A pattern is `[METHOD ][scheme://]host[:port][/path]`, its host in any case."""
    endpoint = parse(pattern, ONE)
    assert (endpoint.scheme, endpoint.host, endpoint.port, endpoint.method, endpoint.path) == parts
    assert endpoint.pattern == pattern


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "it cannot be read"),
        (" ", "it cannot be read"),
        ("https://", 'after ":" a port is missing, or "//" and a host'),
        ("https:/api.example.com", 'after ":" a port is missing, or "//" and a host'),
        ("https//api.example.com", "a colon is missing after 'https'"),
        ("/items/*", "it cannot be read"),
        ("get https://a.example", "'get' is not a method in capitals"),
        ("G3T https://a.example", "'G3T' is not a method in capitals"),
        ("GET POST https://a.example", "it cannot be read"),
        ("ftp://a.example", 'the scheme must be "http" or "https", not \'ftp\''),
        ("HTTPS://a.example", 'the scheme must be "http" or "https", not \'HTTPS\''),
        ("https://a.example:0", "the port must be a number from 1 to 65535, not '0'"),
        ("https://a.example:65536", "the port must be a number from 1 to 65535, not '65536'"),
        ("https://a.example:x", "the port must be a number from 1 to 65535, not 'x'"),
        ("https://a.example:", 'after ":" a port is missing'),
        ("https://a.example:-1", "the port must be a number from 1 to 65535, not '-1'"),
        ("*example.com", r'in a host, "\*" stands alone or at the start'),
        ("api.*.com", r'in a host, "\*" stands alone or at the start'),
        ("*.*.com", r'in a host, "\*" stands alone or at the start'),
        ("**", r'in a host, "\*" stands alone or at the start'),
        ("*.", r'in a host, "\*" stands alone or at the start'),
        ("a..example", "'a..example' is not a host"),
        (".example.com", "'.example.com' is not a host"),
        ("example.com.", "'example.com.' is not a host"),
        ("https://a.example/items*", r'in a path, "\*" stands for a whole segment'),
        ("https://a.example/**", r'in a path, "\*" stands for a whole segment'),
        ("https://a.example/x?y=1", "a query or fragment cannot be matched"),
        ("https://a.example/#top", "a query or fragment cannot be matched"),
        ("https://me@a.example", "user information cannot be matched"),
        ("https://a.example/a b", "it cannot be read"),
        (5, "it is not a string"),
        (None, "it is not a string"),
    ],
)
def test_malformed_patterns_are_refused(pattern: Any, reason: str) -> None:
    """A typo in a pattern is a StackError that shows the pattern, what is wrong with it, and good ones."""
    with pytest.raises(StackError, match=reason) as caught:
        Endpoints({pattern: ONE})
    message = str(caught.value)
    assert repr(pattern).replace("me@", "...@") in message
    assert 'such as "GET https://api.example.com/items/*", "*.example.com" or "*"' in message


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Endpoints([ONE]), "takes a mapping of patterns to Stacks"),
        (lambda: Endpoints(ONE), "takes a mapping of patterns to Stacks"),
        (lambda: Endpoints({"a.example": Retry()}), r"endpoint 'a\.example' needs a Stack, not Retry"),
        (lambda: Endpoints({"a.example": None}), r"endpoint 'a\.example' needs a Stack, not None"),
        (lambda: Endpoints({}, default=Retry()), "endpoint 'default' needs a Stack, not Retry"),
        (lambda: Endpoints({}, default=0), "endpoint 'default' needs a Stack, not 0"),
        (lambda: Endpoints({"*": ONE}, default=ONE), r'give either the pattern "\*" or default=, not both'),
        (lambda: Endpoints({"a.example": ONE, "A.example": ONE}), r"'a\.example' and 'A\.example' mean the same"),
        (
            lambda: Endpoints({"http://a.example": ONE, "http://a.example:80": ONE}),
            r"'http://a\.example' and 'http://a\.example:80' mean the same",
        ),
    ],
)
def test_malformed_endpoints_are_refused(make: Any, reason: str) -> None:
    """What is not a mapping of patterns to stacks, or says one thing twice, is refused."""
    with pytest.raises(StackError, match=reason):
        make()


# -- the most specific wins


@pytest.mark.parametrize(
    ("patterns", "request_line", "expected"),
    [
        (["*.example.com", "api.example.com"], "GET https://api.example.com/x", "api.example.com"),
        (["*.example.com/a/b/c", "api.example.com"], "GET https://api.example.com/a/b/c", "api.example.com"),
        (["*.example.com", "*.api.example.com"], "GET https://v1.api.example.com/", "*.api.example.com"),
        (["*.example.com", "*"], "GET https://example.com/", "*"),
        (["*.example.com", "*"], "GET https://a.b.example.com/", "*.example.com"),
        (["*.example.com", "*"], "GET https://notexample.com/", "*"),
        (["a.example", "a.example/items/*"], "GET http://a.example/items/1", "a.example/items/*"),
        (["a.example", "a.example/items/*"], "GET http://a.example/items", "a.example"),
        (["a.example/*", "a.example/items/*"], "GET http://a.example/items/1/x", "a.example/items/*"),
        (["a.example/items/*", "a.example/items/1"], "GET http://a.example/items/1", "a.example/items/1"),
        (["a.example/items/*", "a.example/items/1"], "GET http://a.example/items/12", "a.example/items/*"),
        (["a.example/*/x", "a.example/*"], "GET http://a.example/1/x", "a.example/*/x"),
        (["a.example/*/x", "a.example/*"], "GET http://a.example/1/2/x", "a.example/*"),
        (["GET a.example", "a.example"], "GET http://a.example/", "GET a.example"),
        (["GET a.example", "a.example"], "POST http://a.example/", "a.example"),
        (["GET a.example", "a.example/x/*"], "GET http://a.example/x/y", "a.example/x/*"),
        (["GET a.example/x", "a.example/x"], "GET http://a.example/x", "GET a.example/x"),
        (["http://a.example", "a.example"], "GET http://a.example/", "http://a.example"),
        (["http://a.example", "a.example"], "GET https://a.example/", "a.example"),
        (["https://a.example", "*"], "GET https://a.example:443/", "https://a.example"),
        (["https://a.example", "*"], "GET https://a.example:8443/", "*"),
        (["https://a.example:8443", "a.example"], "GET https://a.example:8443/", "https://a.example:8443"),
        (["a.example:8080", "a.example"], "GET http://a.example:8080/", "a.example:8080"),
        (["a.example:80", "a.example"], "GET http://a.example/", "a.example:80"),
        (["a.example:80", "a.example"], "GET https://a.example/", "a.example"),
        (["http://[::1]", "*"], "GET http://[::1]/x", "http://[::1]"),
        (["http://[::1]:9", "[::1]"], "GET http://[::1]:8/x", "[::1]"),
        (["a.example"], "GET http://A.EXAMPLE/", "a.example"),
        (["a.example"], "GET http://b.example/", "*"),
        (["a.example/a+b/(c)"], "GET http://a.example/a+b/(c)", "a.example/a+b/(c)"),
        (["a.example/x"], "GET http://a.example/x?y=1", "a.example/x"),
        (["*/health", "*"], "GET http://a.example/health", "*/health"),
        (["a.example/"], "GET http://a.example", "a.example/"),
    ],
)
@pytest.mark.parametrize("order", ["as given", "reversed"])
def test_the_most_specific_pattern_wins(patterns: list[str], request_line: str, expected: str, order: str) -> None:
    """Exact hosts before wildcards, then the longest path, then the method; whatever the order they are written in."""
    method, _, url = request_line.partition(" ")
    assert winner(patterns[:: 1 if order == "as given" else -1], method, url) == expected


LABEL = st.text("abcxyz01", min_size=1, max_size=4)
HOST = st.builds(".".join, st.lists(LABEL, min_size=1, max_size=3))
PATH = st.one_of(st.none(), st.builds(lambda parts: "/" + "/".join(parts), st.lists(LABEL, max_size=3)))
EXACT = st.tuples(
    st.sampled_from([None, "GET", "POST"]),
    st.sampled_from([None, "http", "https"]),
    st.one_of(HOST, st.just("[::1]")),
    st.one_of(st.none(), st.integers(1, 65535)),
    PATH,
)


def written(method: str | None, scheme: str | None, host: str, port: int | None, path: str | None) -> str:
    return "".join(
        (
            f"{method} " if method else "",
            f"{scheme}://" if scheme else "",
            host,
            f":{port}" if port else "",
            path or "",
        )
    )


@given(EXACT)
def test_a_pattern_matches_the_request_it_spells(parts: tuple[Any, ...]) -> None:
    """Every pattern without wildcards takes the request that is written like it, and no other host's."""
    endpoint = parse(written(*parts), ONE)
    method, scheme, host, port, path = parts
    assert endpoint.serves(scheme or "https", host.strip("[]"), port)
    assert endpoint.takes(method or "PATCH", path or "/any")
    assert not endpoint.serves(scheme or "https", "other" + host.strip("[]"), port)


@given(EXACT, st.data())
def test_a_generalised_pattern_loses_to_the_exact_one(parts: tuple[Any, ...], data: st.DataObject) -> None:
    """Of a pattern and the same with something left out, the full one wins, and the other takes the rest."""
    method, scheme, host, port, path = parts
    wider = {
        "host": written(method, scheme, "*", port, path),
        "method": written(None, scheme, host, port, path),
        "path": written(method, scheme, host, port, None),
        "scheme": written(method, None, host, port, path),
    }
    exact, other = written(*parts), wider[data.draw(st.sampled_from(sorted(wider)))]
    if parse(exact, ONE).identity() == parse(other, ONE).identity():
        return
    endpoints = Endpoints({other: ONE, exact: ONE})
    found = endpoints.candidates(scheme or "https", host.strip("[]"), port)
    taking = [e.pattern for e in found if e.takes(method or "GET", path or "/any")]
    assert taking[0] == exact
    assert other in taking or parse(exact, ONE).whole_host


@given(st.text(max_size=30))
def test_any_text_is_a_pattern_or_a_clear_error(text: str) -> None:
    """No text crashes the parser: it is read, or refused as a StackError that shows it."""
    refused = ""
    try:
        assert parse(text, ONE).pattern == text
    except StackError as error:
        refused = str(error)
    assert not refused or "@" in text or repr(text) in refused


# -- in clients


def test_each_endpoint_uses_its_own_stack() -> None:
    """A request is handled by the stack of its pattern, and the report names the pattern and the origin."""
    server = ScriptedServer(then=503)
    endpoints = Endpoints(
        {"https://api.example.com": Stack(Retry(3)), "POST https://api.example.com/once": Stack(Timeout(9))},
        default=Stack(Retry(2)),
    )

    async def main() -> None:
        async with AsyncClient(endpoints, transport=server) as client:
            for method, url, pattern, attempts in [
                ("GET", "https://api.example.com/x", "https://api.example.com", 3),
                ("POST", "https://api.example.com/once", "POST https://api.example.com/once", 1),
                ("GET", "https://elsewhere.example/x", "*", 2),
                ("GET", "https://api.example.com/once", "https://api.example.com", 3),
            ]:
                report = seawall.report(await client.request(method, url))
                assert (report.endpoint, len(report.attempts)) == (pattern, attempts)
                assert report.key == url[: url.index("/", 8)]

    VirtualRuntime().run(main())
    assert len(server.requests) == 9


def test_the_default_is_the_standard_stack() -> None:
    """Without `default=` (or a `"*"`), everything else is handled by `seawall.standard()`."""
    assert [e.stack for e in Endpoints({"a.example": ONE})] == [ONE, standard()]
    assert [e.stack for e in Endpoints({"a.example": ONE, "*": Stack(Retry(9))})] == [ONE, Stack(Retry(9))]
    assert [e.pattern for e in Endpoints({})] == ["*"]


def test_endpoints_have_state_of_their_own() -> None:
    """Equal policies under two patterns of one host keep their counts apart."""
    stack = Stack(CircuitBreaker(consecutive=1))
    endpoints = Endpoints({"https://a.example/good/*": stack, "https://a.example/bad/*": stack}, default=stack)
    server = ScriptedServer(503, then=200)
    with Client(endpoints, transport=server) as client:
        assert client.get("https://a.example/bad/1").status_code == 503
        with pytest.raises(seawall.CircuitOpen) as caught:
            client.get("https://a.example/bad/2")
        assert caught.value.endpoint == "https://a.example/bad/*"
        assert client.get("https://a.example/good/1").status_code == 200
        assert client.get("https://a.example/").status_code == 200
        assert sorted(circuit.state for circuit in client.state.circuits()) == ["closed", "closed", "open"]


def test_a_name_shares_state_across_patterns() -> None:
    """Policies of one name are one, whatever pattern they stand under; two settings under one name are refused."""
    one, two = Stack(CircuitBreaker(consecutive=1, name="db")), Stack(CircuitBreaker(consecutive=2, name="db"))
    server = ScriptedServer(503)
    with Client(Endpoints({"*/a": one, "*/b": one}), transport=server) as client:
        client.get("https://a.example/a")
        with pytest.raises(seawall.CircuitOpen):
            client.get("https://a.example/b")
    with pytest.raises(StackError, match="the name 'db' is used for two different CircuitBreaker: "):
        Client(Endpoints({"*/a": one, "*/b": two}))


def test_one_key_for_an_endpoint_spans_its_origins() -> None:
    """`key="endpoint"` keeps one state for a pattern, whichever hosts its requests go to."""
    endpoints = Endpoints({"*.example.com": Stack(CircuitBreaker(consecutive=1, key="endpoint"))})
    with Client(endpoints, transport=ScriptedServer(503)) as client:
        client.get("https://a.example.com/")
        with pytest.raises(seawall.CircuitOpen):
            client.get("https://b.example.com/")
        assert client.state.circuit("*.example.com").state == "open"


def test_a_limit_of_one_endpoint_does_not_hold_up_another() -> None:
    """A full limit or a slow throttle of one pattern leaves the other patterns of the host alone."""
    stacks = {"a.example/slow": Stack(ConcurrencyLimit(1)), "a.example/paced": Stack(Throttle(1, per=60))}
    server = ScriptedServer(then=lambda request: reply(after=10 if request.url.path == "/slow" else 0))

    async def main() -> None:
        client = AsyncClient(Endpoints(stacks), transport=server)
        runtime.spawn(client.get("https://a.example/slow"))
        await runtime.sleep(0)
        await client.get("https://a.example/paced")
        assert runtime.now() == 0
        await client.get("https://a.example/free")
        assert runtime.now() == 0
        await client.get("https://a.example/slow")
        assert runtime.now() == 20
        await client.get("https://a.example/paced")
        assert runtime.now() == 60

    runtime = VirtualRuntime()
    runtime.run(main())
