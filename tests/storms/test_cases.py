"""Random stacks, servers, calls and cancellations in virtual time; `SEAWALL_STORMS=5000 pytest` plays more of them."""

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import replay as everything
from .case import Case
from .replay import replay, script
from .storm import play
from .weather import CLIMATES

STORMS = int(os.environ.get("SEAWALL_STORMS", "400"))


@pytest.mark.parametrize("climate", CLIMATES)
@settings(max_examples=STORMS // len(CLIMATES))
@given(data=st.data())
def test_everything_holds_in_a_storm(climate: str, data: st.DataObject):
    """Whatever the policies, the server, the calls and their cancellations: every law holds, and nothing is left."""
    case = data.draw(CLIMATES[climate])
    try:
        replay(case)
    except BaseException as error:
        error.add_note(f"To see it again, in tests/:\n\n{script(case)}")
        raise


@settings(max_examples=40)
@given(case=CLIMATES["any"])
def test_a_printed_case_replays(case: Case):
    """The program printed for a case, run, takes the same course to the same end."""
    names: dict[str, Any] = {name: getattr(everything, name) for name in everything.__all__}
    program = script(case).splitlines()
    assert program[0] == "from storms.replay import *"
    again = eval(program[-1].removeprefix("replay"), names)
    assert again == case
    assert play(again).log == play(case).log
