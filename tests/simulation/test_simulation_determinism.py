"""The same seed gives the same run, on every Python; what is drawn for one thing does not depend on another."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from digests import DIGESTS, STACK, begun, rounded
from small import BUSY, PATIENT, scenario

import seawall
from seawall.testing.simulation import SCENARIOS, Exponential, Poisson, Result, Server, Traffic, overload, simulate
from seawall.testing.simulation.scenarios import FAMILY
from seawall.testing.simulation.streams import stream

STALL = overload("stall", slots=5, duration=75)
CHILD = (
    "from small import BUSY\n"
    "from test_simulation_determinism import STALL\n"
    "from seawall.testing.simulation import simulate\n"
    "print(simulate(STALL, BUSY, seed=5).digest())\n"
)


def test_the_same_seed_gives_the_same_trace_byte_for_byte() -> None:
    """Two runs of one seed are equal in every byte of every column; another seed's are not."""
    first, again, other = (simulate(scenario(), BUSY, seed=seed) for seed in (1, 1, 2))
    assert first.trace() == again.trace()
    assert first.digest() == again.digest() != other.digest()


def test_a_trace_depends_on_no_hash() -> None:
    """Other processes, with other seeds of Python's own hashing, give the same trace."""
    here = Path(__file__).parent
    source = str(Path(seawall.__file__).parents[1])
    digests = set()
    for hashing in ("1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hashing, "PYTHONPATH": f"{here}{os.pathsep}{source}"}
        ran = subprocess.run(
            [sys.executable, "-c", CHILD], env=environment, capture_output=True, text=True, check=False
        )
        assert ran.stderr == ""
        digests.add(ran.stdout)
    assert digests == {simulate(STALL, BUSY, seed=5).digest() + "\n"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_trace_on_every_python(name: str) -> None:
    """What was once written down of each scenario: of a small form of it all, or of itself the beginning."""
    if name in FAMILY:
        assert rounded(simulate(overload(name, slots=2, duration=125), STACK, seed=5)) == DIGESTS[f"small {name}"]
    else:
        assert rounded(begun(SCENARIOS[name], 500)) == DIGESTS[name]


def test_streams_are_independent_and_known() -> None:
    """A stream depends on its seed and name only; its first numbers never change."""
    assert stream(1, "a", 2).random() == stream(1, "a", 2).random()
    assert len({stream(seed, name).random() for seed in (1, 2) for name in ("a", "b")}) == 4
    assert stream(1, "server", 0, "service").random() == 0.05937670818517904


def services(played: Result) -> list[float]:
    """How long each call was served, in the order in which they came to a server that never made them wait."""
    return [end - begin for begin, end in zip(played.tally.calls.begun, played.tally.calls.ended, strict=True)]


def test_another_client_changes_nothing_for_the_server() -> None:
    """With another client, and another policy in it, calls come at the same times and are served for as long."""
    server = Server(slots=None, service=Exponential(0.1))
    few = scenario(server, Traffic(arrivals=Poisson(30), clients=3))
    more = replace(few, traffic=[Traffic(arrivals=Poisson(30), clients=4)])
    first, second = simulate(few, PATIENT, seed=1), simulate(more, seawall.standard(), seed=1)
    assert first.tally.calls.begun == second.tally.calls.begun
    assert services(first) == pytest.approx(services(second))
    assert first.tally.calls.client != second.tally.calls.client


def test_another_group_changes_nothing_for_the_first() -> None:
    """Adding a group of callers leaves the calls of the others where they were."""
    alone = scenario(None, Traffic(arrivals=Poisson(10)))
    both = replace(alone, traffic=[*alone.traffic, Traffic(name="other", arrivals=Poisson(5))])
    first, second = simulate(alone, BUSY, seed=1), simulate(both, BUSY, seed=1)
    begun = second.tally.calls.begun
    assert list(first.tally.calls.begun) == [begun[number] for number in second.tally.calls.within(group=0)]
