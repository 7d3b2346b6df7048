"""What only httpx2 has: event streams, web sockets, QUERY, origins."""

from typing import Any

import pytest

from .user import User

pytestmark = pytest.mark.library("httpx2")


async def events(user: User, source: Any, count: int = 100) -> None:
    """Note the events of a source, `count` at most."""
    if user.is_async:
        async for event in source:
            user.note((event.event, event.data, event.id, event.retry))
            count -= 1
            if not count:
                break
    else:
        for event in source:
            user.note((event.event, event.data, event.id, event.retry))
            count -= 1
            if not count:
                break


async def test_sse(user: User) -> None:
    """`client.sse` asks for events and gives them, with their names, ids and all lines of their data."""
    async with user.client() as client:
        async with user.using(client.sse("/events", headers={"X": "1"}, params={"a": "b"})) as source:
            user.note(source.response)
            await events(user, source)
        user.note(source.response)
        async with user.using(client.sse("/mirror", method="POST", json={"a": 1})) as source:
            await user.refused(lambda: events(user, source))
        user.note(await user(client.get("/plain")))


async def test_sse_without_an_end(user: User) -> None:
    """The first events of a stream are there while it goes on; leaving it closes it."""
    async with user.client() as client:
        async with user.using(client.sse("/endless-events")) as source:
            user.note(source.response)
            user.note(await user(client.get("/plain")))
            await events(user, source, 2)
        user.note(source.response.is_closed)


async def test_sse_that_fails(user: User) -> None:
    """A failed event stream is sent once, also where a GET that fails so would be repeated."""
    async with user.client() as client, user.using(client.sse("/busy-events")) as source:
        user.note(source.response)
        await events(user, source)


def address(user: User) -> str:
    return user.url("/socket").replace("http:", "ws:")


async def test_websocket(user: User) -> None:
    """`client.websocket` talks both ways, beside other requests of its client, and closes."""
    pytest.importorskip("wsproto")
    async with user.client(headers={"X-Client": "1"}) as client:
        async with user.using(client.websocket(address(user), subprotocols=["a", "b"], headers={"X": "1"})) as talk:
            user.note(talk.subprotocol, talk.response)
            await user(talk.send_text("text"))
            user.note(await user(talk.receive_text(5)), await user(talk.receive_text(5)))
            user.note(await user(client.get("/plain")))
            await user(talk.send_bytes(b"bytes"))
            user.note(await user(talk.receive_bytes(5)), await user(talk.receive_bytes(5)))
            await user(talk.send_json({"a": 1}))
            user.note(await user(talk.receive_json(5)), await user(talk.receive_json(5)))
            pong = await user(talk.ping(b"ping"))
            user.note(bool(await user(pong.wait()) or True))
        user.note(talk.response)
        user.note(await user(client.get("/plain")))


async def test_websocket_that_is_closed(user: User) -> None:
    """A server that closes a web socket is told of by an error, and the client is of use afterwards."""
    pytest.importorskip("wsproto")

    async def talk() -> None:
        async with user.using(client.websocket(address(user))) as talk:
            await user(talk.send_text("close"))
            await user(talk.receive_text(5))

    async with user.client() as client:
        try:
            await talk()
        except Exception as error:
            while isinstance(error, ExceptionGroup):
                [error] = error.exceptions
            user.note(error)
        user.note(await user(client.get("/plain")))


async def test_websocket_that_is_refused(user: User) -> None:
    """A server that does not speak it is told of by an error, after one request."""
    pytest.importorskip("wsproto")

    async def talk() -> None:
        async with user.using(client.websocket(user.url("/busy-events"))):
            raise AssertionError("it is open")

    async with user.client() as client:
        try:
            await talk()
        except Exception as error:
            while isinstance(error, ExceptionGroup):
                [error] = error.exceptions
            user.note(error)
        user.note(await user(client.get("/plain")))


async def test_query(user: User) -> None:
    """`client.query` sends a body with a method that is safe, and keeps both along redirects."""
    async with user.client() as client:
        user.note(await user(client.query("/mirror", content=b"which?", headers={"Content-Type": "text/plain"})))
        user.note(await user(client.query("/mirror", json={"a": 1}, params={"p": "1"})), await user(client.query("/x")))
        for status in (301, 302, 303, 307):
            user.note(await user(client.query(f"/redirect/{status}/1", content=b"which?", follow_redirects=True)))


async def test_origin(user: User) -> None:
    """The origin of a response's URL, and headers joined by `|`."""
    async with user.client() as client:
        answer = await user(client.get("/plain"))
        user.note(str(answer.url.origin), answer.url.origin == client.base_url.origin)
        user.note(await user(client.get("/mirror", headers=user.lib.Headers({"A": "1"}) | {"B": "2"})))
