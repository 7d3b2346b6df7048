"""Events and policies are values: compared, hashed and shown by their fields, and never changed."""

import copy
import dataclasses
import pickle
from typing import Any

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


POLICIES = [
    seawall.Timeout(5),
    seawall.Retry(3, statuses={503}),
    seawall.RetryBudget(capacity=7),
    seawall.CircuitBreaker(probes=2),
    seawall.Throttle(10, burst=2),
    seawall.ConcurrencyLimit(3),
    seawall.ReadBody(1024),
    seawall.IdempotencyKey({"PATCH"}),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_policies_do_not_change(policy: Any) -> None:
    """A policy's field is neither set nor deleted, and nothing else can be set on it."""
    for field in dataclasses.fields(policy):
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{field.name}'"):
            setattr(policy, field.name, getattr(policy, field.name))
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot delete field '{field.name}'"):
            delattr(policy, field.name)
    with pytest.raises(AttributeError):
        policy.other = 1
    with pytest.raises(AttributeError):
        del policy.other


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_policies_are_copied_and_pickled(policy: Any) -> None:
    """A copy of a policy, shallow, deep or by pickle, equals it; `replace` makes another."""
    assert copy.copy(policy) == copy.deepcopy(policy) == dataclasses.replace(policy) == policy
    if not isinstance(policy, seawall.Retry):  # tenacity's strategies may be anything
        assert pickle.loads(pickle.dumps(policy)) == policy


def test_policies_can_be_subclassed_as_what_they_are() -> None:
    """A subclass is a frozen dataclass or a plain class, which may have attributes of its own; no other dataclass."""

    @dataclasses.dataclass(frozen=True)
    class Patient(Timeout):
        why: str = ""

    patient = Patient(5, why="slow")
    assert (patient.seconds, patient.why) == (5, "slow")
    with pytest.raises(dataclasses.FrozenInstanceError):
        patient.why = "late"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        patient.seconds = 6  # type: ignore[misc]

    class Counted(Timeout):
        pass

    counted: Any = Counted(5)
    counted.calls = 1
    counted.calls += 1
    assert counted.calls == 2
    del counted.calls
    with pytest.raises(dataclasses.FrozenInstanceError):
        counted.seconds = 6
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):

        @dataclasses.dataclass
        class Loose(Timeout):
            pass
