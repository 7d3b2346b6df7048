"""Each test body is lived through by a user of a bare client, then by one of a protected client, at one server."""

import copy
import importlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

import pytest
from real.conftest import nothing_leaks, plain_environment, serve, settled_heap, somebody, tls
from real.modes import MODES, run
from real.servers import Server

from . import told
from .differences import COLLECTED, MEANT, Difference
from .site import site
from .user import Setting, User

__all__ = ["nothing_leaks", "plain_environment", "serve", "settled_heap", "somebody", "tls"]

LIBRARIES = [
    library for library in ("httpx", "httpx2") if all(map(importlib.util.find_spec, (library, f"seawall.{library}")))
]
DISTINCT = list({importlib.import_module(library): library for library in reversed(LIBRARIES)}.values())
"""Without httpx2 where httpx is an alias of it."""
RUNTIMES = {mode.name: mode for mode in MODES}
PROTECTIONS = ("client", "read ahead", "transport", "pool", "protect")
Seen = tuple[dict[str, Any], list[Difference]]
"""All that was to be seen of a test, and the differences in it that are meant."""
LOGGERS = ("httpx", "httpcore", "httpx2", "httpcore2")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every library and mode, and every protection that a test is not kept from by `without`."""
    if "user" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("without")
    left_out = mark.args if mark else ()
    mark = metafunc.definition.get_closest_marker("library")
    protections = [each for each in PROTECTIONS if each not in left_out]
    settings = [
        Setting(library, mode, protection)
        for library in (mark.args if mark else DISTINCT)
        for mode in RUNTIMES
        for protection in (protections if mode in ("sync", "async") else protections[:1])
        if library in LIBRARIES and (protection != "protect" or hasattr(Setting(library, mode, "").ours, "protect"))
    ]
    metafunc.parametrize("user", settings, indirect=True, ids=repr)


@dataclass
class Comparison:
    """Two users who do the same."""

    setting: Setting
    servers: list[Server]

    def user(self, protection: str) -> User:
        return User(Setting(self.setting.library, self.setting.mode, protection), *self.servers)


@pytest.fixture(scope="session")
def sites() -> Iterator[list[Server]]:
    """The web site, at two origins."""
    with Server(site) as server, Server(site) as beside:
        yield [server, beside]


@pytest.fixture
def user(request: pytest.FixtureRequest, sites: list[Server]) -> Comparison:
    """A user of a client, seen to do the same with a bare client as with a protected one."""
    return Comparison(request.param, sites)


BARE: dict[Any, Seen] = {}
"""What users of bare clients have seen; it is the same for every protection that it is compared with."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Have both users live through a test, and compare their notebooks."""
    if not iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    comparison: Comparison = arguments["user"]
    setting = comparison.setting

    def lived(protection: str) -> Seen:
        arguments["user"] = user = comparison.user(protection)
        return live(pyfuncitem.obj(**arguments), user), user.expected

    parameters = {name: value for name, value in pyfuncitem.callspec.params.items() if name != "user"}
    if set(arguments) == {"user", *parameters}:  # no servers of its own, which are others each time
        key = pyfuncitem.module, pyfuncitem.originalname, repr(parameters), setting.library, setting.mode
        if key not in BARE:
            BARE[key] = lived("bare")
        bare = BARE[key]
    else:
        bare = lived("bare")
    ahead = [MEANT["read ahead"]] if setting.protection == "read ahead" else []
    found = told.difference(
        *(comparable(seen, [*ahead, *expected]) for seen, expected in (bare, lived(setting.protection)))
    )
    assert found is None, f"{setting!r} differs from a bare client:\n{found}"
    return True


def comparable(seen: dict[str, Any], expected: list[Difference]) -> dict[str, Any]:
    """What was seen, without the differences that are meant."""
    levels = [difference.level for difference in expected if difference.level is not None]
    if levels:
        seen = copy.deepcopy(seen)
    for level in levels:
        level(seen)
    return seen


def live(scenario: Any, user: User) -> dict[str, Any]:
    """All that is to be seen of a test: by the user, by the server, and in the logs."""
    servers = [user.server, user.beside]
    for server in servers:
        server.forget()
    with listening() as lines, warnings.catch_warnings():
        # the library leaves generators half-way when a stream is closed early; trio warns of each
        warnings.filterwarnings("ignore", r"Async generator '(http|transparency\.user\.User\.chunks)", ResourceWarning)
        run(scenario, RUNTIMES[user.setting.mode])
    seen: dict[str, Any] = {"notes": user.notes}
    for server in servers:
        server.wait_for(lambda server=server: server.open == 0)
        assert not server.failures, server.failures
        seen[f"requests to {server.port}"] = [
            (heard.connection, told.text(heard.raw.decode("latin-1"))) for heard in server.heard
        ]
        seen[f"connections to {server.port}"] = len(server.connections)
    seen["log"] = lines
    return seen


@contextmanager
def listening() -> Iterator[list[str]]:
    """What the HTTP libraries log."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = f"{record.levelname} {record.name} {told.text(record.getMessage())}"
            if not line.endswith(COLLECTED):
                lines.append(line)

    handler = Handler()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False  # to be formatted for pytest, too, would be a quarter of all that these tests take
    try:
        yield lines
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = True
