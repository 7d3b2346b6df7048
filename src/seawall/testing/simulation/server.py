"""What a simulated server is: plain data."""

from dataclasses import dataclass, field
from typing import Literal

from ... import _check
from .distributions import Distribution, Exponential
from .quota import Quota
from .schedule import Schedule

BROKEN = ("ConnectError", "ReadError", "RemoteProtocolError")
"""What a failing server may do instead of answering: exceptions of httpx."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server: slots that serve, a line before them, and what goes wrong.

        Server(slots=50, service=Exponential(0.1))                         # 500 requests a second
        Server(slots=Schedule.during(60, 70, 0, usually=50))               # which stalls for ten seconds
        Server(slots=None, service=Constant(1), per_concurrent=0.01)       # slower the more it has to do

    - `slots` (default 50, a whole number of at least 0; None for any number): requests served at once by each replica;
      may be a `Schedule`. What is being served when slots are taken away is still finished.
    - `service` (default `Exponential(0.1)`): how long serving takes.
    - `per_concurrent` (default 0 s): added to it for each request in service, itself included, as it begins.
    - `slowdown` (default 1): times `service` of what begins; may be a `Schedule`.
    - `queue` (default None, unbounded), `queue_seconds` (default None): a bound of the line, as a number of requests or
      as the seconds of work at the slots' first value; beyond it the answer is 503 at once.
    - `discipline` (default "fifo", or "lifo"): which waiting request is served next.
    - `serves_the_gone` (default True): whether it goes on with requests whose client has gone.
    - `failing` (default 0, to 1): the share of requests that fail, at once and without a slot; may be a `Schedule`.
    - `failure` (default 500): a status, or "ConnectError", "ReadError" or "RemoteProtocolError".
    - `quota` (default None): a rate quota for all clients together.
    - `replicas` (default 1, at least 1), `balance` (default "random", or "in turn", or "least busy"): copies of the
      server, and which of them a request goes to.
    """

    slots: float | Schedule | None = 50
    service: Distribution = field(default_factory=lambda: Exponential(0.1))
    per_concurrent: float = 0.0
    slowdown: float | Schedule = 1.0
    queue: int | None = None
    queue_seconds: float | None = None
    discipline: Literal["fifo", "lifo"] = "fifo"
    serves_the_gone: bool = True
    failing: float | Schedule = 0.0
    failure: int | str = 500
    quota: Quota | None = None
    replicas: int = 1
    balance: Literal["random", "in turn", "least busy"] = "random"

    def __post_init__(self) -> None:
        for name in ("slots", "slowdown", "failing"):
            value = getattr(self, name)
            if not isinstance(value, Schedule):
                _check.number("Server", name, value, least=0, optional=name == "slots")
        for _, _, share in Schedule.of(self.failing).pieces():
            _check.number("Server", "failing", share, least=0, most=1)
        for _, _, slots in () if self.slots is None else Schedule.of(self.slots).pieces():
            if slots != int(slots):
                raise ValueError(f"Server: slots must be a whole number of at least 0 or None, not {slots!r}")
        if not isinstance(self.service, Distribution):
            raise TypeError(f"Server: service must be a distribution such as Exponential(0.1), not {self.service!r}")
        _check.number("Server", "per_concurrent", self.per_concurrent, least=0)
        _check.integer("Server", "queue", self.queue, least=0, optional=True)
        _check.number("Server", "queue_seconds", self.queue_seconds, above=0, optional=True)
        if self.queue_seconds is not None and not self.service.mean:
            raise ValueError("Server: queue_seconds needs a service that takes time: any line is worked off at once")
        _check.choice("Server", "discipline", self.discipline, ("fifo", "lifo"))
        _check.flag("Server", "serves_the_gone", self.serves_the_gone)
        if isinstance(self.failure, str):
            _check.choice("Server", "failure", self.failure, BROKEN)
        else:
            _check.codes("Server", "failure", (self.failure,))
        if self.quota is not None and not isinstance(self.quota, Quota):
            raise TypeError(f"Server: quota must be a Quota or None, not {self.quota!r}")
        _check.integer("Server", "replicas", self.replicas, least=1)
        _check.choice("Server", "balance", self.balance, ("random", "in turn", "least busy"))

    @property
    def bound(self) -> float:
        """How many requests may wait in the line of one replica."""
        bound = float("inf") if self.queue is None else float(self.queue)
        if self.queue_seconds is not None and self.slots is not None:
            bound = min(bound, self.queue_seconds * Schedule.of(self.slots).value / self.service.mean)
        return bound
