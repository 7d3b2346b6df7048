"""A small heap for the collector, which looks for dropped responses after every single run."""

import gc

import pytest


@pytest.fixture(autouse=True)
def settled_heap() -> None:
    """What is there before a test, such as reports of others, need not be looked at by its collections."""
    gc.collect()  # or what the last test left, its tasks among it, would be there for ever
    gc.freeze()
