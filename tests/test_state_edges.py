"""Edges of what is remembered: how circuits are found, when a key goes, what a sweep looks at."""

import re
from typing import Any

import pytest
from calls import URL, client

from seawall import CircuitBreaker, ConcurrencyLimit, StackError, State, _fork
from seawall._policy import Chain
from seawall._state import LOOKS
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


def test_names_are_checked_behind_a_policy_without_one() -> None:
    """One without a name is passed over; the next one may still be of a name that is taken."""
    state = State()
    state.adopt([ConcurrencyLimit(1, name="mine")])
    with pytest.raises(StackError, match="'mine' is used for two different ConcurrencyLimit"):
        state.adopt([CircuitBreaker(), ConcurrencyLimit(2, name="mine")])


def test_after_a_fork_every_state_is_empty() -> None:
    """What runs in a forked child leaves no State out."""
    states = [circuits("a"), circuits("b")]
    assert all(state in _fork._known for state in states)
    for state in states:
        state.after_fork()
    assert [list(state.circuits()) for state in states] == [[], []]


# -- chains, as transports make them

LIMIT = ConcurrencyLimit(1)


def found(state: State, owner: str, key: str, now: float = 0.0) -> Chain:
    """The chain of an owner's call, made if need be; it is used now."""

    def build() -> Chain:
        nothing: Any = None
        cells = (state.cell(LIMIT, "limit", key),)
        return Chain(enter=nothing, endpoint="*", origin=key, family=None, body=None, transport=None, cells=cells)

    place = owner, "*", key
    chain = state.chains.get(place) or state.add_chain(place, now, build)
    chain.used = now
    return chain


def cells(state: State) -> list[Any]:
    return [cell.key for cell in state._all_cells()]


def test_two_who_make_the_same_chain_get_one() -> None:
    """Of two threads that found none, the second gets what the first has made meanwhile."""
    state = State()
    chain = found(state, "a", "x")
    assert state.add_chain(("a", "*", "x"), 0.0, lambda: pytest.fail("it is there")) is chain


def test_a_key_evicted_in_use_is_what_it_was_when_it_comes_back() -> None:
    """As long as a call under way holds its chain, there is one state for its key."""
    state = State(max_keys=1)
    chain = found(state, "a", "x")
    found(state, "a", "y", 1.0)
    assert cells(state) == ["y"]
    assert found(state, "b", "x", 2.0).cells == chain.cells


def test_closing_a_client_leaves_the_others_chains() -> None:
    """Only its own go, and what they know stays."""
    state = State()
    kept = found(state, "a", "x")
    found(state, "b", "y")
    state.forget("b", 0.0)
    assert list(state.chains.values()) == [kept]
    assert cells(state) == ["x", "y"]


def test_what_closed_clients_left_goes_when_it_has_been_idle() -> None:
    """Even if the chains that are in use are all young."""
    state = State(idle=10.0)
    found(state, "a", "x")
    state.forget("a", 0.0)
    found(state, "b", "y", 10.0)
    assert cells(state) == ["x", "y"]
    found(state, "b", "z", 10.5)
    assert cells(state) == ["y", "z"]


def test_what_closed_clients_left_counts_towards_the_bound() -> None:
    """It goes first when there are too many keys, and chains that are used stay."""
    state = State(max_keys=2)
    found(state, "a", "x")
    state.forget("a", 0.0)
    found(state, "b", "y", 1.0)
    assert cells(state) == ["x", "y"]
    chain = found(state, "b", "y", 2.0)
    found(state, "b", "z", 3.0)
    assert cells(state) == ["y", "z"]
    assert chain is found(state, "b", "y", 4.0)


def test_a_chain_goes_only_when_it_has_been_idle_for_longer() -> None:
    """At the very instant it stays."""
    state = State(idle=10.0)
    found(state, "a", "x", 5.0)
    found(state, "a", "y", 15.0)
    assert cells(state) == ["x", "y"]
    found(state, "a", "z", 15.5)
    assert cells(state) == ["y", "z"]


def test_the_bound_holds_even_if_everything_was_just_used() -> None:
    """Of the few that are looked at the last is not spared."""
    state = State(max_keys=LOOKS)
    for number in range(3 * LOOKS):
        for key in list(cells(state)):
            found(state, "a", key, number + 0.5)
        found(state, "a", f"k{number}", number + 0.75)
        assert len(state.chains) <= LOOKS


def test_what_closed_clients_left_and_cannot_go_yet_counts_towards_the_bound() -> None:
    """A limit with a call in flight is kept without a chain, and an unused chain goes in its place."""
    state = State(max_keys=3)
    assert found(state, "a", "x").cells[0].state.try_enter()
    state.forget("a", 0.0)
    for now, key in enumerate("yzw", 1):
        found(state, "b", key, float(now))
    assert cells(state) == ["x", "z", "w"]


def test_a_chain_is_measured_from_its_last_use() -> None:
    """One that was made long ago stays for as long after its last use as any other, to the instant."""
    state = State(idle=10.0)
    found(state, "a", "x", 0.0)
    found(state, "a", "x", 5.0)
    found(state, "a", "y", 15.0)
    assert cells(state) == ["x", "y"]


def test_what_was_used_is_spared_if_something_that_is_looked_at_was_not() -> None:
    """Of as many chains as one look covers only the unused one goes, be it the last of them."""
    state = State(max_keys=LOOKS)
    keys = [f"k{number}" for number in range(LOOKS)]
    for key in keys:
        found(state, "a", key, 0.0)
    for key in keys[:-1]:
        found(state, "a", key, 1.0)
    found(state, "a", "new", 2.0)
    assert cells(state) == [*keys[:-1], "new"]
