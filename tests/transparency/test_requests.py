"""What a server gets to see of every kind of request."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .user import User

FORM = {"Content-Type": "multipart/form-data; boundary=fixed"}


async def test_methods(user: User) -> None:
    """A request of any method, without a body and with one."""
    async with user.client() as client:
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY", "MADEUP", "get"):
            user.note(await user(client.request(method, "/mirror")))
            user.note(await user(client.request(method, "/mirror", content=b"body")))


async def test_shortcuts(user: User) -> None:
    """`get`, `post` and the others."""
    async with user.client() as client:
        for name in ("get", "options", "head", "delete"):
            user.note(await user(getattr(client, name)("/mirror", params={"a": 1}, headers={"X": "1"})))
        for name in ("post", "put", "patch"):
            user.note(await user(getattr(client, name)("/mirror", json={"a": [1, None, "\u00e9"]})))


async def test_headers(user: User) -> None:
    """Headers keep their order, case, repetition and bytes; those of client and request merge, and may be set later."""
    headers = [(b"X-Two", b"1"), (b"x-one", b"\xe9"), (b"X-Two", b"2"), (b"User-Agent", b"mine"), (b"Accept", b"")]
    async with user.client(headers={"X-Client": "yes", "x-ONE": "client"}) as client:
        user.note(await user(client.get("/mirror", headers=headers)))
        user.note(await user(client.get("/mirror", headers={"Host": "elsewhere.example", "Connection": "close"})))
        client.headers["X-Later"] = "1"
        del client.headers["Accept-Encoding"]
        user.note(await user(client.get("/mirror")), client.headers)
        request = client.build_request("GET", "/mirror")
        del request.headers["User-Agent"]
        user.note(request, await user(client.send(request)))


async def test_targets(user: User) -> None:
    """What becomes of a URL's path, query and fragment."""
    async with user.client() as client:
        for path in ("/mirror?a=1&b=%20&c=\u00e9", "/a%2Fb/../c d", "/caf\u00e9", "", "?only", "/x#fragment", "/a;b=c"):
            user.note(await user(client.get(path)))
            user.note(await user(client.get(path, params={"q": ["1", "\u00e9 &"], "n": None, "t": True})))


async def test_base_url_and_params(user: User) -> None:
    """`base_url` and `params` of a client merge with those of a request, and may be set later."""
    async with user.client(base_url=user.url("/base/"), params={"of": "client"}) as client:
        user.note(client.base_url, client.params)
        for path in ("", "items", "/items", "../up", user.url("/whole"), "items?own=1"):
            user.note(await user(client.get(path)), await user(client.get(path, params={"of": "request", "x": "1"})))
        client.base_url = user.url("/other")
        client.params = {"later": "1"}
        user.note(await user(client.get("items")))


async def test_bodies(user: User) -> None:
    """Bytes, text, JSON, forms: content, length and type."""
    async with user.client() as client:
        for body in (
            {"content": b""},
            {"content": "caf\u00e9"},
            {"json": None},
            {"json": {"a": "\u00e9"}},
            {"data": {"field": ["a", "b c"], "n": 1}},
            {"content": b"x" * 100_000},
            {"data": {}},
        ):
            user.note(await user(client.post("/mirror", **body)))


async def test_streamed_bodies(user: User) -> None:
    """Generators go out in chunks, or with the length that a header gives them."""
    async with user.client() as client:
        user.note(await user(client.post("/mirror", content=user.chunks(b"one", b"", b"two"))))
        user.note(await user(client.post("/mirror", content=user.chunks(b"sized"), headers={"Content-Length": "5"})))
        user.note(await user(client.put("/mirror", content=user.chunks())))


async def test_forms_with_files(user: User) -> None:
    """Multipart forms, with fields, names, types and headers."""
    async with user.client(headers=FORM) as client:
        for files in (
            {"f": b"bytes"},
            {"f": ("name.txt", io.BytesIO(b"in memory"), "text/x")},
            {"f": ('odd"name\u00e9.bin', b"x", "a/b", {"X-Part": "1"})},
            [("f", ("1.txt", b"1")), ("f", (None, b"2"))],
        ):
            user.note(await user(client.post("/mirror", files=files, data={"field": "value", "more": ["a", "b"]})))


