"""What results tell second by second, and where simulated requests go."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from small import BUSY, PATIENT, STUBBORN, scenario

import seawall
from seawall import Endpoints, Retry, Stack, Timeout
from seawall.testing.simulation import Constant, Schedule, Server, Simulation, Trace, Traffic, simulate

SECONDS = Traffic(arrivals=Trace(tuple(n / 10 for n in range(200))), clients=2)
"""Ten calls in each of twenty seconds."""
OUTAGE = scenario(Server(service=Constant(0.01), failing=Schedule.during(5, 10, 1, usually=0)), SECONDS, duration=20)


def test_latency_over_time_is_that_of_each_second() -> None:
    """Each value is the quantile of the calls made in that stretch; None where none of them was answered."""
    result = simulate(scenario(), BUSY)
    for quantile in (0.5, 0.99):
        series = result.latency_over_time(quantile)
        assert len(series) == len(result.tally.attempts)
        assert series == [result.latency(quantile, second, second + 1) for second in range(len(series))]
        assert result.latency_over_time(quantile, 7) == [
            result.latency(quantile, n, n + 7) for n in range(0, len(series), 7)
        ]
    assert simulate(OUTAGE, PATIENT).latency_over_time(0.5)[4:11] == pytest.approx([0.01] + [None] * 5 + [0.01])


def test_latency_over_time_of_a_group() -> None:
    """A group's series are those of its own calls."""
    both = scenario(
        Server(slots=None, service=Constant(1)), SECONDS, Traffic(name="b", arrivals=Trace((3.5,))), duration=20
    )
    result = simulate(both, PATIENT)
    assert result.latency_over_time(0.5, group=1)[2:5] == [None, 1.0, None]
    assert result.offered(group=1)[2:5] == result.answered(group=1)[2:5] == [0, 1, 0]
    assert result.goodput(3, 4, group=1) == 1


def test_amplifications_lead_to_the_peak() -> None:
    """At each second the attempts for each call of the last five; the highest is the peak."""
    result = simulate(OUTAGE, STUBBORN)
    series = result.amplifications()
    assert len(series) == len(result.tally.attempts)
    assert series[:5] == [None, None, None, None, 1.0]
    assert max(value for value in series if value is not None) == result.peak_amplification()
    assert result.amplifications(20)[19] == result.peak_amplification(20) == sum(result.tally.attempts[:20]) / 200
    gap = simulate(scenario(None, Traffic(arrivals=Trace((0, 9))), duration=10), PATIENT)
    assert gap.amplifications(2)[:9] == [None, 1.0, *[None] * 7]


def test_series_of_a_run_that_was_left_early() -> None:
    """They end where it was left."""
    simulation = Simulation(OUTAGE, PATIENT)
    for second in simulation:
        if second == 7:
            break
    result = simulation.result()
    assert len(result.latency_over_time(0.5)) == len(result.amplifications()) == len(result.offered()) == 7


@dataclass(frozen=True)
class Note(seawall.Policy[None]):
    """Tells what is requested."""

    tell: Callable[[str], None]

    async def handle(self, call: seawall.Call, state: None, next: seawall.Next) -> Any:
        self.tell(f"{call.request.method} {call.request.url} {call.request.headers['host']}")
        return await next(call)


def test_requests_have_the_url_of_their_traffic() -> None:
    """It is what an Endpoints chooses by, and what circuits are kept for."""
    heard: list[str] = []
    routes = Endpoints(
        {"https://api.example.com:8443/a/*": Stack(Note(heard.append), Timeout(1))}, default=Stack(Retry())
    )
    named = Traffic(arrivals=Trace((0,)), method="PUT", url="https://api.example.com:8443/a/b?c=d")
    assert simulate(scenario(None, named, Traffic(name="other", arrivals=Trace((0,)))), routes).success == 1
    assert heard == ["PUT https://api.example.com:8443/a/b?c=d api.example.com:8443"]
