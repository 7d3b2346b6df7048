"""Redirects and cookies."""

from http.cookiejar import CookieJar
from typing import Any

import pytest

from .user import ONCE, User


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
async def test_followed(user: User, method: str) -> None:
    """Each hop is seen by the server and kept in the history, with its method, body and headers."""
    async with user.client() as client:
        body = b"body" if method in ("POST", "PUT") else None
        options = {"content": body, "headers": {"X-Kept": "1"}, "follow_redirects": True}
        for status in (300, 301, 302, 303, 307, 308):
            user.note(await user(client.request(method, f"/redirect/{status}/2", **options)), client.cookies)


async def test_not_followed(user: User) -> None:
    """A redirect that is not followed has the next request, which may be sent by hand."""
    async with user.client() as client:
        answer = await user(client.get("/redirect/302/2"))
        while answer.next_request is not None:
            user.note(answer)
            answer = await user(client.send(answer.next_request))
        user.note(answer, client.cookies)


async def test_by_default(user: User) -> None:
    """`follow_redirects` of the client, and against it that of a request."""
    async with user.client(follow_redirects=True) as client:
        user.note(await user(client.get("/redirect/307/1")))
        user.note(await user(client.get("/redirect/307/1", follow_redirects=False)))
        client.follow_redirects = False
        user.note(await user(client.get("/redirect/307/1")))


@pytest.mark.parametrize("most", [0, 3, 20])
async def test_without_end(user: User, most: int) -> None:
    """More redirects than `max_redirects` are an error, which has the request that was not sent."""
    async with user.client(follow_redirects=True, max_redirects=most) as client:
        await user.refused(lambda: client.get("/loop"))
        user.note(client.max_redirects, await user(client.get("/plain")))


async def test_streamed(user: User) -> None:
    """The last response of a redirect is streamed, those before it are read."""
    async with user.client(follow_redirects=True) as client:
        async with user.using(client.stream("GET", "/redirect/302/2")) as answer:
            user.note(answer, [await user.read(each) for each in answer.history])
            await user.read(answer)
        user.note(answer)


async def test_of_a_body_that_is_gone(user: User) -> None:
    """A 307 for a generator cannot be followed."""
    async with user.client(follow_redirects=True) as client:
        await user.refused(lambda: client.post("/redirect/307/1", content=user.chunks(b"once")))
        user.note(await user(client.post("/redirect/303/1", content=user.chunks(b"once"))))
        user.note(await user(client.get("/plain")))


@pytest.mark.parametrize("target", ["/bad-location", "/to?ftp://127.0.0.1/", "/to?http://", "/to?//127.0.0.1:1/"])
async def test_to_nowhere(user: User, target: str) -> None:
    """A redirect to what cannot be asked is an error, and the client is of use afterwards."""
    async with user.client(follow_redirects=True) as client:
        await user.refused(lambda: client.get(target, extensions=ONCE))
        try:
            user.note(await user(client.get(target, follow_redirects=False)))
        except Exception as error:
            user.note(error)
        user.note(await user(client.get("/plain")))


async def test_to_another_origin(user: User) -> None:
    """Credentials are not sent to another origin."""
    other = user.beside
    async with user.client(follow_redirects=True, auth=("me", "secret"), headers={"Cookie": "mine=1"}) as client:
        user.note(await user(client.get(f"/to?{other.url('/mirror')}", headers={"Authorization": "own", "X": "1"})))
        user.note(await user(client.get(f"/to?{other.url('/mirror')}", auth=None)))
        user.note(await user(client.get(f"/to?{user.url('/mirror')}")))


async def test_cookies(user: User) -> None:
    """Cookies are kept with all their attributes, and sent where they belong."""
    async with user.client(cookies={"given": "1"}) as client:
        user.note(await user(client.get("/login")), client.cookies)
        for path in ("/mirror", "/mirror/narrow", "/plain"):
            user.note(await user(client.get(path)))
        client.cookies.set("set", "later", domain="127.0.0.1", path="/mirror")
        client.cookies.delete("session")
        user.note(await user(client.get("/mirror")), client.cookies)
        with pytest.warns(DeprecationWarning, match="per-request cookies"):
            await user(client.get("/mirror", cookies={"of": "request"}))
        client.cookies = {"all": "new"}
        user.note(await user(client.get("/mirror")), client.cookies)


async def test_cookies_along_redirects(user: User) -> None:
    """A cookie set by one hop is sent with the next."""
    async with user.client(follow_redirects=True) as client:
        answer = await user(client.get("/redirect/302/3"))
        user.note(answer, [each.cookies for each in answer.history], client.cookies)


class Making(CookieJar):
    """Counts what it is asked to make cookies of."""

    shown = 0

    def make_cookies(self, response: Any, request: Any) -> Any:
        self.shown += 1
        return super().make_cookies(response, request)


class Extracting(CookieJar):
    """Counts what it is asked to take cookies from."""

    shown = 0

    def extract_cookies(self, response: Any, request: Any) -> None:
        self.shown += 1
        super().extract_cookies(response, request)


class Duck:
    """Anything that does what the library asks of a jar."""

    def __init__(self) -> None:
        self.shown = 0
        self.extract_cookies = self._count

    def __iter__(self) -> Any:
        return iter(())

    def _count(self, response: Any, request: Any) -> None:
        self.shown += 1

    def add_cookie_header(self, request: Any) -> None:
        pass


@pytest.mark.parametrize("kind", [Making, Extracting, Duck])
async def test_a_jar_of_ones_own(user: User, kind: Any) -> None:
    """A jar of one's own is the one that is used, and shown what it would be shown by a bare client."""
    jar = kind()
    async with user.client(cookies=jar, follow_redirects=True) as client:
        for path in ("/plain", "/login", "/plain", "/redirect/302/2"):
            user.note(await user(client.get(path)), jar.shown)
        assert client.cookies.jar is jar


async def test_cookies_of_several_threads_of_talk(user: User) -> None:
    """The cookies of a response are its own; those of the client are of all."""
    async with user.client() as client:
        first, second = await user(client.get("/login")), await user(client.get("/redirect/302/1"))
        user.note(first.cookies, second.cookies, client.cookies)
