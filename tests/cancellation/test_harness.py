"""The harness itself: it strikes at every suspension, and what a call leaves behind does not escape it."""

import gc
import warnings
from dataclasses import dataclass
from typing import Any

import pytest

from seawall import ConcurrencyLimit, IdempotencyKey, Policy, Stack, Timeout
from seawall.testing import reply

from .stage import Scenario, Stage, every_point, run
from .strikes import DRIVERS, STRUCK, Strike

pytestmark = pytest.mark.parametrize("driver", list(DRIVERS))


@dataclass(frozen=True, slots=True)
class Keeps(ConcurrencyLimit):
    """Forgets to give its slot back when a call fails."""

    def failed(self, call: Any, state: Any, error: BaseException) -> None:
        pass


@dataclass(frozen=True)
class Swallows(Policy[None]):
    """Sends a call again whatever happened to it, a cancellation included."""

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        try:
            return await next(call)
        except BaseException:
            return await next(call)


@dataclass(frozen=True)
class Drops(Policy[None]):
    """Waits with a response in its hands, and lets it fall when it is cancelled."""

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        response = await next(call)
        await call.runtime.sleep(1)
        return response


@dataclass(frozen=True)
class Replaces(Policy[None]):
    """Turns a cancellation into an error of its own."""

    async def handle(self, call: Any, state: None, next: Any) -> Any:
        try:
            return await next(call)
        except BaseException as error:
            raise ValueError("replaced") from error


def found(driver: str, message: str, *policies: Policy[Any], **options: Any) -> None:
    """The harness says this of these policies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # what a failed run leaves is collected here, where it belongs
        with pytest.raises(AssertionError, match=message):
            every_point(driver, Scenario(stack=lambda: Stack(*policies), **options), "cancel", "waiting")
        gc.collect()


def test_each_suspension_has_its_turn(driver: str):
    """A call that suspends five times is struck five times, and no further."""

    async def act(stage: Stage) -> Any:
        for _ in range(5):
            await stage.driver.sleep(1)
        return reply(200)

    scenario = Scenario(stack=lambda: Stack(IdempotencyKey()), act=act, ends=type(reply()))
    struck = [run(driver, scenario, Strike("cancel", "woken", number)).outcome for number in range(7)]
    assert struck == [type(reply()), *[STRUCK] * 5, type(reply())]
    assert every_point(driver, scenario, "cancel", "waiting") == 5


def test_a_call_that_is_woken_by_our_deadline_can_still_be_struck(driver: str):
    """The caller's cancellation wins over a deadline of ours that fell due within the same tick."""
    scenario = Scenario(stack=lambda: Stack(Timeout(1)), script=(reply(after=9),))
    assert run(driver, scenario, Strike("cancel", "woken", 1)).outcome == STRUCK


def test_a_slot_that_is_kept_is_found(driver: str):
    """A slot in use after everything ended is reported."""
    found(driver, "Keeps is not idle: {'in_use': 1}", Keeps(2))


def test_a_cancellation_that_is_swallowed_is_found(driver: str):
    """A call that goes on although it was cancelled is reported. In trio it cannot: it is cancelled anew."""
    if driver == "trio":
        return
    found(driver, "the call ended with 200|out of balance", Swallows())


def test_a_cancellation_that_is_replaced_is_found(driver: str):
    """A call that ends with another error than what struck it is reported."""
    found(driver, "the call ended with <class 'ValueError'>|out of balance", Replaces())


def test_a_response_that_is_dropped_is_found(driver: str):
    """A response that nobody closed is reported."""
    found(driver, "a response is still open", Drops(), ConcurrencyLimit(1))
