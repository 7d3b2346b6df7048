"""Who calls, how often, and with which options: plain data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from random import Random
from typing import ClassVar

import httpx

from ... import _check, _options
from .distributions import Constant, Distribution
from .schedule import Schedule

SERVER = "http://server/"
"""Where requests go if nothing else is said."""


class Arrivals:
    """When calls are made."""

    __slots__ = ()
    in_turn: ClassVar[bool] = True
    """Whether clients call one after the other, rather than at random."""

    def times(self, coin: Random) -> Iterator[float]:
        """The seconds at which calls are made, in order."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Poisson(Arrivals):
    """Independent calls, at a rate per second over all clients: `Poisson(400)`, `Poisson(Schedule(40, [(60, 80)]))`."""

    rate: float | Schedule
    in_turn: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.rate, Schedule):
            _check.number("Poisson", "rate", self.rate, least=0)

    def times(self, coin: Random) -> Iterator[float]:
        random = coin.random
        for now, end, rate in Schedule.of(self.rate).pieces():
            while rate:  # without memory: each piece begins afresh
                now -= log(1.0 - random()) / rate
                if now >= end:
                    break
                yield now


@dataclass(frozen=True, slots=True, kw_only=True)
class Bursts(Arrivals):
    """Many calls at once: `Bursts(size=1000)`, `Bursts(size=50, every=10, first=5)`.

    `size` at least 1; `first` (default 0 s): when the first burst comes; `every` (default None, once): seconds between
    bursts, above 0.
    """

    size: int
    first: float = 0.0
    every: float | None = None

    def __post_init__(self) -> None:
        _check.integer("Bursts", "size", self.size, least=1)
        _check.number("Bursts", "first", self.first, least=0)
        _check.number("Bursts", "every", self.every, above=0, optional=True)

    def times(self, coin: Random) -> Iterator[float]:
        now = self.first
        while True:
            for _ in range(self.size):
                yield now
            if self.every is None:
                return
            now += self.every


@dataclass(frozen=True, slots=True)
class Trace(Arrivals):
    """Calls at given times: `Trace((0.1, 0.15, 0.4))`. Seconds, at least 0, in order."""

    at: Sequence[float]

    def __post_init__(self) -> None:
        given, last = _check.collection("Trace", "at", self.at, "seconds"), 0.0
        for time in given:
            _check.number("Trace", "at", time, least=last)
            last = time
        object.__setattr__(self, "at", given)

    def times(self, coin: Random) -> Iterator[float]:
        return iter(self.at)


@dataclass(frozen=True, slots=True)
class Closed(Arrivals):
    """Users who call again only once they were answered: `Closed(50, think=Exponential(1))`.

    `users` at least 1, shared out among the clients; each thinks (default not at all) before each call. Someone whose
    call fails at once, without thinking, would try again at that instant for ever: `after_failure` (default 0.1 s,
    above 0) is how long a user then waits at least.
    """

    users: int
    think: Distribution = field(default_factory=lambda: Constant(0))
    after_failure: float = 0.1

    def __post_init__(self) -> None:
        _check.integer("Closed", "users", self.users, least=1)
        if not isinstance(self.think, Distribution):
            raise TypeError(f"Closed: think must be a distribution such as Exponential(1), not {self.think!r}")
        _check.number("Closed", "after_failure", self.after_failure, above=0)

    def times(self, coin: Random) -> Iterator[float]:
        return iter(())  # a user's next call depends on the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A group of like clients and the calls they make.

        Traffic(arrivals=Poisson(400))
        Traffic(name="batch", arrivals=Closed(50), clients=1, options={"priority": -1})

    - `name` (default "traffic").
    - `arrivals`: when they call, all together.
    - `clients` (default 20, at least 1): each with a transport and a `State` of its own.
    - `state` (default None): the name of a `State` that they share, also with groups that give the same name.
    - `options` (default none): Seawall's options of each call, such as priority or tenant.
    - `method` (default "GET"), and `url` (default "http://server/"): of each request. The simulated server answers any;
      an `Endpoints` chooses its stack by them.
    - `patience` (default None): seconds, above 0, after which the caller cancels the call.
    """

    arrivals: Arrivals
    name: str = "traffic"
    clients: int = 20
    state: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    method: str = "GET"
    url: str = SERVER
    patience: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.arrivals, Arrivals):
            raise TypeError(f"Traffic: arrivals must be such as Poisson(400), not {self.arrivals!r}")
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"Traffic: name must be a non-empty string, not {self.name!r}")
        _check.integer("Traffic", "clients", self.clients, least=1)
        _check.name("Traffic", self.state)
        _options.effective(self.options)
        _check.methods("Traffic", "method", (self.method,))
        _check_url(self.url)
        _check.number("Traffic", "patience", self.patience, above=0, optional=True)


def _check_url(url: object) -> None:
    if not isinstance(url, str):
        raise TypeError(f"Traffic: url must be a string, not {url!r}")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"Traffic: url must be such as {SERVER}, not {url!r} ({error})") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"Traffic: url must be such as {SERVER}, not {url!r}")
