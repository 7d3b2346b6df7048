"""Stacks: what order they accept and refuse, how they are changed, and what makes two of them equal."""

import logging
from typing import Any

import pytest

import seawall
from seawall import (
    CircuitBreaker,
    ConcurrencyLimit,
    IdempotencyKey,
    ReadBody,
    Retry,
    Stack,
    StackError,
    Throttle,
    Timeout,
    standard,
)


class Mine(seawall.Policy[None]):
    """A policy of a user's."""


class Billed(seawall.Policy[None]):
    """A policy of a user's that must not be repeated."""

    not_repeated = "each attempt would be billed"


class Misspelt(seawall.Policy[None]):
    """A policy of a user's with a key that is none."""

    key = "orgin"  # type: ignore[assignment]


class Nameless(seawall.Policy[None]):
    """A policy of a user's with a name that is none."""

    name = ""


RECOMMENDED = [
    Timeout(30),
    IdempotencyKey(),
    Retry(),
    CircuitBreaker(window=20),
    ConcurrencyLimit(10),
    Throttle(10),
    ReadBody(1000),
    Timeout(10),
]


def test_the_recommended_order_is_accepted() -> None:
    """The order of the documentation makes a stack, which keeps it."""
    stack = Stack(*RECOMMENDED)
    assert list(stack) == RECOMMENDED
    assert stack.policies == tuple(RECOMMENDED)
    assert len(stack) == 8


@pytest.mark.parametrize(
    ("policies", "reason"),
    [
        ([], r"a Stack needs at least one policy; seawall\.standard\(\) is the recommended one"),
        ([Retry], r"holds policies, not their classes: write Retry\(\.\.\.\)"),
        ([Timeout(1), Mine], r"holds policies, not their classes: write Mine\(\.\.\.\)"),
        ([5], r"a Stack holds policies such as Retry\(\), not 5"),
        ([None], r"a Stack holds policies such as Retry\(\), not None"),
        ([[Retry()]], r"a Stack holds policies such as Retry\(\), not \["),
        ([Retry(), Retry(2)], "two Retry policies without a name in one Stack: give each a name="),
        ([Throttle(1, name="a"), Throttle(2, name="a")], "two Throttle policies named 'a' in one Stack"),
        ([CircuitBreaker(), CircuitBreaker()], "two CircuitBreaker policies without a name"),
        ([Mine(), Mine()], "two Mine policies without a name"),
        ([Timeout(5), Timeout(5)], r"inner Timeout must be shorter .* Timeout\(5\) stands inside Timeout\(5\)"),
        ([Timeout(5), Retry(), Timeout(6)], r"Timeout\(6\) stands inside Timeout\(5\) and could never expire"),
        ([Timeout(9), Timeout(3), Timeout(4)], r"Timeout\(4\) stands inside Timeout\(3\)"),
        ([ConcurrencyLimit(5), Retry()], 'ConcurrencyLimit stands outside Retry: .* ask for it with key="client"'),
        ([Throttle(5), Retry()], 'Throttle stands outside Retry: .* ask for it with key="client"'),
        ([Throttle(5, key="endpoint"), Timeout(1), Retry()], "Throttle stands outside Retry"),
        ([Retry(), IdempotencyKey()], "IdempotencyKey stands inside Retry: each attempt would get a key of its own"),
        ([Retry(), Timeout(1), Billed()], "Billed stands inside Retry: each attempt would be billed. Put it outside"),
        ([Misspelt()], 'Misspelt: key must be "origin", "endpoint", "client" or a function .* not \'orgin\''),
        ([Nameless()], "Nameless: name must be a non-empty string or None, not ''"),
    ],
)
def test_incoherent_stacks_are_refused_with_the_reason(policies: list[Any], reason: str) -> None:
    """What cannot work as a stack is a StackError, which is a ValueError, at construction, and says why."""
    with pytest.raises(StackError, match=reason) as caught:
        Stack(*policies)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "policies",
    [
        [ConcurrencyLimit(5, key="client"), Retry()],
        [Throttle(5, key="client"), Retry()],
        [Throttle(5), Timeout(1)],
        [CircuitBreaker(), Retry()],
        [IdempotencyKey(), CircuitBreaker()],
        [Throttle(1, name="a"), Throttle(2, name="b")],
        [Throttle(1), Throttle(2, name="b")],
        [Timeout(3), Timeout(2), Timeout(1)],
        [Mine(), Retry(), Mine2 := type("Mine2", (Mine,), {})()],
    ],
    ids=[
        "limit for the client",
        "throttle for the client",
        "no retry",
        "breaker outside",
        "key without retry",
        "two names",
        "one name",
        "timeouts need none",
        "two of a user's",
    ],
)
def test_unusual_but_coherent_stacks_are_accepted(policies: list[Any]) -> None:
    """What is unusual but can be meant is let be."""
    assert list(Stack(*policies)) == policies


