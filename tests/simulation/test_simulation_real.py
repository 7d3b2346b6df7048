"""Virtual time predicts the real thing: a stall over real sockets, beside its simulation."""

import asyncio
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from seawall.testing.simulation import Server, Tally, simulate

ROOT = Path(__file__).parents[2]
FIT, AT_EASE = 0.25, 0.01
"""Seconds by which the event loop may be late at most, half of an attempt's timeout, and in the mean, a tenth of what
serving takes. Beyond, attempts time out for want of a processor, which says nothing of the server."""
TRIES = 2


@pytest.fixture
def real() -> ModuleType:
    """benchmarks/real, which is no part of the package."""
    sys.path.insert(0, str(ROOT))
    try:
        import benchmarks.real.figures
        import benchmarks.real.play
        import benchmarks.real.server
    finally:
        sys.path.remove(str(ROOT))
    return benchmarks.real


async def stacks_at_once(real: Any, scenario: Any, *names: str) -> dict[str, Any]:
    """The same scenario in real time with each stack, each with a server of its own."""
    played = await asyncio.gather(*(real.play.play(scenario, real.figures.STACKS[name]) for name in names))
    return dict(zip(names, played, strict=True))


def test_a_real_stall_ends_as_the_simulated_one_does(real: Any) -> None:
    """With naive retries a real server stays down after its stall, and with a breaker it comes back, as simulated.

    What is compared are shares of calls and attempts for each, and not times. Calls come and are served as in the
    simulation; another coin for the policies' jitter changes those by 0.07 there. The bounds are three times as wide,
    for a busy machine, and far from the other outcome: of sixty coins goodput is 0 with naive retries and 0.56 to 0.7
    with a breaker, attempts are 2.8 and 0.83 to 0.9. If the machine is not fit for it, the run is repeated, and in the
    end skipped.
    """
    scenario = real.figures.stall(slots=3, begin=0.5, end=2.0, duration=6.0)
    for _ in range(TRIES):
        played = asyncio.run(stacks_at_once(real, scenario, "naive", "breaker"))
        late, strain = max(one.late for one in played.values()), max(one.strain for one in played.values())
        if late < FIT and strain < AT_EASE:
            break
    else:
        pytest.skip(f"the machine is too busy: the event loop was late by {late:.2f} s once, {strain:.3f} in the mean")
    for name, one in played.items():
        got = real.figures.figures(one.result)
        expected = real.figures.figures(simulate(scenario, real.figures.STACKS[name]))
        for figure, slack in (("success", 0.15), ("goodput after", 0.2), ("amplification", 0.3)):
            assert got[figure] == pytest.approx(expected[figure], abs=slack), (name, figure)
    naive, breaker = (real.figures.figures(played[name].result) for name in ("naive", "breaker"))
    assert naive["goodput after"] < 0.15 < 0.25 < breaker["goodput after"]
    assert naive["amplification"] > 1.8 > 1.3 > breaker["amplification"]


def test_what_a_real_server_cannot_do_is_an_error(real: Any) -> None:
    """The real server says which of the data it does not know."""
    with pytest.raises(ValueError, match="a real server has no discipline; there are failing, failure, queue, queue_s"):
        real.server.RealServer(Server(discipline="lifo"), 0, Tally(), lambda: 0.0)
    with pytest.raises(ValueError, match="a real server fails with a status, not 'ReadError'"):
        real.server.RealServer(Server(failure="ReadError"), 0, Tally(), lambda: 0.0)
