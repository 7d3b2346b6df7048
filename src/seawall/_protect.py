"""Policies around the transports of a client that somebody else made.

This is the one place that touches private attributes of a client: `_transport` and `_mounts`, which no public name
tells of. Both are looked at before anything is changed.
"""

import functools
import importlib
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from . import _check, _clients
from ._call import begin, end
from ._listeners import Listener
from ._state import State
from ._transport import Policies, current
from .runtime.threads import THREADS

C = TypeVar("C")
FAMILIES = {"httpx": "seawall.httpx", "httpx2": "seawall.httpx2"}
BEFORE = "_send_before_seawall"
"""Where a protected client keeps the `send` that somebody else had given to it; None for that of its class."""


def protect(
    client: C, policies: Policies = None, *, state: State | None = None, listeners: Iterable[Listener] = ()
) -> C:
    """Put policies around an existing client of httpx or httpx2, in place, and return it.

        client = seawall.protect(httpx.AsyncClient(http2=True, proxy=PROXY))

    For clients that somebody else makes; of your own, make a `seawall.httpx.AsyncClient`. The client keeps its own
    transport, mounts, environment proxies, `verify`, `http2` and `limits`, and so its library's connection pool: time
    spent in the line of that pool belongs to an attempt, and connections are not given up where a call is cancelled.

    - `policies`: a `Stack`, `Endpoints`, or None for `seawall.standard()`.
    - `state`: a `State` to share with other clients, or to look at; None for one of its own.
    - `listeners`: functions told of events.

    Raises `TypeError` for what is no such client, `ValueError` for a client that is protected already, `StackError`
    for policies that cannot run in it; the client is then as it was. `unprotect` takes the policies off again.
    """
    family = _family("protect", client)
    found = _transports(client)
    if any(isinstance(transport, _clients.Protected) for transport in found):
        raise ValueError(f"protect: {client!r} is protected already; unprotect(client) takes its policies off")
    kind = family.Transport if isinstance(client, family.FAMILY.library.Client) else family.AsyncTransport
    shared = State() if state is None else state
    listeners = _check.callables("protect", "listeners", listeners)
    wrapped = {id(inner): kind(policies, transport=inner, state=shared, listeners=listeners) for inner in found}
    for transport in wrapped.values():
        transport.core.owned = True
    _exchange(client, wrapped)
    attributes = vars(client)
    attributes[BEFORE] = attributes.get("send")
    attributes["send"] = _ending_trails(client)
    return client


def unprotect(client: C) -> C:
    """Take the policies that `protect` put on off again, in place, and return the client.

    Calls that are under way end under their policies. Raises `TypeError` for what is no client of httpx or httpx2,
    `ValueError` for one that `protect` did not protect.
    """
    family = _family("unprotect", client)
    ours = [t for t in _transports(client) if isinstance(t, _clients.Protected) and t.core.owned]
    if not ours or isinstance(client, _clients.FrontDoor):
        raise ValueError(f"unprotect: {client!r} was not protected by protect(client)")
    for transport in ours:
        transport.core.close(THREADS if isinstance(client, family.FAMILY.library.Client) else current())
    _exchange(client, {id(transport): transport.inner for transport in ours})
    attributes = vars(client)
    theirs = attributes.pop(BEFORE)
    del attributes["send"]
    if theirs is not None:
        attributes["send"] = theirs
    return client


protect.__module__ = unprotect.__module__ = "seawall"


def _family(caller: str, client: Any) -> Any:
    """The family module of a client."""
    for name, home in FAMILIES.items():
        library: Any = sys.modules.get(name)
        if library is not None and isinstance(client, library.Client | library.AsyncClient):
            return importlib.import_module(home)
    raise TypeError(f"{caller}: client must be a Client or AsyncClient of httpx or httpx2, not {client!r}")


def _transports(client: Any) -> list[Any]:
    """A client's transports, each once; the default one first."""
    try:
        found = [client._transport, *client._mounts.values()]
    except AttributeError as error:
        raise TypeError(
            f"{client!r} does not keep its transports where those of httpx 0.28 and httpx2 2.15 do; "
            "make a client of seawall.httpx or seawall.httpx2 instead"
        ) from error
    return list({id(transport): transport for transport in found if transport is not None}.values())


def _exchange(client: Any, instead: dict[int, Any]) -> None:
    """Put other transports in the place of a client's own, by identity."""
    client._transport = instead.get(id(client._transport), client._transport)
    client._mounts = {pattern: instead.get(id(inner), inner) for pattern, inner in client._mounts.items()}


def _ending_trails(client: Any) -> Any:
    """A client's `send` by which each request that is sent is a new call, and what goes with it is not.

    Its transports alone cannot tell a request that is sent again from a hop of an authentication flow, nor whether a
    new one belongs to such a flow.
    """

    def send(request: Any, options: Any) -> Any:
        theirs = vars(client).get(BEFORE)
        return type(client).send(client, request, **options) if theirs is None else theirs(request, **options)

    if hasattr(client, "aclose"):  # its own `send` may be a plain function that returns an awaitable

        @functools.wraps(client.send)
        async def awaiting(request: Any, **options: Any) -> Any:
            begun = begin(request)
            try:
                return await send(request, options)
            finally:
                end(begun)

        return awaiting

    @functools.wraps(client.send)
    def blocking(request: Any, **options: Any) -> Any:
        begun = begin(request)
        try:
            return send(request, options)
        finally:
            end(begun)

    return blocking
