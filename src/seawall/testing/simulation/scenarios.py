"""Scenarios of overload: ways in which a server gets into trouble, as data.

Most share one server, which is what makes overload stick: 50 slots, 100 ms of service on average (500 requests a
second), a line without bound, and no notice of clients that have gone. Twenty clients offer 400 requests a second in
all, and wait 1 s for an answer.
"""

from collections.abc import Mapping
from dataclasses import replace

from ... import _check
from .distributions import Constant, Exponential, Lognormal, Sometimes
from .quota import Quota
from .scenario import Scenario
from .schedule import Schedule
from .server import Server
from .traffic import Bursts, Closed, Poisson, Trace, Traffic

SLOTS, SERVICE = 50, 0.1
CAPACITY = SLOTS / SERVICE
BEGIN, DURATION = 60.0, 240.0


def overload(
    name: str,
    *,
    load: float = 0.8,
    slots: int = SLOTS,
    clients: int = 20,
    attempt_timeout: float = 1.0,
    queue_seconds: float | None = None,
    duration: float = DURATION,
) -> Scenario:
    """The calm, stall, spike, outage, brownout or a level of errors, in a variant of its own.

        overload("stall", load=0.9, clients=200)
        overload("outage", slots=5, duration=120)    # quick: a tenth of the calls, for half of the time

    `load` (default 0.8, above 0) is the share of the server's capacity that is offered; `slots` (default 50, at least
    1) of 100 ms make that capacity; `clients` (default 20) at least 1; `attempt_timeout` (default 1), `queue_seconds`
    (default None, no bound) and `duration` (default 240, longer than the fault) in seconds. Raises `ValueError`,
    listing the names, for an unknown one.
    """
    _check.number("overload", "load", load, above=0)
    _check.integer("overload", "slots", slots, least=1)
    rate = load * slots / SERVICE
    server = Server(slots=slots, service=Exponential(SERVICE), queue_seconds=queue_seconds)
    offered: float | Schedule = rate
    fault: tuple[float, float] | None = (BEGIN, BEGIN + 10)
    if name == "stall":
        about = "For ten seconds the server serves nothing."
        server = replace(server, slots=Schedule.during(BEGIN, BEGIN + 10, 0, usually=slots))
    elif name == "spike":
        about = "For ten seconds three times as much is offered."
        offered = Schedule.during(BEGIN, BEGIN + 10, 3 * rate, usually=rate)
    elif name == "outage":
        about = "For thirty seconds every request fails at once."
        fault = BEGIN, BEGIN + 30
        server = replace(server, failing=Schedule.during(*fault, 1, usually=0))
    elif name == "brownout":
        about = "For a minute half of the server's slots are gone."
        fault = BEGIN, BEGIN + 60
        server = replace(server, slots=Schedule.during(*fault, slots // 2, usually=slots))
    elif name == "calm":
        about, fault = "Nothing goes wrong.", None
    elif name in ("errors", "errors-1"):
        share = 0.1 if name == "errors" else 0.01
        about = f"{share:.0%} of the requests fail, at random, all the time."
        fault = None
        server = replace(server, failing=share)
    else:
        raise ValueError(f"no scenario of overload is called {name!r}; there are {', '.join(FAMILY)}")
    return Scenario(
        name=name,
        about=about,
        server=server,
        traffic=[Traffic(arrivals=Poisson(offered), clients=clients)],
        duration=duration,
        fault=fault,
        attempt_timeout=attempt_timeout,
    )


FAMILY = ("calm", "stall", "spike", "outage", "brownout", "errors", "errors-1")
"""What `overload` knows."""


def _collapse() -> Scenario:
    rise = [(BEGIN + second, 48 + 8 * second) for second in range(5)]  # to 80, and five seconds at that
    return Scenario(
        name="collapse",
        about="A server that slows down with what it has to do is offered more and more, up to twice as much for 5 s.",
        server=Server(slots=None, service=Constant(1.0), per_concurrent=0.01),
        traffic=[Traffic(arrivals=Poisson(Schedule(40, [*rise, (BEGIN + 9, 40)])))],
        duration=DURATION,
        fault=(BEGIN, BEGIN + 9),
        attempt_timeout=3.0,
    )


def _steps(cv: float, clients: int) -> Scenario:
    return Scenario(
        name=f"steps-{cv:g}-{clients}",
        about=f"Half of the slots go and come back, always backlogged; service cv {cv:g}, clients: {clients}.",
        server=Server(slots=Schedule.during(60, 120, 25, usually=50), service=Lognormal(SERVICE, cv)),
        traffic=[Traffic(arrivals=Closed(400), clients=clients)],
        duration=180.0,
        fault=(60, 120),
        attempt_timeout=60.0,
    )


def _stragglers(*, slow: bool) -> Scenario:
    fault = (60.0, 120.0) if slow else None
    return Scenario(
        name="stragglers-slow" if slow else "stragglers",
        about="One request in twenty takes ten times as long" + (", and all four times for a minute." if slow else "."),
        server=Server(
            replicas=10,
            slots=4,
            service=Sometimes(Exponential(SERVICE / 1.45), share=0.05, factor=10),
            slowdown=Schedule.during(*fault, 4, usually=1) if fault else 1.0,
        ),
        traffic=[Traffic(arrivals=Poisson(0.3 * 40 / SERVICE))],
        duration=DURATION,
        fault=fault,
        attempt_timeout=10.0,
    )


def _herd() -> Scenario:
    return Scenario(
        name="herd",
        about="A thousand clients call within 50 ms for a quota of 100 a second; each is told to come back in 5 s.",
        server=Server(slots=None, service=Constant(0.01), quota=Quota(rate=100, burst=20, retry_after=5)),
        traffic=[Traffic(arrivals=Trace([n * 0.05 / 1000 for n in range(1000)]), clients=1000)],
        duration=1.0,
        drain=600.0,
        attempts=1000,
    )


def _tenants(load: float) -> Scenario:
    def of(name: str, share: float, priority: int) -> Traffic:
        options = {"tenant": name, "priority": priority}
        return Traffic(name=name, arrivals=Poisson(share * load * CAPACITY), clients=1, state="one", options=options)

    return Scenario(
        name=f"tenants-{load:g}",
        about=f"Three priorities at {load:.0%} of the server's capacity; one tenant asks for ten times its share.",
        server=Server(slots=SLOTS, service=Exponential(SERVICE)),
        traffic=[of("high", 0.2, 1), of("usual", 0.2, 0), of("low", 0.1, -1), of("greedy", 0.5, 0)],
        duration=120.0,
        attempt_timeout=10.0,
    )


def _coalesce(trouble: str) -> Scenario:
    failing: float | Schedule = Schedule(1, [(0.0005, 0)]) if trouble == "failing" else 0.0
    slowdown: float | Schedule = Schedule(10, [(0.0005, 1)]) if trouble == "slow" else 1.0
    leader = Traffic(
        name="leader", arrivals=Bursts(size=1), clients=1, patience=0.05 if trouble == "cancelled" else None
    )
    return Scenario(
        name=f"coalesce-{trouble}",
        about=f"5,000 identical GETs at once; the first is {trouble}.",
        server=Server(slots=SLOTS, service=Exponential(SERVICE), failing=failing, slowdown=slowdown),
        traffic=[leader, Traffic(name="followers", arrivals=Bursts(size=4999, first=0.001), clients=1)],
        duration=1.0,
        attempt_timeout=10.0,
    )


_ALL = [
    *(overload(name) for name in FAMILY),
    _collapse(),
    *(_steps(cv, clients) for cv in (0.25, 1, 2) for clients in (1, 10)),
    _stragglers(slow=False),
    _stragglers(slow=True),
    _herd(),
    *(_tenants(load) for load in (0.95, 1.05)),
    *(_coalesce(trouble) for trouble in ("cancelled", "slow", "failing")),
]
SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
"""Every scenario by its name. `overload` makes variants of the first seven."""