async def test_file_as_a_body(user: User, tmp_path: Path) -> None:
    """A file, and what is left of one that was read in part."""
    path = tmp_path / "digits"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        async with user.client() as client:
            for start in (0, 4):
                file.seek(start)
                body: dict[str, Any] = {"content": file}
                if user.is_async:  # which takes no sync iterables
                    body = {"files": {"f": file}, "headers": FORM}
                try:
                    user.note(await user(client.post("/mirror", **body)))
                except Exception as error:  # the library tells the length of the whole
                    user.note(error)


async def test_body_of_the_wrong_kind(user: User) -> None:
    """An async body in a sync client, a sync one in an async client, and what is no body at all."""

    async def awaited() -> Any:
        yield b"x"

    def plain() -> Iterator[bytes]:
        yield b"x"

    async with user.client() as client:
        wrong: Any = plain() if user.is_async else awaited()
        await user.refused(lambda: client.post("/mirror", content=wrong))
        await user.refused(lambda: client.post("/mirror", content=3))
        user.note(await user(client.get("/plain")))


async def test_body_sent_twice(user: User) -> None:
    """A request with bytes can be sent again; one with a generator has been used up."""
    async with user.client() as client:
        again = client.build_request("POST", "/mirror", content=b"twice")
        once = client.build_request("POST", "/mirror", content=user.chunks(b"once"))
        for request in (again, again, once):
            user.note(await user(client.send(request)))
        await user.refused(lambda: client.send(once))
        user.note(await user(client.get("/plain")))


@pytest.mark.parametrize("length", ["2", "20"])
async def test_wrong_length(user: User, length: str) -> None:
    """A body that is not as long as its header says is an error of the protocol's on this side."""
    async with user.client() as client:
        await user.refused(
            lambda: client.post("/mirror", content=user.chunks(b"seven b"), headers={"Content-Length": length})
        )
        user.note(await user(client.get("/plain")))


async def test_headers_that_cannot_be_sent(user: User) -> None:
    """A header with a line break or of the wrong type is an error, and the client is of use afterwards."""
    async with user.client() as client:
        await user.refused(lambda: client.get("/plain", headers={"X": "a\r\nb"}))
        await user.refused(lambda: client.get("/plain", headers={"X y": "a"}))
        await user.refused(lambda: client.get("/plain", headers={"X": 3}))
        await user.refused(lambda: client.request("BAD METHOD", "/plain"))
        user.note(await user(client.get("/plain")))


async def test_expect_continue(user: User) -> None:
    """A request that expects a 100 gets its final answer."""
    async with user.client() as client:
        user.note(await user(client.post("/continue", content=b"body", headers={"Expect": "100-continue"})))
        user.note(await user(client.get("/mirror")))


async def test_body_that_breaks(user: User) -> None:
    """An error out of a generator comes through as it is, and the connection is not used again."""

    def broken() -> Iterator[bytes]:
        yield b"one"
        raise ZeroDivisionError("mine")

    async def abroken() -> Any:
        for piece in broken():
            yield piece

    async with user.client() as client:
        await user.refused(lambda: client.post("/mirror", content=abroken() if user.is_async else broken()))
        user.note(await user(client.get("/plain")))


async def test_timeouts_and_other_extensions_of_a_request(user: User) -> None:
    """The extensions of a request are those that were given, before it is sent and afterwards."""
    async with user.client(timeout=user.lib.Timeout(7, connect=3)) as client:
        user.note(client.timeout)
        for options in ({}, {"timeout": 4}, {"timeout": user.lib.Timeout(9, pool=None)}):
            request = client.build_request("GET", "/mirror", **options)
            user.note(request)
            user.note(await user(client.send(request)), request)
        own: dict[str, Any] = {"mine": object()}
        answer = await user(client.get("/mirror", extensions=own))
        user.note(answer, sorted(own), answer.request.extensions["mine"] is own["mine"])
        client.timeout = 8
        user.note(await user(client.get("/mirror")), client.timeout)


@pytest.mark.parametrize("path", ["/mirror", "/redirect/302/2"])
async def test_a_request_made_by_hand(user: User, path: str) -> None:
    """A `Request` that no client built is sent as it is."""
    async with user.client(headers={"X-Client": "1"}, params={"c": "1"}, follow_redirects=True) as client:
        request = user.lib.Request("GET", user.url(path), headers={"X-Mine": "1"})
        user.note(await user(client.send(request)), request)
