"""Fixtures of general use, and how many examples Hypothesis tries.

`pytest` tries new examples each time. On CI (`CI` is set) they are the same each time, so that a change is judged by
what it changes. `pytest --hypothesis-profile=long` tries very many, `few` is for where Python or a library changes.
"""

import os

import pytest
from drivers import DRIVERS
from hypothesis import HealthCheck, Phase, settings

# how fast examples are found says nothing about what is tested
settings.register_profile("some", deadline=None, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("some"), derandomize=True)
settings.register_profile("long", settings.get_profile("some"), max_examples=3000)
settings.register_profile("few", settings.get_profile("ci"), max_examples=20)
# for `mutmut run`: the same examples for every mutant, and none made smaller
settings.register_profile(
    "mutants", settings.get_profile("ci"), max_examples=50, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("ci" if os.environ.get("CI") else "some")


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """Each way to run a call, one after the other; see `drivers.exchange`."""
    return request.param
