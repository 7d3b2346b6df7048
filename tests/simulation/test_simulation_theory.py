"""The simulated server and its traffic agree with queueing theory, where that knows the answer.

Each figure is the mean of independent replications, each with its own seed and without its first seconds, in which the
server was emptier than it will be. Theory must lie in the interval of 99.9 % confidence around it, and that interval
must be narrow, lest it say nothing. The seeds are fixed, so that the tests always end alike.
"""

import statistics
from collections.abc import Callable
from math import factorial

import pytest
from small import PATIENT, assert_within, scenario

from seawall.testing.simulation import (
    Closed,
    Constant,
    Distribution,
    Empirical,
    Exponential,
    Lognormal,
    Poisson,
    Result,
    Schedule,
    Server,
    Sometimes,
    Traffic,
    simulate,
)
from seawall.testing.simulation.streams import stream

WARM = 40.0
"""Seconds that are not counted."""
RUNS = 10


def replications(server: Server, traffic: Traffic, figure: Callable[[Result], float], duration: float) -> list[float]:
    """A figure of each of several runs."""
    played = scenario(server, traffic, duration=WARM + duration)
    return [figure(simulate(played, PATIENT, seed=seed)) for seed in range(RUNS)]


def erlang_b(slots: int, load: float) -> float:
    """The share of calls that find every slot busy, where none wait."""
    terms = [load**n / factorial(n) for n in range(slots + 1)]
    return terms[-1] / sum(terms)


def erlang_c(slots: int, load: float) -> float:
    """The share of calls that wait, where all wait who find every slot busy."""
    busy = erlang_b(slots, load)
    return busy / (1 - load / slots * (1 - busy))


def latencies(result: Result) -> list[float]:
    return result.latencies(WARM)


def mean_latency(result: Result) -> float:
    return statistics.fmean(latencies(result))


@pytest.mark.parametrize(("slots", "rate", "duration"), [(1, 7, 800), (4, 30, 300)])
def test_mmc_waiting_time(slots: int, rate: float, duration: float) -> None:
    """Calls of an M/M/c queue wait as long as A. K. Erlang's formula says, and as many do not wait at all."""
    service = 0.1
    load = rate * service
    wait = erlang_c(slots, load) * service / (slots - load)
    samples = replications(Server(slots=slots), Traffic(arrivals=Poisson(rate)), mean_latency, duration)
    assert_within(samples, wait + service, width=0.35)


def test_share_that_waits() -> None:
    """Poisson arrivals see time averages: the share of calls that wait for the one slot is the share it is busy."""
    service = Constant(0.1)  # who took longer has waited
    samples = replications(
        Server(slots=1, service=service),
        Traffic(arrivals=Poisson(6)),
        lambda result: sum(took > 0.1 + 1e-9 for took in latencies(result)) / len(latencies(result)),
        300,
    )
    assert_within(samples, 0.6, width=0.1)


@pytest.mark.parametrize(("service", "cv"), [(Constant(0.1), 0.0), (Lognormal(0.1, cv=1.2), 1.2)])
def test_mg1_waiting_time(service: Distribution, cv: float) -> None:
    """One slot: the wait is F. Pollaczek's and A. Khinchine's, whatever the distribution of service times."""
    load = 0.5
    wait = load / (1 - load) * (1 + cv**2) / 2 * 0.1
    samples = replications(Server(slots=1, service=service), Traffic(arrivals=Poisson(5)), mean_latency, 800)
    assert_within(samples, wait + 0.1, width=0.35)


def test_loss_without_a_line() -> None:
    """With no line the share refused is Erlang B."""
    samples = replications(
        Server(slots=3, queue=0), Traffic(arrivals=Poisson(25)), lambda result: 1 - result.goodput(WARM), 300
    )
    assert_within(samples, erlang_b(3, 2.5), width=0.15)


def test_littles_law() -> None:
    """Requests at the server are as many as come in a second, times the seconds that each is there."""

    def ratio(result: Result) -> float:
        first = int(WARM)
        waiting = statistics.fmean(result.tally.waiting[first:-1])
        busy = statistics.fmean(result.tally.busy[first:-1])
        calls = sum(result.offered()[first:-1]) / (len(result.tally.busy) - 1 - first)
        return (waiting + busy) / (calls * mean_latency(result))

    samples = replications(Server(slots=4), Traffic(arrivals=Poisson(32)), ratio, 250)
    assert_within(samples, 1.0, width=0.15)


def test_utilisation() -> None:
    """Slots are busy for the share of time that Little's law says: calls a second, times service, over slots."""
    samples = replications(
        Server(slots=4), Traffic(arrivals=Poisson(20)), lambda result: result.utilisation(WARM, 340), 300
    )
    assert_within(samples, 0.5, width=0.1)


def test_closed_loop_throughput() -> None:
    """Users who think and call are answered as often as mean value analysis says (M. Reiser, S. Lavenberg, 1980)."""
    users, think, service = 12, 1.0, 0.1
    line, throughput = 0.0, 0.0
    for population in range(1, users + 1):
        answer = service * (1 + line)
        throughput = population / (think + answer)
        line = throughput * answer
    samples = replications(
        Server(slots=1),
        Traffic(arrivals=Closed(users, think=Exponential(think)), clients=4),
        lambda result: sum(result.answered()[int(WARM) : 540]) / (540 - WARM),
        500,
    )
    assert_within(samples, throughput, width=0.05)


def test_poisson_arrivals() -> None:
    """Calls in a second are Poisson: their variance is their mean, which follows the schedule."""
    calls = Poisson(Schedule.during(400, 800, 60, usually=20))
    counts = [0] * 1200
    for at in calls.times(stream(1, "arrivals")):
        if at >= 1200:
            break
        counts[int(at)] += 1
    for begin, end, rate in ((0, 400, 20), (400, 800, 60), (800, 1200, 20)):
        piece = counts[begin:end]
        assert abs(statistics.fmean(piece) - rate) < 3.29 * (rate / 400) ** 0.5
        assert abs(statistics.variance(piece) / rate - 1) < 3.29 * (2 / 399) ** 0.5


@pytest.mark.parametrize(
    ("distribution", "cv"),
    [
        (Exponential(0.2), 1.0),
        (Lognormal(0.2, cv=0.5), 0.5),
        (Lognormal(0.2, cv=0), 0.0),
        (Empirical((0.1, 0.3)), 0.5),
        (Sometimes(Constant(0.1), share=0.1, factor=11), 1.5),
        (Constant(0.2), 0.0),
    ],
    ids=repr,
)
def test_distributions_have_the_mean_and_spread_that_they_say(distribution: Distribution, cv: float) -> None:
    """What is drawn has the stated mean and coefficient of variation."""
    draw = distribution.draws(stream(3, "draws"))
    samples = [draw() for _ in range(20_000)]
    mean = statistics.fmean(samples)
    assert distribution.mean == pytest.approx(0.2)
    assert mean == pytest.approx(0.2, abs=3.29 * cv * 0.2 / 20_000**0.5 + 1e-12)
    assert statistics.pstdev(samples) / mean == pytest.approx(cv, rel=0.05, abs=1e-9)
