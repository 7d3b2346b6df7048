"""A case: everything that decides how a storm goes, as plain data whose repr is the code that makes it."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, Literal

import seawall
from seawall import Timeout

HOSTS = ("http://a.test", "http://b.test", "http://c.test")
CHUNK = b"0123456789"


class Coded:
    """Data whose repr is the code that makes it."""

    def __repr__(self) -> str:
        return code(self)


@dataclass(frozen=True)
class Fixed:
    """A wait strategy: always as long."""

    seconds: float

    def __call__(self, state: Any) -> float:
        return self.seconds


@dataclass(frozen=True, kw_only=True, repr=False)
class Answer(Coded):
    """What the server does with one request, in the order in which they come. Times in seconds."""

    status: int = 200
    after: float = 0.0
    """Before the headers, or before the error."""
    error: type[Exception] | None = None
    """Raised instead of an answer; a connect error before anything of the request is read."""
    retry_after: float | None = None
    chunks: int = 1
    every: float = 0.0
    """Before each chunk."""
    breaks: bool = False
    """Whether the body breaks after its last chunk, in the place of an end."""

    @property
    def headers(self) -> Mapping[str, str]:
        return {} if self.retry_after is None else {"Retry-After": f"{self.retry_after:g}"}


@dataclass(frozen=True, kw_only=True, repr=False)
class Cut(Coded):
    """How a call is cancelled: at its n-th suspension, or, if `after` is given, so many seconds after its start."""

    how: Literal["cancel", "timeout"] = "cancel"
    when: Literal["waiting", "woken"] = "waiting"
    number: int = 1
    after: float | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Visit(Coded):
    """One call. Times in seconds."""

    at: float = 0.0
    method: str = "GET"
    host: int = 0
    client: int = 0
    body: Literal["", "bytes", "file", "replayed", "once"] = ""
    """Of the request: none, bytes, a seekable file (multipart), something to iterate again, or only once."""
    reading: Literal["read", "stream", "leave", "linger", "drop"] = "read"
    """The response: all at once; chunk by chunk; closed after a chunk; closed unread after a while; never closed."""
    pause: float = 0.0
    """Between two chunks, of the request and of the response, and of one who lingers."""
    headers: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    cut: Cut | None = None

    @property
    def url(self) -> str:
        return f"{HOSTS[self.host]}/items"


@dataclass(frozen=True, kw_only=True, repr=False)
class Case(Coded):
    """A storm."""

    policies: tuple[seawall.Policy[Any], ...]
    calls: tuple[Visit, ...]
    script: tuple[Answer, ...] = ()
    """What the server answers, in the order in which requests come; after that `Answer()`."""
    driver: Literal["virtual", "asyncio"] = "virtual"
    connections: int | None = None
    """Those of a pool, or None for a transport without one."""
    max_keys: int = 100

    @property
    def total(self) -> Timeout | None:
        """The Timeout of the whole call."""
        first = self.policies[0]
        return first if isinstance(first, Timeout) else None

    def of(self, kind: type[Any]) -> list[Any]:
        """The policies of one kind, the outermost first."""
        return [policy for policy in self.policies if isinstance(policy, kind)]


def code(value: Any) -> str:
    """Python that makes this value: of a dataclass only what is not its default."""
    if isinstance(value, type):
        return f"httpx.{value.__name__}"
    if is_dataclass(value):
        given = ((f.name, getattr(value, f.name), _default(f)) for f in fields(value))
        told = [f"{name}={code(this)}" for name, this, default in given if default is MISSING or this != default]
        return f"{type(value).__name__}({', '.join(told)})"
    if isinstance(value, tuple):
        return f"({', '.join(map(code, value))}{',' * (len(value) == 1)})"
    return repr(value)


def _default(of: Any) -> Any:
    factory: Callable[[], Any] | Any = of.default_factory
    return of.default if factory is MISSING else factory()
