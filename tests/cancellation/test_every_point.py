"""Every call, struck at every one of its suspensions: nothing lost or held or running, and later calls succeed."""

import pytest

from .scenarios import SCENARIOS
from .stage import every_point
from .strikes import DRIVERS, When

CASES = [
    pytest.param(name, driver, how, when, id=f"{name}-{driver}-{how}-{when}")
    for name, scenario in SCENARIOS.items()
    for driver in scenario.drivers
    for how in DRIVERS[driver].hows
    for when in ("waiting", "woken")
    if how != "fault" or when == "woken"  # the same way as one that finds the call waiting
]


@pytest.mark.parametrize(("name", "driver", "how", "when"), CASES)
def test_nothing_is_left_of_a_call_that_was_struck(name: str, driver: str, how: str, when: When):
    """Whatever a call waits for when it is struck, it leaves nothing behind, and the strike gets through unchanged."""
    assert every_point(driver, SCENARIOS[name], how, when) > 0
