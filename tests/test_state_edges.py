"""Edges of what is remembered: how circuits are found, when a key goes, what a sweep looks at."""

import re
from typing import Any

import pytest
from calls import URL, client

from seawall import CircuitBreaker, State
from seawall.testing import ScriptedServer, VirtualRuntime


def circuits(*keys: Any) -> State:
    """A state that knows the circuits of these keys."""
    state = State()

    async def main() -> None:
        policy = CircuitBreaker(key=lambda request: request.extensions["key"])
        async with client(ScriptedServer(), policy, state=state) as c:
            for key in keys:
                await c.get(URL, extensions={"key": key})

    VirtualRuntime().run(main())
    return state


@pytest.mark.parametrize("key", [42, ("a", 1), "BOX", None])
def test_a_circuit_is_found_by_a_key_of_any_kind(key: Any) -> None:
    """What the policy's key function gives is what it is called, be it no string; nothing but slashes is cut off."""
    assert circuits("BO", key, "other").circuit(key).key == key


def test_a_key_that_is_near_to_none_lists_some() -> None:
    """Nothing being similar, three of those there are show what keys look like."""
    with pytest.raises(KeyError, match=re.escape("no circuit 'qqqq'; there is 'abc', 'def', 'ghi'")) as unknown:
        circuits("abc", "def", "ghi", "jkl").circuit("qqqq")
    assert "jkl" not in str(unknown.value)


def test_a_key_that_is_near_to_many_lists_three() -> None:
    """The most similar ones come first."""
    with pytest.raises(KeyError) as unknown:
        circuits("zzzz", "orders-4", "orders-1x", "orders-2", "orders-3").circuit("orders")
    assert str(unknown.value).count("orders-") == 3
    with pytest.raises(KeyError, match=re.escape("there is '11112'\"")):
        circuits("zzzz", "11112").circuit(11111)


def test_a_key_that_is_somewhat_near_is_listed_alone() -> None:
    """Half of the letters are enough to be meant."""
    with pytest.raises(KeyError, match=re.escape("there is 'abcdxxxx'\"")):
        circuits("zzzz", "abcdxxxx").circuit("abcdyyyy")


def test_the_bounds_of_a_state_are_the_documented_ones() -> None:
    """10,000 keys, ten minutes; a bound of one key is a bound, and what is none is named."""
    assert (State().max_keys, State().idle) == (10_000, 600.0)
    assert (State(max_keys=1).max_keys, State(idle=0.5).idle) == (1, 0.5)
    with pytest.raises(ValueError, match=r"^State: max_keys must"):
        State(max_keys=0)
    with pytest.raises(ValueError, match=r"^State: idle must"):
        State(idle=0)
