"""What cannot be: each error names the thing, what was given and what is allowed."""

from collections.abc import Callable
from typing import Any

import pytest
from small import PATIENT, scenario

import seawall
from seawall.testing.simulation import (
    Bursts,
    Closed,
    Constant,
    Empirical,
    Exponential,
    Lognormal,
    Poisson,
    Quota,
    Scenario,
    Schedule,
    Server,
    Simulation,
    Sometimes,
    Trace,
    Traffic,
    overload,
    simulate,
)

TRAFFIC = Traffic(arrivals=Poisson(1))
GOOD: dict[str, Any] = {"name": "x", "server": Server(), "traffic": [TRAFFIC], "duration": 10}

WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: Constant(-1), ValueError, "Constant: seconds must be a number of at least 0, not -1"),
    (lambda: Exponential(0), ValueError, "Exponential: seconds must be a number above 0, not 0"),
    (lambda: Lognormal(0.1, cv=-1), ValueError, "Lognormal: cv must be a number of at least 0, not -1"),
    (lambda: Empirical(()), ValueError, "Empirical: samples must hold at least one number of seconds"),
    (lambda: Empirical((1, -2)), ValueError, "Empirical: samples must be a number of at least 0, not -2"),
    (lambda: Sometimes(0.1, 0.5, 2), TypeError, r"Sometimes: usual must be a distribution .*, not 0\.1"),  # type: ignore[arg-type]
    (lambda: Sometimes(Constant(1), 2, 2), ValueError, "Sometimes: share must be .* at most 1, not 2"),
    (lambda: Schedule(-1), ValueError, "Schedule: value must be a number of at least 0, not -1"),
    (lambda: Schedule(1, [(5, 1), (4, 2)]), ValueError, "Schedule: the time of a change must be .* at least 5, not 4"),
    (lambda: Schedule(1, [3]), TypeError, "Schedule: changes must hold pairs of a time and a value, not 3"),  # type: ignore[list-item]
    (lambda: Server(slots=-1), ValueError, "Server: slots must be a number of at least 0 or None, not -1"),
    (lambda: Server(slots=2.5), ValueError, r"Server: slots must be a whole number of at least 0 or None, not 2\.5"),
    (lambda: Server(slots=Schedule(1, [(1, 0.5)])), ValueError, r"Server: slots must be a whole number .*, not 0\.5"),
    (lambda: Server(queue_seconds=1, service=Constant(0)), ValueError, "queue_seconds needs a service that takes time"),
    (lambda: Server(service=0.1), TypeError, r"Server: service must be a distribution .*, not 0\.1"),  # type: ignore[arg-type]
    (lambda: Server(failing=2), ValueError, "Server: failing must be a number of at least 0 and at most 1, not 2"),
    (lambda: Server(failing=Schedule(0, [(1, 2)])), ValueError, "Server: failing must be .* at most 1, not 2"),
    (lambda: Server(failure="Oops"), ValueError, "Server: failure must be one of 'ConnectError', .*, not 'Oops'"),
    (lambda: Server(failure=42), ValueError, "Server: failure must hold status codes from 100 to 599, not 42"),
    (lambda: Server(discipline="lottery"), ValueError, "Server: discipline must be one of 'fifo', 'lifo'"),  # type: ignore[arg-type]
    (lambda: Server(quota=5), TypeError, "Server: quota must be a Quota or None, not 5"),  # type: ignore[arg-type]
    (lambda: Server(replicas=0), ValueError, "Server: replicas must be a whole number of at least 1, not 0"),
    (lambda: Quota(rate=0), ValueError, "Quota: rate must be a number above 0, not 0"),
    (lambda: Quota(rate=1, dialect="morse"), ValueError, "Quota: dialect must be one of 'none', .*, not 'morse'"),  # type: ignore[arg-type]
    (lambda: Poisson(-1), ValueError, "Poisson: rate must be a number of at least 0, not -1"),
    (lambda: Bursts(size=0), ValueError, "Bursts: size must be a whole number of at least 1, not 0"),
    (lambda: Bursts(size=1, every=0), ValueError, "Bursts: every must be a number above 0 or None, not 0"),
    (lambda: Trace((2, 1)), ValueError, "Trace: at must be a number of at least 2, not 1"),
    (lambda: Closed(0), ValueError, "Closed: users must be a whole number of at least 1, not 0"),
    (lambda: Closed(1, think=1), TypeError, "Closed: think must be a distribution .*, not 1"),  # type: ignore[arg-type]
    (lambda: Traffic(arrivals=5), TypeError, r"Traffic: arrivals must be such as Poisson\(400\), not 5"),  # type: ignore[arg-type]
    (lambda: Traffic(name="", arrivals=Poisson(1)), ValueError, "Traffic: name must be a non-empty string, not ''"),
    (lambda: Traffic(arrivals=Poisson(1), clients=0), ValueError, "Traffic: clients must be .* at least 1, not 0"),
    (lambda: Traffic(arrivals=Poisson(1), options={"prio": 1}), seawall.OptionError, "unknown seawall option 'prio'"),
    (lambda: Traffic(arrivals=Poisson(1), patience=0), ValueError, "Traffic: patience must be a number above 0"),
    (lambda: Scenario(**GOOD | {"name": ""}), ValueError, "Scenario: name must be a non-empty string, not ''"),
    (lambda: Scenario(**GOOD | {"server": 1}), TypeError, "Scenario: server must be a Server, not 1"),
    (lambda: Scenario(**GOOD | {"traffic": [1]}), TypeError, "Scenario: traffic must hold Traffic, not 1"),
    (lambda: Scenario(**GOOD | {"traffic": []}), ValueError, r"hold 1 to 255 groups, of different names, not \[\]"),
    (lambda: Scenario(**GOOD | {"traffic": [TRAFFIC] * 2}), ValueError, r"of different names, not \['traffic', 'tra"),
    (lambda: Scenario(**GOOD | {"duration": 0}), ValueError, "duration must be .* above 0 and at most 86400, not 0"),
    (lambda: Scenario(**GOOD | {"duration": 1e9}), ValueError, r"duration must be .* at most 86400, not 1000000000\.0"),
    (lambda: Scenario(**GOOD | {"drain": 1e9}), ValueError, r"drain must be .* at most 86400, not 1000000000\.0"),
    (lambda: Scenario(**GOOD | {"fault": 5}), TypeError, "Scenario: fault must be a pair of seconds or None, not 5"),
    (lambda: Scenario(**GOOD | {"fault": (5, 20)}), ValueError, "Scenario: the end of fault .* at most 10, not 20"),
    (lambda: overload("flood"), ValueError, "no scenario of overload is called 'flood'; there are calm, stall, spike"),
    (lambda: overload("calm", load=0), ValueError, "overload: load must be a number above 0, not 0"),
    (lambda: overload("calm", slots=0), ValueError, "overload: slots must be a whole number of at least 1, not 0"),
    (lambda: simulate("stall", PATIENT), TypeError, "a simulation plays a Scenario, not 'stall'"),  # type: ignore[arg-type]
    (lambda: simulate(scenario(), PATIENT, seed="1"), TypeError, "seed must be a whole number, not '1'"),  # type: ignore[arg-type]
    (lambda: Simulation(scenario(), 5), seawall.StackError, "policies must be a Stack, Endpoints or None, not 5"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "kind", "message"), WRONG, ids=[message[:40] for _, _, message in WRONG])
def test_what_cannot_be_is_told(make: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """A value that makes no sense is refused where it is given."""
    with pytest.raises(kind, match=message):
        make()


def test_a_stack_that_cannot_be_says_where() -> None:
    """The error tells which group's stack it was, and in which scenario."""
    with pytest.raises(seawall.StackError) as caught:
        Simulation(scenario(), 5)  # type: ignore[arg-type]
    assert caught.value.__notes__ == ["in the stack of 'traffic', scenario 'small'"]