# -- changing


def test_replace_swaps_the_policy_of_the_same_type() -> None:
    """`replace` puts a policy in the place of its kind and leaves the others and the original alone."""
    stack = Stack(Timeout(30), Retry(), CircuitBreaker())
    changed = stack.replace(Retry(2))
    assert list(changed) == [Timeout(30), Retry(2), CircuitBreaker()]
    assert stack.policies[1] == Retry()


def test_replace_goes_by_name_too() -> None:
    """Of two of a type the one with the same name is replaced."""
    stack = Stack(Retry(), Throttle(1, name="a"), Throttle(2, name="b"))
    assert list(stack.replace(Throttle(9, name="b"))) == [Retry(), Throttle(1, name="a"), Throttle(9, name="b")]
    with pytest.raises(StackError, match=r"no Throttle named 'c' to replace in Stack\(.*\.then\(\.\.\.\) appends one"):
        stack.replace(Throttle(9, name="c"))


def test_replace_of_several_timeouts_takes_the_outermost() -> None:
    """Timeouts have no names: the outermost is the one replaced."""
    changed = standard().replace(Timeout(60)).policies
    assert (changed[0], changed[-1]) == (Timeout(60), Timeout(10))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda stack: stack.replace(Throttle(1)), r"no Throttle to replace in Stack\("),
        (lambda stack: stack.replace(Retry), r"write Retry\(\.\.\.\)"),
        (lambda stack: stack.replace(None), "not None"),
        (lambda stack: stack.replace(Timeout(1)), r"Timeout\(5\) stands inside Timeout\(1\)"),
        (lambda stack: stack.without(Throttle), r"no Throttle to leave out of Stack\("),
        (lambda stack: stack.without(Retry()), "without takes policy types such as Retry, not Retry"),
        (lambda stack: stack.without(Timeout, Retry), "at least one policy"),
        (lambda stack: stack.then(Retry()), "two Retry policies"),
        (lambda stack: stack.then(Retry), r"write Retry\(\.\.\.\)"),
    ],
)
def test_changes_that_cannot_be_are_refused(change: Any, reason: str) -> None:
    """A change is checked as a new stack is, and a policy that is not there is told."""
    with pytest.raises(StackError, match=reason):
        change(Stack(Timeout(30), Retry(), Timeout(5)))


def test_without_leaves_types_out() -> None:
    """`without` leaves every policy of the given types out."""
    stack = Stack(*RECOMMENDED)
    assert list(stack.without(Throttle, Timeout)) == [p for p in RECOMMENDED if not isinstance(p, Throttle | Timeout)]


def test_then_appends_inside() -> None:
    """`then` puts policies inside the present ones."""
    assert list(Stack(Timeout(9), Retry()).then(Throttle(1), Timeout(2))) == [
        Timeout(9),
        Retry(),
        Throttle(1),
        Timeout(2),
    ]


def test_stacks_are_values() -> None:
    """Equal policies in equal order make equal stacks with equal hashes; anything else differs."""
    one, same = Stack(Timeout(9), Retry(statuses={503})), Stack(Timeout(9), Retry(statuses=[503]))
    assert one == same
    assert hash(one) == hash(same)
    assert one != Stack(Timeout(9), Retry())
    assert one != Stack(Retry(statuses={503}), Timeout(8))
    assert one != (Timeout(9), Retry(statuses={503}))
    assert len({one, same, Stack(Timeout(9))}) == 2


