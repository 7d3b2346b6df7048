"""`protect` puts policies around a client that somebody else made, and `unprotect` takes them off."""

import inspect
from typing import Any

import aiolimiter
import httpx
import pytest

import seawall
from seawall import CircuitBreaker, CircuitOpen, Retry, Stack, StackError, State, Throttle, TimedOut, Timeout
from seawall.httpx import protect, unprotect
from seawall.testing import ScriptedServer, reply

from . import proxies
from .conftest import Certificates, Serve
from .modes import Mode
from .servers import answers, response

AT_ONCE = Stack(Timeout(20), Retry(wait=lambda state: 0.0))
URL = "http://api.example.com/"


async def test_a_protected_client_retries(mode: Mode, serve: Serve) -> None:
    """The client itself is returned, and sends under the policies from then on."""
    server = serve(answers(lambda c: c.send(response(b"", status="503 Service Unavailable"))))
    client = mode.Plain()
    assert protect(client, AT_ONCE) is client
    async with mode.using(client):
        answer = await mode.get(client, server.url())
    assert (answer.status_code, len(seawall.report(answer).attempts), len(server.heard)) == (200, 2, 2)


async def test_without_policies_the_standard_stack_protects(mode: Mode) -> None:
    """`protect(client)` is enough."""
    server = ScriptedServer(429)
    async with mode.using(protect(mode.Plain(transport=server))) as client:
        assert (await mode.get(client, URL)).status_code == 200
    assert (len(server.requests), server.closed) == (2, True)


async def test_an_open_client_may_be_protected(mode: Mode) -> None:
    """A client that is in use already goes on, protected; its transport is closed with it."""
    server = ScriptedServer(200, 503)
    async with mode.using(mode.Plain(transport=server)) as client:
        assert (await mode.get(client, URL)).status_code == 200
        protect(client, AT_ONCE)
        assert (await mode.get(client, URL)).status_code == 200
    assert (len(server.requests), server.closed) == (3, True)


async def test_its_own_tls_limits_and_proxies_stay_in_force(mode: Mode, serve: Serve, tls: Certificates) -> None:
    """What the client was made with is used as before: certificates, proxy, mounts, and the library's own limits."""
    secure, plain, forward = serve(tls=tls.server), serve(), serve(proxies.forward())
    limits = httpx.Limits(max_connections=1)
    transport = mode.PlainTransport(proxy=f"http://127.0.0.1:{forward.port}")
    client = mode.Plain(verify=tls.client(), limits=limits, mounts={"http://": transport, "http://nowhere": None})
    async with mode.using(protect(client, AT_ONCE)):
        for server in (secure, plain):
            assert (await mode.get(client, server.url())).content == b"ok"
        held = await mode.open(client, secure.url())
        with pytest.raises(httpx.PoolTimeout):
            await mode.get(client, secure.url(), timeout=httpx.Timeout(5, pool=0.01))
        await mode.close(held)
    assert [heard.target for heard in forward.heard] == [plain.url("/")]


async def test_every_transport_is_wrapped_once_and_put_back(mode: Mode) -> None:
    """Mounts keep their order, None stays None, each transport is wrapped once; `unprotect` undoes it all."""
    default, other = ScriptedServer(), ScriptedServer()
    mounts = {"https://": other, "all://b.example": None, "all://c.example": default, "http://": other}
    client = mode.Plain(transport=default, mounts=mounts)
    patterns = dict(client._mounts)
    protect(client, AT_ONCE)
    assert list(client._mounts) == list(patterns)
    wrapped = client._mounts.values()
    assert len({id(transport) for transport in wrapped}) == 3
    assert client._transport in wrapped
    assert None in wrapped
    assert unprotect(client) is client
    assert client._transport is default
    assert list(client._mounts.items()) == list(patterns.items())
    assert not {"send", "_send_before_seawall"} & vars(client).keys()
    protect(client, AT_ONCE)  # and again
    await mode.close(client)
    assert default.closed
    assert other.closed


async def test_what_was_mounted_since_stays(mode: Mode) -> None:
    """`unprotect` takes its own wrappers off and leaves alone what came after."""
    client = protect(mode.Plain(transport=ScriptedServer()), AT_ONCE)
    later = ScriptedServer()
    client._transport = later
    client._mounts = {httpx.URL("http://x"): protect(mode.Plain(transport=ScriptedServer()), AT_ONCE)._transport}
    unprotect(client)
    assert client._transport is later
    assert all(isinstance(transport, ScriptedServer) for transport in client._mounts.values())
    await mode.close(client)


async def test_protecting_twice_is_an_error(mode: Mode) -> None:
    """A client that is protected, by whatever way, is not protected again."""
    client = protect(mode.Plain(transport=ScriptedServer()))
    front = mode.Client(transport=ScriptedServer())
    around = mode.Plain(transport=mode.Transport(transport=ScriptedServer()))
    for each in (client, front, around):
        with pytest.raises(ValueError, match=r"protect: <.*Client.*> is protected already; unprotect\(client\)"):
            protect(each)
        await mode.close(each)


