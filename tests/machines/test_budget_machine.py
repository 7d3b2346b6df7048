"""Retry's budget under many calls at once: what is paid, what comes back, and that it is never overdrawn."""

from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from stepping import INF, Cancelled, Runtime, Stepped, park

from seawall import Retry, RetryBudget
from seawall.backoff import THROTTLED

FAILURES = [429, 500, 503, OSError]
ATTEMPTS = 4


class Outcome:
    """What an attempt comes to, set by the machine while it is on its way."""

    answer: Any = None


class RetryingCall(Stepped):
    """A call in Retry's loop; `sleeping` before a retry, else an attempt of it is on its way."""

    def __init__(self, runtime: Runtime, policy: Retry, state: Any) -> None:
        self.outcome = Outcome()
        self.number = 1
        self.paid = 0.0  # for the attempt that is on its way, or slept for
        self.sleeping = False
        self.trail = SimpleNamespace(started=runtime.time, attempts=[], gave_up=None)
        family = SimpleNamespace(
            replay=lambda _: lambda: None,
            failed=lambda error: isinstance(error, OSError),
            not_sent=lambda _: False,
            disconnected=(),
        )
        call: Any = SimpleNamespace(
            runtime=runtime, trail=self.trail, deadline=INF, key="k", endpoint="*", reused=False, waited=0.0,
            request=SimpleNamespace(method="GET", headers={}, stream=None), options=SimpleNamespace(idempotent=None),
            family=family, chain=SimpleNamespace(listeners=(), family=family, bytes_stream=None),
        )  # fmt: skip
        super().__init__(policy.handle(call, state, self.send))

    async def send(self, call: Any) -> Any:
        await park()
        answer = self.outcome.answer
        if answer is OSError:
            raise OSError
        return SimpleNamespace(status_code=answer, headers={}, is_closed=True)


class BudgetModel(RuleBasedStateMachine):
    """Calls succeed, fail, sleep before a retry and are cancelled at any point, all on one bucket of tokens."""

    @initialize(
        capacity=st.sampled_from([3, 10, 30]),
        transient=st.sampled_from([0, 2.5, 7]),
        throttled=st.sampled_from([1, 5]),
        success=st.sampled_from([0, 0.5, 1]),
    )
    def begin(self, capacity: float, transient: float, throttled: float, success: float) -> None:
        budget = RetryBudget(capacity, transient, throttled, success)
        self.budget = budget
        self.policy = Retry(ATTEMPTS, wait=lambda _: 1.0, budget=budget)
        self.state = self.policy.new_state()
        self.runtime = Runtime()
        self.tokens = float(capacity)
        self.calls: list[RetryingCall] = []

    def give(self, tokens: float) -> None:
        self.tokens = min(self.budget.capacity, self.tokens + tokens)

    def some(self, data: Any, sleeping: bool) -> RetryingCall | None:
        found = [call for call in self.calls if call.sleeping == sleeping]
        return data.draw(st.sampled_from(found)) if found else None

    @rule()
    def call(self) -> None:
        self.calls.append(RetryingCall(self.runtime, self.policy, self.state))

    @rule(data=st.data(), status=st.sampled_from([200, 404]))
    def succeed(self, data: Any, status: int) -> None:
        """At once it funds others; after a retry it gives back what that one took, and no more."""
        call = self.some(data, sleeping=False)
        if call is not None:
            self.calls.remove(call)
            call.outcome.answer = status
            call.step()
            assert call.result.status_code == status
            self.give(self.budget.success if call.number == 1 else call.paid)

    @rule(data=st.data(), answer=st.sampled_from(FAILURES))
    def fail(self, data: Any, answer: Any) -> None:
        """The next attempt is paid for before the sleep; what does not suffice is not touched."""
        call = self.some(data, sleeping=False)
        if call is None:
            return
        call.outcome.answer = answer
        call.step()
        cost = self.budget.throttled if answer in THROTTLED else self.budget.transient
        why = "attempts" if call.number == ATTEMPTS else "budget" if self.tokens < cost else None
        assert call.trail.gave_up == why
        assert call.done == (why is not None)
        if why is None:
            self.tokens -= cost
            call.paid, call.number, call.sleeping = cost, call.number + 1, True
        else:
            self.calls.remove(call)
            assert isinstance(call.error, OSError) if answer is OSError else call.result.status_code == answer

    @rule(data=st.data())
    def wake(self, data: Any) -> None:
        """A sleep ends, and the attempt that was paid for goes out."""
        call = self.some(data, sleeping=True)
        if call is not None:
            call.step()
            assert not call.done
            call.sleeping = False

    @rule(data=st.data(), sleeping=st.booleans())
    def cancel(self, data: Any, sleeping: bool) -> None:
        """What the retry took comes back, whether it slept or was on its way."""
        call = self.some(data, sleeping)
        if call is not None:
            self.calls.remove(call)
            call.cancel()
            assert isinstance(call.error, Cancelled)
            self.give(call.paid)

    @invariant()
    def agrees(self) -> None:
        """Never overdrawn, never above its capacity, to the token what the model holds."""
        if hasattr(self, "state"):
            assert self.state.tokens == self.tokens
            assert 0 <= self.state.tokens <= self.budget.capacity
            assert self.state.idle(0.0) == (self.tokens == self.budget.capacity)
            assert self.state.snapshot() == {"tokens": self.tokens, "capacity": self.budget.capacity}

    def teardown(self) -> None:
        """No coroutine is left behind."""
        for call in getattr(self, "calls", ()):
            call.cancel()


TestBudgetModel = BudgetModel.TestCase
