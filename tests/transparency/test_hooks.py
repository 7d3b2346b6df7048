"""Event hooks: when they run, what they see, what they may do."""

from typing import Any

import pytest

from .user import User


@pytest.mark.without("read ahead")  # whose bodies have been read by then
@pytest.mark.parametrize("path", ["/mirror", "/redirect/302/2", "/digest"])
async def test_order(user: User, path: str) -> None:
    """Each hook runs once for each hop, in order, before anything is read."""

    def hook(name: str) -> Any:
        return user.hook(lambda thing: user.note(name, thing))

    hooks = {"request": [hook("a"), hook("b")], "response": [hook("c"), hook("d")]}
    async with user.client(event_hooks=hooks, follow_redirects=True) as client:
        user.note(await user(client.get(path, auth=user.lib.DigestAuth("me", "x") if path == "/digest" else None)))
        async with user.using(client.stream("GET", path)) as answer:
            user.note(await user.read(answer))


async def test_that_change_things(user: User) -> None:
    """A hook may change the request, read the response and mark it."""

    def sign(request: Any) -> None:
        request.headers["X-Signed"] = "yes"
        request.extensions["mine"] = 1

    async def read(answer: Any) -> None:
        user.note(await user.read(answer))
        answer.headers["X-Seen"] = "1"
        answer.extensions["mine"] = 2

    hooks = {"request": [user.hook(sign)], "response": [user.hook(read)]}
    async with user.client(event_hooks=hooks, follow_redirects=True) as client:
        answer = await user(client.get("/redirect/302/1"))
        user.note(answer, answer.extensions["mine"], answer.request.extensions["mine"])
        async with user.using(client.stream("GET", "/lines")) as answer:
            user.note(answer)


@pytest.mark.parametrize("when", ["request", "response"])
@pytest.mark.parametrize("path", ["/lines", "/redirect/302/1"])
async def test_that_raise(user: User, when: str, path: str) -> None:
    """An error of a hook's comes through as it is; the response is closed, and the client is of use."""

    def raising(thing: Any) -> None:
        raise ZeroDivisionError(f"at a {when}")

    async with user.client() as client:
        client.event_hooks = {when: [user.hook(raising)]}
        await user.refused(lambda: client.get(path))
        await user.refused(lambda: client.send(client.build_request("GET", path), stream=True))
        client.event_hooks = {}
        user.note(await user(client.get("/plain")))


async def test_raise_for_status(user: User) -> None:
    """The hook that everybody has: it raises for a status."""

    def check(answer: Any) -> None:
        answer.raise_for_status()

    async with user.client(event_hooks={"response": [user.hook(check)]}) as client:
        user.note(await user(client.get("/plain")))
        await user.refused(lambda: client.get("/404"))
        await user.refused(lambda: client.post("/500"))
        user.note(await user(client.get("/plain")))


async def test_set_later(user: User) -> None:
    """Hooks can be looked at, changed and taken away."""
    async with user.client(event_hooks={"request": [user.hook(lambda request: user.note("first"))]}) as client:
        user.note({name: len(hooks) for name, hooks in client.event_hooks.items()})
        await user(client.get("/plain"))
        client.event_hooks["response"].append(user.hook(lambda answer: user.note("second")))
        await user(client.get("/plain"))
        client.event_hooks = {}
        await user(client.get("/plain"))
        user.note({name: len(hooks) for name, hooks in client.event_hooks.items()})