async def test_unprotecting_what_is_not_protected_is_an_error(mode: Mode) -> None:
    """Only what `protect` did is undone."""
    front = mode.Client(transport=ScriptedServer())
    around = mode.Plain(transport=mode.Transport(transport=ScriptedServer()))
    plain = mode.Plain(transport=ScriptedServer())
    for each in (plain, front, around):
        with pytest.raises(ValueError, match=r"unprotect: <.*Client.*> was not protected by protect\(client\)"):
            unprotect(each)
        await mode.close(each)


@pytest.mark.parametrize("thing", [None, 5, httpx.Client, object()], ids=lambda thing: type(thing).__name__)
def test_an_unknown_client_is_refused(thing: Any) -> None:
    """What is no client of httpx or httpx2 is named, and what is one."""
    for do in (protect, unprotect):
        with pytest.raises(
            TypeError, match=f"{do.__name__}: client must be a Client or AsyncClient of httpx or httpx2"
        ):
            do(thing)


async def test_a_client_that_keeps_its_transports_elsewhere_is_refused(mode: Mode) -> None:
    """A version of the library that Seawall does not know is told from a client, before anything is changed."""
    client = mode.Plain(transport=ScriptedServer())
    mounts = vars(client).pop("_mounts")
    with pytest.raises(TypeError, match=r"does not keep its transports where those of httpx 0\.28 and httpx2 2\.15 do"):
        protect(client)
    client._mounts = mounts
    await mode.close(client)


def test_policies_that_cannot_run_leave_the_client_as_it_was() -> None:
    """An AsyncLimiter in a sync client, a policy that is none: an error, and the client is not changed."""
    server = ScriptedServer()
    with httpx.Client(transport=server) as client:
        limited = Stack(Throttle(aiolimiter.AsyncLimiter(1)))
        for policies in (limited, "retry"):
            with pytest.raises(StackError):
                protect(client, policies)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="protect: listeners"):
            protect(client, listeners=5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"state must be a seawall\.State"):
            protect(client, state={})  # type: ignore[arg-type]
        assert client._transport is server
        assert "send" not in vars(client)


async def test_a_state_is_shared_between_clients(mode: Mode) -> None:
    """A circuit that one protected client opens is open for another, and listeners hear of it."""
    state, heard = State(), []
    stack = Stack(CircuitBreaker(consecutive=1))
    failing = protect(mode.Plain(transport=ScriptedServer(500)), stack, state=state, listeners=[heard.append])
    other = protect(mode.Plain(transport=ScriptedServer()), stack, state=state)
    await mode.get(failing, URL)
    with pytest.raises(CircuitOpen):
        await mode.get(other, URL)
    assert [type(event).__name__ for event in heard if "Circuit" in type(event).__name__] == ["CircuitChanged"]
    for client in (failing, other):
        await mode.close(client)


async def test_hops_of_an_auth_flow_share_one_deadline(mode: Mode) -> None:
    """An auth flow that sends the same request again goes on with the call, and so with its deadline and its report."""

    class Twice(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Any:
            yield request
            yield request

    server = ScriptedServer(200, then=reply(after=1))
    client = protect(mode.Plain(transport=server, auth=Twice()), Stack(Timeout(0.4)))
    with pytest.raises(TimedOut) as caught:
        await mode.get(client, URL)
    assert len(seawall.report(caught.value).attempts) == 2
    await mode.close(client)


async def test_a_request_that_is_sent_again_is_a_new_call(mode: Mode) -> None:
    """Sending one request twice is two calls, each with a report of its own."""
    client = protect(mode.Plain(transport=ScriptedServer()), AT_ONCE)
    request = client.build_request("GET", URL)
    for _ in range(2):
        sent = client.send(request)
        answer = await sent if inspect.isawaitable(sent) else sent
        assert len(seawall.report(answer).attempts) == 1
    await mode.close(client)


async def test_the_send_of_a_subclass_and_of_somebody_else_is_kept(mode: Mode) -> None:
    """A client whose `send` was overridden or replaced still has that called, and gets it back."""
    called: list[str] = []

    class Mine(mode.Plain):  # type: ignore[misc, name-defined]
        def send(self, request: httpx.Request, **options: Any) -> Any:
            called.append("class")
            return super().send(request, **options)

    client = Mine(transport=ScriptedServer())
    of_class = client.send

    def replaced(request: httpx.Request, **options: Any) -> Any:
        called.append("instance")
        return of_class(request, **options)

    client.send = replaced
    protect(client, AT_ONCE)
    await mode.get(client, URL)
    assert called == ["instance", "class"]
    unprotect(client)
    assert client.send is replaced
    await mode.close(client)


@pytest.mark.parametrize("stays", [True, False])
async def test_a_call_under_way_ends_under_its_policies(mode: Mode, stays: bool) -> None:
    """A client that is unprotected in the middle of a call: that call is retried still, the next one is not."""
    client = mode.Plain()

    def slow(request: httpx.Request) -> Any:
        if not stays:
            unprotect(client)
        return 503

    server = ScriptedServer(slow, 200, 503)
    client._transport = server
    protect(client, AT_ONCE)
    assert (await mode.get(client, URL)).status_code == 200
    assert (await mode.get(client, URL)).status_code == (200 if stays else 503)
    await mode.close(client)
