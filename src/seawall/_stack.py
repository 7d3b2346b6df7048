"""Stacks: ordered policies, the first the outermost, refused where their order makes no sense."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

from . import _check
from ._call import INF
from ._errors import StackError
from ._listeners import logger
from ._policy import Policy
from .policies.circuit_breaker import CircuitBreaker
from .policies.concurrency_limit import ConcurrencyLimit
from .policies.retry import Retry
from .policies.throttle import Throttle
from .policies.timeout import Timeout

AnyPolicy = Policy[Any]


class Plan(NamedTuple):
    """How a stack is run. Deadlines are data, so most Timeouts cost no call of their own."""

    layers: tuple[tuple[int, AnyPolicy], ...]
    """Each policy that wraps a call, with its place in the stack."""
    timeout: float
    """The outermost Timeout's seconds, if nothing stands outside of it; `inf` without one."""
    timeout_covers_body: bool
    attempt_timeout: float
    """What the Timeouts inside Retry leave for one attempt; `inf` without one."""


class Stack:
    """Policies in order, the first outermost.

        Stack(Timeout(30), Retry(), CircuitBreaker(), Timeout(10))

    Recommended order: `Timeout` (the call) -> `IdempotencyKey` -> `Retry` -> `CircuitBreaker` ->
    `ConcurrencyLimit` -> `Throttle` -> `ReadBody` -> `Timeout` (an attempt). Raises `StackError`, with the
    reason, for an order that could not work. Stacks are immutable; equal policies make equal stacks.
    """

    __slots__ = ("_given", "attempt_timeout", "policies")

    def __init__(self, *policies: AnyPolicy) -> None:
        self._build(policies, ())

    def _build(self, policies: tuple[AnyPolicy, ...], known: tuple[AnyPolicy, ...]) -> "Stack":
        for policy in policies:
            _check_policy(policy)
        if not policies:
            raise StackError("a Stack needs at least one policy; seawall.standard() is the recommended one")
        _check_kinds(policies)
        _check_order(policies)
        _check_timeouts(policies)
        self.attempt_timeout: float = min((t.seconds for t in _attempt_timeouts(policies)), default=INF)
        """Seconds that one attempt may take, `inf` where no inner `Timeout` bounds it."""
        self._given = policies  # what another stack is made of: a window is widened for the Timeouts it stands with
        self.policies: tuple[AnyPolicy, ...] = tuple(_widened(p, self.attempt_timeout, known) for p in policies)
        return self

    def _derived(self, *policies: AnyPolicy) -> "Stack":
        return Stack.__new__(Stack)._build(policies, self.policies)

    def replace(self, policy: AnyPolicy) -> "Stack":
        """This stack with `policy` in the place of the one of its type and name.

        Of several Timeouts the outermost is the one replaced. Raises `StackError` if there is none.
        """
        _check_policy(policy)
        for index, present in enumerate(self._given):
            if type(present) is type(policy) and present.name == policy.name:
                return self._derived(*self._given[:index], policy, *self._given[index + 1 :])
        named = f" named {policy.name!r}" if policy.name else ""
        raise StackError(f"no {type(policy).__name__}{named} to replace in {self!r}; .then(...) appends one")

    def without(self, *kinds: type[AnyPolicy]) -> "Stack":
        """This stack without any policy of these types. Raises `StackError` if it has none of one."""
        for kind in kinds:
            if not isinstance(kind, type):
                raise StackError(f"without takes policy types such as Retry, not {kind!r}")
            if not any(isinstance(policy, kind) for policy in self.policies):
                raise StackError(f"no {kind.__name__} to leave out of {self!r}")
        return self._derived(*(policy for policy in self._given if not isinstance(policy, kinds)))

    def then(self, *policies: AnyPolicy) -> "Stack":
        """This stack with further policies inside it."""
        return self._derived(*self._given, *policies)

    def plan(self, skip: frozenset[str] = frozenset()) -> "Plan":
        """What a chain is made of, without the policies that are to be skipped."""
        kept = [(i, p) for i, p in enumerate(self.policies) if not skip or not _names(p) & skip]
        # of the whole stack: what a Timeout means does not change with a skipped Retry
        inner = [t for t in _attempt_timeouts(self.policies) if any(t is p for _, p in kept)]
        layers = [(i, p) for i, p in kept if not any(p is timeout for timeout in inner)]
        timed = [p for _, p in layers if isinstance(p, Timeout)]
        outermost = timed[0] if timed and layers[0][1] is timed[0] else None
        return Plan(
            layers=tuple(layers if outermost is None else layers[1:]),
            timeout=outermost.seconds if outermost else INF,
            timeout_covers_body=outermost.body if outermost else not timed,
            attempt_timeout=min((timeout.seconds for timeout in inner), default=INF),
        )

    def __iter__(self) -> Iterator[AnyPolicy]:
        return iter(self.policies)

    def __len__(self) -> int:
        return len(self.policies)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stack) and self.policies == other.policies

    def __hash__(self) -> int:
        return hash(self.policies)

    def __repr__(self) -> str:
        return f"Stack({', '.join(map(repr, self.policies))})"