def test_a_stacks_repr_is_the_call_that_makes_it() -> None:
    """The repr of a stack lists its policies in order."""
    assert repr(Stack(Timeout(2), Mine())).startswith("Stack(")
    assert repr(Stack(Timeout(2), ReadBody(7))).replace("seawall.", "") == (
        "Stack(Timeout(seconds=2, body=True), ReadBody(max_bytes=7, chunked=False))"
    )


# -- what a stack derives


@pytest.mark.parametrize(
    ("policies", "seconds"),
    [
        ([Timeout(30), Retry()], float("inf")),
        ([Timeout(30), Retry(), Timeout(5)], 5),
        ([Retry(), Timeout(9), Timeout(5)], 5),
        ([Timeout(30), Timeout(5)], 5),
        ([Timeout(30)], float("inf")),
    ],
    ids=["call only", "both", "two inner ones", "no retry", "one"],
)
def test_an_inner_timeout_bounds_the_attempt(policies: list[Any], seconds: float) -> None:
    """A Timeout inside Retry, or without one inside another Timeout, is the attempt's; the strictest wins."""
    assert Stack(*policies).attempt_timeout == seconds


def test_a_window_shorter_than_two_attempts_is_widened_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """A breaker that could never see its attempts time out gets a wider window, with one warning."""
    with caplog.at_level(logging.DEBUG, logger="seawall"):
        stack = Stack(Retry(), CircuitBreaker(window=10, open_for=7), Timeout(30))
        assert stack.policies[1] == CircuitBreaker(window=60, open_for=7)
        list(stack.then(Throttle(1)).without(Throttle))
    assert [(record.name, record.levelname) for record in caplog.records] == [("seawall", "WARNING")]
    assert caplog.messages == [
        "CircuitBreaker(window=10) widened to 60 s, twice the attempt timeout, so that it can see attempts time out"
    ]


def test_a_window_that_is_wide_enough_is_let_be(caplog: pytest.LogCaptureFixture) -> None:
    """Twice the attempt timeout is enough; without one there is nothing to compare with."""
    with caplog.at_level(logging.DEBUG, logger="seawall"):
        assert CircuitBreaker(window=10) in Stack(CircuitBreaker(window=10), Retry(), Timeout(5))
        assert CircuitBreaker(window=10) in Stack(Timeout(30), CircuitBreaker(window=10))
        standard()
    assert caplog.messages == []


def test_the_standard_stack_has_its_documented_values() -> None:
    """`seawall.standard()` is the recommended stack of the documentation, equal each time."""
    assert list(standard()) == [
        Timeout(30, body=False),
        Retry(),
        CircuitBreaker(window=20),
        ConcurrencyLimit(100),
        Throttle(None),
        Timeout(10),
    ]
    assert standard() == standard()
    for policy in standard():  # each is explained
        assert f"- `{type(policy).__name__}(" in (standard.__doc__ or "")


def test_stacks_cannot_be_changed_in_place() -> None:
    """A stack has no room for other attributes, and its policies are a tuple."""
    stack = standard()
    with pytest.raises(AttributeError):
        stack.other = 1  # type: ignore[attr-defined]
    assert isinstance(stack.policies, tuple)


def test_a_window_is_widened_only_for_the_timeouts_it_stands_with() -> None:
    """Replacing policies one by one gives the same stack as writing it at once: widening leaves no trace."""
    step_by_step = standard().without(Timeout).replace(CircuitBreaker(window=1)).then(Timeout(0.2))
    (breaker,) = (policy for policy in step_by_step if isinstance(policy, CircuitBreaker))
    assert breaker.window == 1
    widened = standard().replace(CircuitBreaker(window=1))
    assert widened.without(Timeout).replace(Retry()).policies[1] == CircuitBreaker(window=1)
