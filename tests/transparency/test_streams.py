"""What a user sees along a body that is streamed."""

from contextlib import aclosing

import pytest

from .user import User

WAYS = ["iter_raw", "iter_bytes", "iter_text"]

pytestmark = pytest.mark.without("read ahead")  # a body that was read ahead comes in one piece


@pytest.mark.parametrize("path", ["/lines", "/encoded/gzip", "/plain", "/empty", "/until-close", "/latin"])
async def test_pieces(user: User, path: str) -> None:
    """Each piece is the same, of whatever size, and so is what is known after it."""
    async with user.client() as client:
        for way in WAYS:
            for size in (None, 1, 7, 64, 10_000):
                answer = await user.open(client, path)
                user.note(way, size, answer)
                async for piece in user.pieces(answer, way, size):
                    user.note(piece, answer.num_bytes_downloaded, answer.is_closed, answer.is_stream_consumed)
                user.note(answer)
        answer = await user.open(client, path)
        user.note(await user.all(answer, "iter_lines"), answer)


@pytest.mark.parametrize("way", [*WAYS, "iter_lines"])
async def test_used_twice(user: User, way: str) -> None:
    """A body that was streamed cannot be streamed or read again; one that was read can be iterated often."""
    async with user.client() as client:
        answer = await user.open(client, "/lines")
        await user.all(answer, way)
        await user.refused(lambda: user.all(answer, way))
        await user.refused(lambda: user.read(answer))
        await user.refused(lambda: answer.content)
        answer = await user.open(client, "/lines")
        user.note(await user.read(answer), await user.read(answer))
        if way != "iter_raw":
            user.note(await user.all(answer, way), await user.all(answer, way))
        else:
            await user.refused(lambda: user.all(answer, way))
        user.note(answer)


async def test_left_half_way(user: User) -> None:
    """After a few pieces the response is closed: what remains cannot be read, and the connection is not used again."""
    async with user.client() as client:
        answer = await user.open(client, "/lines")
        async with aclosing(user.pieces(answer, "iter_raw", 10)) as pieces:
            user.note(await anext(pieces))
        user.note(answer)
        await user.close(answer)
        await user.close(answer)
        user.note(answer)
        await user.refused(lambda: user.read(answer))
        await user.refused(lambda: user.all(answer, "iter_bytes"))
        user.note(await user(client.get("/plain")))


async def test_never_begun(user: User) -> None:
    """A response that is closed before anything was read."""
    async with user.client() as client:
        answer = await user.open(client, "/lines")
        await user.refused(lambda: answer.text)
        await user.refused(lambda: answer.elapsed)
        await user.close(answer)
        user.note(answer)
        await user.refused(lambda: user.read(answer))
        await user.refused(lambda: user.all(answer, "iter_raw"))
        user.note(await user(client.get("/plain")))


async def test_as_a_block(user: User) -> None:
    """`client.stream` reads nothing by itself, and closes the response at its end, whatever happens within."""
    async with user.client() as client:
        async with user.using(client.stream("GET", "/lines", headers={"X": "1"})) as answer:
            user.note(answer)
        user.note(answer)
        async with user.using(client.stream("POST", "/mirror", content=b"x")) as answer:
            user.note(await user.read(answer))
        user.note(answer)
        with pytest.raises(ZeroDivisionError):
            async with user.using(client.stream("GET", "/lines")) as answer:
                raise ZeroDivisionError
        user.note(answer)
        user.note(await user(client.get("/plain")))


async def test_the_wrong_way(user: User) -> None:
    """Iterating or closing a sync response as an async one, and the reverse, is told to be a mistake."""
    async with user.client() as client:
        answer = await user.open(client, "/lines")
        if user.is_async:
            await user.refused(lambda: list(answer.iter_raw()))
            await user.refused(answer.close)
            await user.refused(answer.read)
        else:

            async def wrongly() -> None:
                async for _ in answer.aiter_raw():
                    pass

            await user.refused(wrongly)
            await user.refused(answer.aclose)
        user.note(answer)
        await user.close(answer)


@pytest.mark.parametrize("path", ["/short", "/short-chunks"])
async def test_cut_off(user: User, path: str) -> None:
    """A body that ends before its end gives what came, then an error, and the client is of use afterwards."""
    user.expect("cause")
    async with user.client() as client:
        await user.refused(lambda: client.post(path))  # a GET would be repeated, as long as nothing was handed over
        answer = await user.open(client, path)
        got = []

        async def read() -> None:
            async for piece in user.pieces(answer, "iter_raw"):
                got.append(piece)  # noqa: PERF401 - what came before the error counts

        await user.refused(read)
        user.note(got, answer)
        await user.refused(lambda: user.read(answer))
        await user.close(answer)
        user.note(answer, await user(client.get("/plain")))


async def test_read_timeout_along_a_body(user: User) -> None:
    """A body that stops coming is a `ReadTimeout`."""
    user.expect("cause")
    async with user.client(timeout=user.lib.Timeout(5, read=0.05)) as client:
        answer = await user.open(client, "/slow-body")
        await user.refused(lambda: user.read(answer))
        user.note(answer, await user(client.get("/plain")))


async def test_two_at_once(user: User) -> None:
    """Two bodies may be read in turn, each on a connection of its own."""
    async with user.client() as client:
        one, two = await user.open(client, "/lines"), await user.open(client, "/encoded/gzip")
        user.note(await user.all(two, "iter_bytes"), await user.all(one, "iter_bytes"), one, two)
        user.note(await user(client.get("/plain")))


async def test_client_closed_before_its_response(user: User) -> None:
    """A response that outlives its client is the same to read."""
    async with user.client() as client:
        answer = await user.open(client, "/plain")
        user.note(answer)
    user.note(answer)
    try:
        user.note(await user.read(answer))
    except Exception as error:
        user.note(error)
    user.note(answer)
    await user.close(answer)
    user.note(answer)
