"""Events and policies are values: compared, hashed and shown by their fields, and never changed."""

import dataclasses
import pickle

import pytest

import seawall
from seawall import Paused, Timeout

PAUSED = Paused(endpoint="*", key="https://api.example.com", seconds=2.0)


def test_events_are_equal_if_their_fields_are() -> None:
    """Equal fields make equal events that hash alike; another type with the same fields is another event."""
    same = Paused(endpoint="*", key="https://api.example.com", seconds=2.0)
    assert same == PAUSED
    assert hash(PAUSED) == hash(same)
    assert dataclasses.replace(PAUSED, seconds=3.0) != PAUSED
    assert seawall.Event(endpoint=None, key=1) != seawall.GaveUp(endpoint=None, key=1, attempt=1, reason="stop")
    assert Timeout(5) != 5


def test_events_are_dataclasses() -> None:
    """What takes dataclasses apart takes events apart, and pickle carries them."""
    assert dataclasses.asdict(PAUSED) == {"endpoint": "*", "key": "https://api.example.com", "seconds": 2.0}
    assert repr(PAUSED) == "Paused(endpoint='*', key='https://api.example.com', seconds=2.0)"
    assert pickle.loads(pickle.dumps(PAUSED)) == PAUSED
    match PAUSED:
        case Paused(seconds=seconds):
            assert seconds == 2.0


def test_events_do_not_change() -> None:
    """A field is neither set nor deleted."""
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'seconds'"):
        PAUSED.seconds = 1.0  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'seconds'"):
        del PAUSED.seconds


def test_events_of_your_own_are_values_too() -> None:
    """A subclass of Event is a frozen dataclass like any other, with what `dataclass` makes of it."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Mended(seawall.Event):
        after: float

    mended = Mended(endpoint="*", key=1, after=2.0)
    assert mended == Mended(endpoint="*", key=1, after=2.0) != Mended(endpoint="*", key=1, after=3.0)
    assert repr(mended).endswith("Mended(endpoint='*', key=1, after=2.0)")
