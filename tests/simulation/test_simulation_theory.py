"""The simulated server and its traffic agree with queueing theory, where that knows the answer.

How far a figure may be from it follows from theory too: for a birth-death process the variance of an average over a
long time is known (see `queueing`). 99.9 % of such runs end within the bound, and each run is so long that the bound is
narrow enough to say something. The seeds are fixed, so that the tests always end alike.
"""

import statistics
from functools import cache

import pytest
from queueing import SURE, Expected, assert_near, erlang_c, mmc
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

WARM = 20
"""Seconds that are not counted: the server is emptier in them than it will be."""
SERVICE = 0.1
MUCH = [(1, 7.0, 2000), (4, 30.0, 600)]
"""Slots, calls a second, and seconds: at 70 and 75 % of what the server can do."""


def run(server: Server, traffic: Traffic, seconds: int, seed: int = 1) -> Result:
    return simulate(scenario(server, traffic, duration=WARM + seconds), PATIENT, seed=seed)


@cache
def queue(slots: int, rate: float, seconds: int) -> Result:
    """An M/M/c queue."""
    return run(Server(slots=slots), Traffic(arrivals=Poisson(rate)), seconds)


@pytest.mark.parametrize(("slots", "rate", "seconds"), MUCH)
def test_mmc_waiting_time(slots: int, rate: float, seconds: int) -> None:
    """Calls of an M/M/c queue wait as long as A. K. Erlang's formula says."""
    load = rate * SERVICE
    expected = mmc(slots, rate, SERVICE, lambda n: n)
    sojourn = erlang_c(slots, load) * SERVICE / (slots - load) + SERVICE
    assert expected.mean == pytest.approx(rate * sojourn)  # J. Little's law, of the theory itself
    result = queue(slots, rate, seconds)
    measured = sum(result.latencies(WARM)) / seconds / rate
    assert_near(measured, sojourn, (expected.spread / seconds) ** 0.5 / rate, width=0.25)


@pytest.mark.parametrize(("slots", "rate", "seconds"), MUCH)
def test_littles_law(slots: int, rate: float, seconds: int) -> None:
    """Requests at the server are as many as come in a second, times the seconds that each is there.

    In service they are counted all the time, in the line once a second: that is what the two may differ by. The
    variance of such an average exceeds that of the average over all of the time by at most the seconds between, times
    the variance of what is counted (a reversible process is a mixture of decays: x coth x is at most 1 + x).
    """
    result = queue(slots, rate, seconds)
    waiting = statistics.fmean(result.tally.waiting[WARM : WARM + seconds])
    busy = statistics.fmean(result.tally.busy[WARM : WARM + seconds])
    calls = sum(result.offered()[WARM:]) / seconds
    line = mmc(slots, rate, SERVICE, lambda n: max(0, n - slots))
    came = calls * statistics.fmean(result.latencies(WARM))
    assert_near(waiting + busy, came, (line.variance / seconds) ** 0.5, width=0.2)
    assert_near(waiting, line.mean, ((line.spread + line.variance) / seconds) ** 0.5, width=0.5)


def test_utilisation() -> None:
    """Slots are busy for the share of time that Little's law says: calls a second, times service, over slots."""
    busy = mmc(4, 20, SERVICE, lambda n: min(n, 4) / 4)
    assert busy.mean == pytest.approx(0.5)
    result = run(Server(slots=4), Traffic(arrivals=Poisson(20)), 500)
    assert_near(result.utilisation(WARM, WARM + 500), 0.5, (busy.spread / 500) ** 0.5, width=0.1)


def test_share_that_waits() -> None:
    """Poisson arrivals see time averages: the share of calls that wait for the one slot is the share it is busy.

    Of an M/D/1 queue as many do not wait as it has busy periods, whose lengths in calls have E. Borel's distribution:
    mean 1 / (1 - load), variance load / (1 - load)^3. By the central limit theorem of renewals their number among n
    calls has the variance n * load.
    """
    result = run(Server(slots=1, service=Constant(SERVICE)), Traffic(arrivals=Poisson(6)), 1000)
    took = result.latencies(WARM)
    waited = sum(one > SERVICE + 1e-9 for one in took) / len(took)  # who took longer has waited
    assert_near(waited, 0.6, (0.6 / len(took)) ** 0.5, width=0.1)


@pytest.mark.parametrize(("service", "cv"), [(Constant(0.1), 0.0), (Lognormal(0.1, cv=1.2), 1.2)])
def test_mg1_waiting_time(service: Distribution, cv: float) -> None:
    """One slot: the wait is F. Pollaczek's and A. Khinchine's, whatever the distribution of service times.

    Theory must lie in the interval of 99.9 % confidence of ten independent runs (Student's t).
    """
    load = 0.5
    wait = load / (1 - load) * (1 + cv**2) / 2 * SERVICE
    server, traffic = Server(slots=1, service=service), Traffic(arrivals=Poisson(load / SERVICE))
    samples = [statistics.fmean(run(server, traffic, 300, seed).latencies(WARM)) for seed in range(10)]
    assert_within(samples, wait + SERVICE, width=0.45)


def test_loss_without_a_line() -> None:
    """With no line the share refused is Erlang B.

    It differs from the share of time in which all slots are busy by chance alone, which is Poisson: who is refused
    changes nothing.
    """
    slots, rate, seconds = 3, 25, 500
    full = Expected.of(lambda n: rate * (n < slots), lambda n: n / SERVICE, lambda n: n == slots)
    result = run(Server(slots=slots, queue=0), Traffic(arrivals=Poisson(rate)), seconds)
    refused = (sum(result.offered()[WARM:]) - sum(result.answered()[WARM:])) / (rate * seconds)
    assert_near(refused, full.mean, ((full.spread + full.mean / rate) / seconds) ** 0.5, width=0.15)


def test_closed_loop_throughput() -> None:
    """Users who think and call are answered as often as mean value analysis says (M. Reiser, S. Lavenberg, 1980).

    Answers differ from the time in which the slot is busy, over the service, by Poisson chance; the two deviations add
    up at most.
    """
    users, think, seconds = 12, 1.0, 500
    line, throughput = 0.0, 0.0
    for population in range(1, users + 1):
        answer = SERVICE * (1 + line)
        throughput = population / (think + answer)
        line = throughput * answer
    busy = Expected.of(lambda n: (users - n) / think, lambda n: 1 / SERVICE, lambda n: n > 0)
    assert busy.mean / SERVICE == pytest.approx(throughput)
    loop = Traffic(arrivals=Closed(users, think=Exponential(think)), clients=4)
    result = run(Server(slots=1, service=Exponential(SERVICE)), loop, seconds)
    assert_near(result.utilisation(WARM, WARM + seconds), busy.mean, (busy.spread / seconds) ** 0.5, width=0.1)
    answered = sum(result.answered()[WARM:]) / seconds
    deviation = (busy.spread**0.5 / SERVICE + throughput**0.5) / seconds**0.5
    assert_near(answered, throughput, deviation, width=0.15)


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
        assert abs(statistics.fmean(piece) - rate) < SURE * (rate / 400) ** 0.5
        assert abs(statistics.variance(piece) / rate - 1) < SURE * (2 / 399) ** 0.5


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
    assert mean == pytest.approx(0.2, abs=SURE * cv * 0.2 / 20_000**0.5 + 1e-12)
    assert statistics.pstdev(samples) / mean == pytest.approx(cv, rel=0.05, abs=1e-9)
