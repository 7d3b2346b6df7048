"""Fixtures of general use."""

import pytest
from drivers import DRIVERS


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """Each way to run a call, one after the other; see `drivers.exchange`."""
    return request.param
