"""pytest fixtures: a virtual runtime, a scripted server, a recorder, simulated servers in trouble."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # loaded only by tests that use a fixture: every pytest run on the machine sees this plugin
    from collections.abc import Callable

    from .._transport import Policies
    from . import Recorder, ScriptedServer, VirtualRuntime
    from .simulation import Result, Scenario


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


@pytest.fixture
def seawall_simulate() -> "Callable[..., Result]":
    """What a stack does to a server in trouble: `seawall_simulate("outage", stack).amplification`.

    `seawall.testing.simulation.simulate`, with names for scenarios. Those that `overload` knows are played on a tenth
    of their scale: 40 requests a second by two clients, which takes a second or less.
    """
    from .simulation import SCENARIOS, overload, simulate
    from .simulation.scenarios import FAMILY

    def play(scenario: "Scenario | str", policies: "Policies" = None, *, seed: int = 0) -> "Result":
        if isinstance(scenario, str):
            if scenario not in SCENARIOS:
                raise ValueError(f"no scenario is called {scenario!r}; there are {', '.join(SCENARIOS)}")
            scenario = overload(scenario, slots=5, clients=2) if scenario in FAMILY else SCENARIOS[scenario]
        return simulate(scenario, policies, seed=seed)

    return play
