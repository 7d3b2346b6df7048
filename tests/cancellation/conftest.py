"""A small heap for the collector, which looks for dropped responses after every single run."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def settled_heap() -> Iterator[None]:
    """What is there before these tests need not be looked at by each collection."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
