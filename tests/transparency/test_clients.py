"""The life of a client, and the options that it is made with."""

from typing import Any

import pytest

from .user import ONCE, User


async def test_life(user: User) -> None:
    """Unopened, opened, closed: what a client says of itself, and refuses."""
    client = user.setting.client(base_url=user.server.origin)
    user.note(client.is_closed)
    user.note(await user(client.get("/plain")), client.is_closed)
    await user.close(client)
    user.note(client.is_closed)
    await user.close(client)
    user.note(client.is_closed)
    await user.refused(lambda: client.get("/plain"))
    await user.refused(lambda: client.send(client.build_request("GET", "/plain"), stream=True))
    await user.refused(client.__aenter__ if user.is_async else client.__enter__)


async def test_entered(user: User) -> None:
    """A client that was entered can neither be entered again nor opened once it is left."""
    client = user.setting.client(base_url=user.server.origin)
    async with user.using(client) as entered:
        user.note(entered is client, client.is_closed)
        await user.refused(client.__aenter__ if user.is_async else client.__enter__)
        user.note(await user(client.get("/plain")))
    user.note(client.is_closed)
    await user.refused(client.__aenter__ if user.is_async else client.__enter__)
    await user.refused(lambda: client.get("/plain"))


async def test_never_used(user: User) -> None:
    """A client that is closed without having been used."""
    client = user.setting.client()
    await user.close(client)
    user.note(client.is_closed)
    async with user.client() as client:
        user.note(client.is_closed)


async def test_entered_once_it_was_used(user: User) -> None:
    """A client that has sent a request cannot be entered any more."""
    client = user.setting.client(base_url=user.server.origin)
    user.note(await user(client.get("/plain")))
    await user.refused(client.__aenter__ if user.is_async else client.__enter__)
    user.note(await user(client.get("/plain")))
    await user.close(client)


async def test_error_within(user: User) -> None:
    """An error within `with` closes the client and comes through."""
    client = user.setting.client(base_url=user.server.origin)

    async def break_off() -> None:
        async with user.using(client):
            await user(client.get("/plain"))
            raise ZeroDivisionError

    await user.refused(break_off)
    user.note(client.is_closed)


async def test_defaults(user: User) -> None:
    """What a client was made with can be seen and set."""
    async with user.client(timeout=3, headers={"A": "1"}, params={"p": "1"}, max_redirects=7) as client:
        user.note(client.timeout, client.headers, client.params, client.max_redirects, client.trust_env)
        user.note(client.base_url, client.follow_redirects, client.auth, sorted(client.event_hooks))
        user.expect("timeouts")
        client.timeout = None
        client.headers = {"B": "2"}
        user.note(client.timeout, client.headers, await user(client.get("/mirror")))
        assert isinstance(client, user.lib.AsyncClient if user.is_async else user.lib.Client)


@pytest.mark.parametrize("option", ["timeout", "base_url", "headers", "params", "cookies", "auth", "nonsense"])
async def test_bad_option(user: User, option: str) -> None:
    """An option that makes no sense is refused as it is by a bare client."""
    try:
        client = user.setting.client(**{option: object()})
    except Exception as error:
        user.note(type(error), str(error))
    else:
        await user.close(client)


@pytest.mark.without("transport", "pool")  # they are given in the place of `limits`
@pytest.mark.parametrize("keep", [0, 1, 5])
async def test_limits(user: User, keep: int) -> None:
    """`limits` say how many connections are kept."""
    limits = user.lib.Limits(max_connections=5, max_keepalive_connections=keep)
    user.expect("idle")
    async with user.client(limits=limits) as client:
        one, two = await user.open(client, "/lines"), await user.open(client, "/lines")
        await user.read(one)
        await user.read(two)
        user.note(one, two)
        for _ in range(3):
            user.note(await user(client.get("/plain")))