EMPTY = Stack.__new__(Stack)
"""No policies at all: what a bare pool runs. Users are refused one, since it would protect nothing."""
EMPTY.policies, EMPTY._given, EMPTY.attempt_timeout = (), (), INF


def standard() -> Stack:
    """The recommended stack.

    - `Timeout(30, body=False)`: 30 s for the call up to its response headers. Nobody waits for ever, and downloads may
      take longer.
    - `Retry()`: 4 attempts, full jitter from 0.25 s to 20 s, a success-funded budget. Survives short failures, and
      cannot make a storm of long ones.
    - `CircuitBreaker(window=20)`: opens at 50 % failures of at least 20 calls in 20 s. Stops sending to what is down.
    - `ConcurrencyLimit(100)`: 100 requests in flight for each origin. One slow origin cannot take all of a larger pool.
    - `Throttle(None)`: no rate of its own. Waits when the server says so.
    - `Timeout(10)`: 10 s for an attempt's response headers. A stuck attempt leaves time for another.
    """
    return Stack(
        Timeout(30, body=False),
        Retry(),
        CircuitBreaker(window=20),
        ConcurrencyLimit(100),
        Throttle(None),
        Timeout(10),
    )


def _names(policy: AnyPolicy) -> set[str]:
    names = {type(policy).__name__.lower()}
    return names | {policy.name} if policy.name else names


def _check_policy(policy: object) -> None:
    if isinstance(policy, type) and issubclass(policy, Policy):
        raise StackError(f"a Stack holds policies, not their classes: write {policy.__name__}(...)")
    if not isinstance(policy, Policy):
        raise StackError(f"a Stack holds policies such as Retry(), not {policy!r}")
    _check.key(type(policy).__name__, policy.key)
    _check.name(type(policy).__name__, policy.name)


def _check_kinds(policies: tuple[AnyPolicy, ...]) -> None:
    seen: set[tuple[type, str | None]] = set()
    for policy in policies:
        kind = type(policy), policy.name
        if kind in seen and not isinstance(policy, Timeout):
            called = f"named {policy.name!r}" if policy.name else "without a name"
            raise StackError(
                f"two {kind[0].__name__} policies {called} in one Stack: give each a name= if both are meant"
            )
        seen.add(kind)


def _check_order(policies: tuple[AnyPolicy, ...]) -> None:
    retry = next((i for i, policy in enumerate(policies) if isinstance(policy, Retry)), None)
    if retry is None:
        return
    for policy in policies[:retry]:
        if isinstance(policy, ConcurrencyLimit | Throttle) and policy.key != "client":
            kind = type(policy).__name__
            raise StackError(
                f"{kind} stands outside Retry: what it grants would be kept through backoff sleeps, or spent once for "
                f'several attempts. Put it inside, or ask for it with key="client"'
            )
    for policy in policies[retry:]:
        if policy.not_repeated is not None:
            raise StackError(f"{type(policy).__name__} stands inside Retry: {policy.not_repeated}. Put it outside")


def _check_timeouts(policies: tuple[AnyPolicy, ...]) -> None:
    timeouts = [policy for policy in policies if isinstance(policy, Timeout)]
    for outer, inner in pairwise(timeouts):
        if inner.seconds >= outer.seconds:
            raise StackError(
                f"an inner Timeout must be shorter than an outer one: Timeout({inner.seconds:g}) stands inside "
                f"Timeout({outer.seconds:g}) and could never expire"
            )


def _attempt_timeouts(policies: tuple[AnyPolicy, ...]) -> list[Timeout]:
    """The Timeouts that bound an attempt: those inside Retry; without one, all but the outermost."""
    retry = next((i for i, policy in enumerate(policies) if isinstance(policy, Retry)), None)
    if retry is not None:
        return [policy for policy in policies[retry:] if isinstance(policy, Timeout)]
    return [policy for policy in policies if isinstance(policy, Timeout)][1:]


def _widened(policy: AnyPolicy, attempt_timeout: float, known: tuple[AnyPolicy, ...]) -> AnyPolicy:
    """A breaker whose window is too short to see its own attempts time out gets one that can, and says so once."""
    if not isinstance(policy, CircuitBreaker) or not policy.window < 2 * attempt_timeout < INF:
        return policy
    widened = replace(policy, window=2 * attempt_timeout)
    if widened not in known:
        logger.warning(
            "CircuitBreaker(window=%g) widened to %g s, twice the attempt timeout, "
            "so that it can see attempts time out",
            policy.window,
            widened.window,
        )
    return widened
