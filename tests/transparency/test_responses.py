"""What a client makes of every kind of response."""

import copy
import pickle
from typing import Any

import pytest

from .site import PAUSE
from .user import User

PLAIN = [
    "/mirror", "/plain", "/empty", "/204", "/304", "/1.0", "/close", "/until-close", "/no-reason", "/odd-reason",
    "/headers", "/json", "/latin", "/no-charset", "/odd-charset", "/lines", "/trailers", "/early", "/404", "/418",
    "/301-without-location", "/events",
]  # fmt: skip


async def test_response(user: User) -> None:
    """A response says the same, whatever its status, headers, framing and encoding, and so does the next one."""
    async with user.client() as client:
        for path in PLAIN:
            user.note(await user(client.get(path)))
            user.note(await user(client.get("/mirror")))


async def test_head(user: User) -> None:
    """The answer to HEAD has headers and no body."""
    async with user.client() as client:
        for path in ("/mirror", "/304", "/204"):
            user.note(await user(client.head(path)))
        user.note(await user(client.get("/mirror")))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity", "gzip,br", "unheard-of"])
async def test_encoded(user: User, encoding: str) -> None:
    """A compressed body is read decoded, and counted as it came."""
    for name, module in (("br", "brotli"), ("zstd", "zstandard")):
        if name in encoding:
            pytest.importorskip(module)
    async with user.client() as client:
        user.note(await user(client.get(f"/encoded/{encoding}")))


@pytest.mark.parametrize("name", ["ascii", "detect"])
async def test_default_encoding(user: User, name: str) -> None:
    """`default_encoding` is a name, or a function of the body."""
    async with user.client(default_encoding=(lambda body: "latin-1") if name == "detect" else name) as client:
        for path in ("/no-charset", "/latin"):
            answer = await user(client.get(path))
            user.note(answer.text, answer)
            answer = await user(client.get(path))
            answer.encoding = "cp437"
            user.note(answer.text, answer)
            with pytest.raises(ValueError, match="not allowed"):
                answer.encoding = "utf-8"


async def test_json(user: User) -> None:
    """`json()` gives the data, or the error of a body that is none."""
    async with user.client() as client:
        answer = await user(client.get("/json"))
        user.note(answer.json(), answer.json(parse_int=str))
        answer = await user(client.get("/plain"))
        await user.refused(answer.json)


@pytest.mark.parametrize("path", ["/plain", "/redirect/302/2", "/encoded/gzip"])
async def test_pickled(user: User, path: str) -> None:
    """A response that was read can be pickled, with its history, and one that was not is a closed one afterwards."""
    async with user.client(follow_redirects=True) as client:
        answer = await user(client.get(path))
        again = pickle.loads(pickle.dumps(answer))
        user.note(sorted(answer.__getstate__()), again, again.history, again.request)
        streamed = await user.open(client, path, headers={"X": "1"})
        user.note(sorted(streamed.__getstate__()), pickle.loads(pickle.dumps(streamed)))
        await user.read(streamed)


async def test_copied(user: User) -> None:
    """A response that was read can be copied."""
    async with user.client() as client:
        answer = await user(client.get("/plain"))
        again: Any = copy.copy(answer)
        user.note(again)


async def test_status(user: User) -> None:
    """`raise_for_status` gives the response or an error with request and response."""
    async with user.client() as client:
        for path in ("/plain", "/404", "/418", "/301-without-location", "/redirect/302/1", "/204"):
            answer = await user(client.get(path))
            if answer.is_success:
                assert answer.raise_for_status() is answer
                continue
            error: Any = await user.refused(answer.raise_for_status)
            assert (error.response, error.request) == (answer, answer.request)
        server_error = await user(client.post("/500", content=b"x"))
        await user.refused(server_error.raise_for_status)


@pytest.mark.without("read ahead")  # which makes the headers wait for the body
async def test_elapsed(user: User) -> None:
    """`elapsed` is not known before the body's end, and then is the time until there."""
    async with user.client() as client:
        answer = await user.open(client, "/pause")
        user.note(answer)
        await user.refused(lambda: answer.elapsed)
        await user.read(answer)
        user.note(answer, answer.elapsed.total_seconds() >= PAUSE)
        answer = await user.open(client, "/pause")
        await user.close(answer)
        user.note(answer)


@pytest.mark.without("read ahead")  # which reads such a body to its end
async def test_body_that_cannot_be_decoded(user: User) -> None:
    """A body that is not what its headers say is a `DecodingError`, at once or while it is streamed."""
    async with user.client() as client:
        await user.refused(lambda: client.get("/bad-gzip"))
        answer = await user.open(client, "/bad-gzip")
        await user.refused(lambda: user.read(answer))
        user.note(answer)
        await user.close(answer)
        user.note(await user(client.get("/plain")))