@pytest.mark.without("transport", "pool")
@pytest.mark.parametrize("whole", [True, False])
async def test_proxies_of_the_environment(user: User, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """HTTP_PROXY and NO_PROXY are heeded, unless `trust_env=False`."""
    monkeypatch.setenv("HTTP_PROXY", user.beside.origin.replace("//", "//me:secret@"))
    monkeypatch.setenv("NO_PROXY", "" if whole else "127.0.0.1")
    for trusted in (True, False):
        async with user.client(trust_env=trusted) as client:
            user.note(await user(client.get("/mirror")), await user(client.get("/redirect/302/1")))


@pytest.mark.without("transport", "pool")
async def test_proxy(user: User) -> None:
    """`proxy=` sends everything there, with its credentials and headers."""
    proxy = user.lib.Proxy(user.beside.origin, auth=("me", "secret"), headers={"X-Proxy": "1"})
    async with user.client(proxy=proxy) as client:
        user.note(await user(client.get("/mirror")), await user(client.post("/mirror", content=b"x")))
        user.note(await user(client.get("/redirect/302/1", follow_redirects=True)))


@pytest.mark.without("transport", "pool")
async def test_mounts_and_transports_of_the_users(user: User) -> None:
    """`transport=` and `mounts=` of the user's own are asked, and closed with the client."""
    lib, told = user.lib, user.note
    user.expect("watched")

    class Own(lib.AsyncBaseTransport if user.is_async else lib.BaseTransport):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self.name = name

        def handle_request(self, request: Any) -> Any:
            told(self.name, request)
            return lib.Response(200, headers={"X-By": self.name}, content=b"own")

        async def handle_async_request(self, request: Any) -> Any:
            return self.handle_request(request)

        def close(self) -> None:
            told(f"{self.name} closed")

        async def aclose(self) -> None:
            self.close()

    mounts = {"http://mounted.example": Own("mounted"), "all://*.direct.example": None}
    async with user.client(transport=Own("whole"), mounts=mounts) as client:
        for url in (user.url("/plain"), "http://mounted.example/x", "https://mounted.example/x"):
            answer = await user(client.get(url))
            user.note(answer)
            async with user.using(client.stream("GET", url)) as answer:
                user.note(answer.is_closed, await user.read(answer), answer)


@pytest.mark.without("transport", "pool")
async def test_mock_transport(user: User) -> None:
    """The library's own mock works as ever, its exceptions too."""

    def handler(request: Any) -> Any:
        if request.url.path == "/raise":
            raise user.lib.ReadTimeout("slow", request=request)
        if request.url.path == "/stop":
            raise ZeroDivisionError("mine")
        return user.lib.Response(201, json={"path": request.url.path}, extensions={"mine": 1})

    async with user.client(transport=user.lib.MockTransport(handler)) as client:
        user.note(await user(client.get("/x")), await user(client.post("/y", content=b"1")))
        for path in ("/raise", "/stop"):
            await user.refused(lambda path=path: client.get(path, extensions=ONCE))


async def test_subclass(user: User) -> None:
    """A method of a subclass that is redefined is called as ever."""

    def change(kind: Any) -> Any:
        class Own(kind):  # type: ignore[misc]
            def build_request(self, *arguments: Any, **options: Any) -> Any:
                request = super().build_request(*arguments, **options)
                request.headers["X-Built"] = "yes"
                return request

            def send(self, request: Any, **options: Any) -> Any:
                user.note("sent", request, sorted(options))
                return super().send(request, **options)

        return Own

    async with user.using(user.setting.client(change, base_url=user.server.origin)) as client:
        user.note(await user(client.get("/mirror")))
        async with user.using(client.stream("GET", "/plain")) as answer:
            user.note(answer)


async def test_settings_are_the_librarys(user: User) -> None:
    """What is taken from a client has the library's own types."""
    user.expect("cookies")
    async with user.client(timeout=4) as client:
        settings = (client.timeout, client.cookies, client.headers, client.base_url, client.params)
        user.note([type(each) for each in settings])
