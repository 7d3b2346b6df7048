"""The pytest fixture that plays servers in trouble."""

from collections.abc import Callable

import pytest
from small import BUSY, scenario

import seawall
from seawall.testing.simulation import SCENARIOS, Result, overload, simulate

Simulate = Callable[..., Result]


def test_a_name_is_played_on_a_small_scale(seawall_simulate: Simulate) -> None:
    """What `overload` knows by a name has a tenth of its slots and clients, and all of its time."""
    result = seawall_simulate("outage", BUSY, seed=3)
    assert result.scenario == overload("outage", slots=5, clients=2)
    assert result.scenario.duration == SCENARIOS["outage"].duration
    assert result.digest() == simulate(result.scenario, BUSY, seed=3).digest()
    assert result.amplification < 1.1


def test_other_names_are_played_as_they_are(seawall_simulate: Simulate) -> None:
    """A scenario that has no small form is played as it is."""
    assert seawall_simulate("coalesce-slow", BUSY).scenario is SCENARIOS["coalesce-slow"]


def test_a_scenario_is_played_as_it_is(seawall_simulate: Simulate) -> None:
    """One's own scenario is played like one with a name, by the standard stack if none is given."""
    assert seawall_simulate(scenario()).digest() == simulate(scenario(), seawall.standard()).digest()
    assert seawall_simulate(scenario(), BUSY).digest() == simulate(scenario(), BUSY).digest()


def test_an_unknown_name_is_told(seawall_simulate: Simulate) -> None:
    """The error lists the names that there are."""
    with pytest.raises(ValueError, match="no scenario is called 'flood'; there are calm, stall, spike, outage"):
        seawall_simulate("flood", BUSY)
