"""pytest fixtures: a virtual runtime, a scripted server, a recorder."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # loaded only by tests that use a fixture: every pytest run on the machine sees this plugin
    from . import Recorder, ScriptedServer, VirtualRuntime


@pytest.fixture
def seawall_runtime() -> "VirtualRuntime":
    """A fresh `VirtualRuntime`, seed 0."""
    from . import VirtualRuntime

    return VirtualRuntime()


@pytest.fixture
def seawall_server() -> "type[ScriptedServer]":
    """The `ScriptedServer` class: `seawall_server(503, then=200)`."""
    from . import ScriptedServer

    return ScriptedServer


@pytest.fixture
def seawall_recorder() -> "Recorder":
    """A fresh `Recorder`, to be passed as a listener."""
    from . import Recorder

    return Recorder()
