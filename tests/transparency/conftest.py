"""Each test body is lived through by a user of a bare client, then by one of a protected client, at one server."""

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
from real.conftest import Serve, nothing_leaks, plain_environment, serve, settled_heap, somebody, tls
from real.modes import MODES, run
from real.servers import Server

from . import told
from .differences import COLLECTED
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

    def users(self) -> Iterator[User]:
        for protection in ("bare", self.setting.protection):
            yield User(Setting(self.setting.library, self.setting.mode, protection), *self.servers)


@pytest.fixture
def user(request: pytest.FixtureRequest, serve: Serve) -> Comparison:
    """A user of a client, seen to do the same with a bare client as with a protected one."""
    return Comparison(request.param, [serve(site), serve(site)])


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Have both users live through a test, and compare their notebooks."""
    if not iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    comparison: Comparison = arguments["user"]
    seen = []
    for user in comparison.users():
        arguments["user"] = user
        if comparison.setting.protection == "read ahead":
            user.expect("read ahead")
        seen.append(live(pyfuncitem.obj(**arguments), user))
    bare, protected = seen
    found = told.difference(bare, protected)
    assert found is None, f"{comparison.setting!r} differs from a bare client:\n{found}"
    return True


def live(scenario: Any, user: User) -> dict[str, Any]:
    """All that is to be seen of a test: by the user, by the server, and in the logs."""
    servers = [user.server, user.beside]
    before = [len(server.connections) for server in servers]
    for server in servers:
        server.heard.clear()
    with listening() as lines, warnings.catch_warnings():
        # the library leaves generators half-way when a stream is closed early; trio warns of each
        warnings.filterwarnings("ignore", r"Async generator '(http|transparency\.user\.User\.chunks)", ResourceWarning)
        run(scenario, RUNTIMES[user.setting.mode])
    seen: dict[str, Any] = {"notes": user.notes}
    for server, known in zip(servers, before, strict=True):
        server.wait_for(lambda server=server: server.open == 0)
        seen[f"requests to {server.port}"] = [
            (heard.connection - known, told.text(heard.raw.decode("latin-1"))) for heard in server.heard
        ]
        seen[f"connections to {server.port}"] = len(server.connections) - known
    seen["log"] = lines
    for expected in user.expected:
        if expected.level is not None:
            expected.level(seen)
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
