"""The public surface: names, signatures, the error tree, values. Programs elsewhere are written against it."""

import dataclasses
import inspect
import pickle
import subprocess
import sys
from typing import Any

import httpx
import pytest
import tenacity

import seawall
import seawall.httpx
import seawall.httpx2
import seawall.testing
import seawall.testing.simulation
from seawall import (
    CircuitBreaker,
    ConcurrencyLimit,
    Endpoints,
    IdempotencyKey,
    ReadBody,
    Retry,
    RetryBudget,
    Stack,
    State,
    Throttle,
    Timeout,
    full_jitter,
)

EXPORTS = """
    Attempt Call CallEnded CallRejected Circuit CircuitBreaker CircuitChanged CircuitOpen ConcurrencyLimit Endpoints
    Event GaveUp IdempotencyKey Next OptionError Paused Policy QueueFull ReadBody Rejected Report Retry RetryBudget
    RetryScheduled SeawallError Stack StackError State Throttle TimedOut Timeout WaitTooLong full_jitter options report
    standard
"""
SIMULATION = """
    OUTCOMES SCENARIOS Arrivals Bursts Calls Closed Constant Distribution Empirical Exponential Lognormal Poisson Quota
    Result Scenario Schedule Server Simulation Sometimes Tally Trace Traffic overload read_scenario
    scenario_toml simulate
"""
STATUSES = frozenset({408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})
PARTITION = {"key": "origin", "name": None}

# type, its positional parameters, its keyword-only ones with their defaults; REQUIRED has no default
REQUIRED: Any = inspect.Parameter.empty
SIGNATURES: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    (Timeout, {"seconds": REQUIRED}, {"body": True}),
    (
        Retry,
        {"attempts": 4},
        {
            "wait": full_jitter(base=0.25, cap=20),
            "stop": None,
            "retry": None,
            "statuses": STATUSES,
            "methods": METHODS,
            "max_retry_after": 60,
            "budget": RetryBudget(),
            **PARTITION,
        },
    ),
    (RetryBudget, {"capacity": 500, "transient": 14, "throttled": 5, "success": 1}, {}),
    (
        CircuitBreaker,
        {},
        {
            "failure_rate": 0.5,
            "minimum_calls": 20,
            "window": 10,
            "consecutive": None,
            "slow_call": None,
            "slow_rate": 1,
            "open_for": 5,
            "max_open_for": 300,
            "probes": 1,
            "shadow": False,
            "listeners": (),
            **PARTITION,
        },
    ),
    (
        Throttle,
        {"rate": REQUIRED, "per": 1},
        {"burst": None, "max_wait": None, "follow_server": True, "strict": False, **PARTITION},
    ),
    (
        ConcurrencyLimit,
        {"limit": REQUIRED},
        {"queue": None, "max_wait": None, "release_on": "body", **PARTITION},
    ),
    (ReadBody, {"max_bytes": REQUIRED}, {"chunked": False}),
    (IdempotencyKey, {"methods": frozenset({"POST"})}, {}),
    (State, {"max_keys": 10_000, "idle": 600}, {}),
    (full_jitter, {"base": 0.25, "cap": 20, "throttled": 1}, {}),
    (Endpoints, {"stacks": REQUIRED, "default": None}, {}),
    (
        seawall.httpx.AsyncTransport,
        {"policies": None},
        {"transport": None, "state": None, "listeners": ()},
    ),
    (
        seawall.httpx.AsyncPool,
        {"max_connections": 100},
        {
            "max_keepalive": 20,
            "keepalive_expiry": 5,
            "http1": True,
            "http2": False,
            "verify": True,
            "cert": None,
            "trust_env": True,
            "proxy": None,
            "uds": None,
            "local_address": None,
            "retries": 0,
            "socket_options": None,
        },
    ),
]
POLICIES = [
    Timeout(30),
    Retry(3, statuses={503}),
    CircuitBreaker(consecutive=5),
    Throttle(10, per=2),
    ConcurrencyLimit(5, queue=3),
    ReadBody(1000),
    IdempotencyKey(),
    RetryBudget(),
]
CHANGES: list[dict[str, Any]] = [
    {"seconds": 31},
    {"attempts": 2},
    {"probes": 2},
    {"rate": 11},
    {"limit": 6},
    {"max_bytes": 1},
    {"methods": {"PATCH"}},
    {"capacity": 1},
]


def names(items: list[Any]) -> list[str]:
    return [type(item).__name__ if not isinstance(item, type) else item.__name__ for item in items]


def public(module: Any) -> list[str]:
    """What a module has that looks public, modules aside."""
    return sorted(n for n in dir(module) if n[0] != "_" and not inspect.ismodule(getattr(module, n)))


# -- names


def test_seawall_exports_exactly_its_public_names() -> None:
    """`seawall.__all__` is the documented surface, no more and no less."""
    assert sorted(seawall.__all__) == sorted(EXPORTS.split())
    assert set(public(seawall)) - {"TYPE_CHECKING", "Any"} == set(seawall.__all__)


def test_seawall_httpx_exports_exactly_its_public_names() -> None:
    """`seawall.httpx.__all__` is clients, transports and pools, each in two kinds, and what protects other clients."""
    kinds = ["AsyncClient", "AsyncPool", "AsyncTransport", "Client", "Pool", "Transport"]
    assert seawall.httpx.__all__ == [*kinds, "protect", "unprotect"]
    assert seawall.httpx2.__all__ == seawall.httpx.__all__
    assert seawall.protect is seawall.httpx.protect is seawall.httpx2.protect
    assert seawall.unprotect is seawall.httpx.unprotect


def test_seawall_testing_exports_exactly_its_public_names() -> None:
    """`seawall.testing.__all__` is the documented test kit."""
    assert sorted(seawall.testing.__all__) == sorted(
        ["Cancelled", "Received", "Recorder", "Reply", "ScriptedServer", "Task", "VirtualRuntime", "reply"]
    )


def test_seawall_testing_simulation_exports_exactly_its_public_names() -> None:
    """`seawall.testing.simulation.__all__` is the documented simulator."""
    assert sorted(seawall.testing.simulation.__all__) == sorted(SIMULATION.split())


@pytest.mark.parametrize(
    "module", [seawall, seawall.httpx, seawall.testing, seawall.testing.simulation], ids=lambda m: m.__name__
)
def test_everything_public_has_a_docstring(module: Any) -> None:
    """Every public class, function and public method defined by Seawall says what it does."""
    undocumented = []
    for name in module.__all__:
        thing = getattr(module, name)
        if name == "Next":
            continue  # a type alias, documented where it is defined
        if not thing.__doc__ or thing.__doc__.startswith(f"{name}("):  # what a dataclass writes for itself
            undocumented.append(name)
        for attribute, member in vars(thing).items() if isinstance(thing, type) else ():
            documented = inspect.isfunction(member) or isinstance(member, property)
            if attribute[0] != "_" and documented and not inspect.getdoc(getattr(thing, attribute)):
                undocumented.append(f"{name}.{attribute}")
    # the protocol of httpx and of policies is documented where it is defined
    allowed = ("handle", "new_state", "unsupported", "bind", "handle_request", "handle_async_request", "new_pool")
    runtime = ("VirtualRuntime.waiter", "VirtualRuntime.home", "VirtualRuntime.within")  # documented on `Runtime`
    assert [n for n in undocumented if n.rpartition(".")[2] not in allowed and n not in runtime] == []


def test_public_names_show_their_public_module() -> None:
    """Tracebacks and documentation show `seawall.Retry`, not the private module it is written in."""
    things = (getattr(seawall, name) for name in seawall.__all__ if name != "Next")  # a type alias, not a thing
    assert {thing.__module__ for thing in things} == {"seawall"}
    kinds = [thing for name in seawall.httpx.__all__ if isinstance(thing := getattr(seawall.httpx, name), type)]
    assert {thing.__module__ for thing in kinds} == {seawall.httpx.__name__}
    assert seawall.protect.__module__ == seawall.unprotect.__module__ == "seawall"


def test_importing_seawall_imports_no_http_library() -> None:
    """`import seawall` loads neither httpx nor httpx2 nor httpcore; `seawall.httpx` is reached lazily afterwards."""
    script = (
        "import sys, seawall\n"
        "assert not {'httpx', 'httpx2', 'httpcore', 'seawall.httpx'} & sys.modules.keys(), sorted(sys.modules)\n"
        "seawall.standard()\n"
        "assert 'httpx' not in sys.modules\n"
        "assert seawall.httpx.AsyncClient.__name__ == 'AsyncClient'\n"
        "assert 'httpx' in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(("library", "other"), [("httpx", "httpx2"), ("httpx2", "httpx")])
def test_a_family_imports_its_own_library_and_little_else(library: str, other: str) -> None:
    """`seawall.httpx` loads httpx, tenacity and pybreaker; not httpx2, and nothing slow that few programs need."""
    slow = {other, "asyncio", "trio", "aiolimiter", "difflib", "ssl", "uuid", "respx", "hypothesis"}
    slow |= {"seawall._events", "seawall._streams"}  # what is told, and HTTP/2
    script = (
        f"import sys, {library}\n"
        "before = set(sys.modules)\n"
        f"import seawall.{library}\n"
        f"assert not {slow} & (set(sys.modules) - before), set(sys.modules) - before\n"
        f"assert {other!r} not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    """A misspelt name is an AttributeError that names the module and the attribute."""
    with pytest.raises(AttributeError, match=r"module 'seawall' has no attribute 'Rety'"):
        seawall.Rety  # noqa: B018


def test_the_package_is_typed_and_has_a_version() -> None:
    """Type checkers find `py.typed`, people find `__version__`."""
    from importlib.resources import files

    assert files("seawall").joinpath("py.typed").is_file()
    assert seawall.__version__.count(".") == 2


# -- signatures


@pytest.mark.parametrize(("thing", "positional", "keywords"), SIGNATURES, ids=names([s[0] for s in SIGNATURES]))
def test_signature(thing: Any, positional: dict[str, Any], keywords: dict[str, Any]) -> None:
    """Parameters, their kinds and their defaults are the documented ones."""
    parameters = inspect.signature(thing).parameters.values()
    kinds = inspect.Parameter
    assert [p.name for p in parameters if p.kind is kinds.POSITIONAL_OR_KEYWORD] == list(positional)
    assert {p.name for p in parameters if p.kind is kinds.KEYWORD_ONLY} == set(keywords)
    assert {p.name: p.default for p in parameters if p.default is p.empty} == {
        name: default for name, default in (positional | keywords).items() if default is REQUIRED
    }
    if dataclasses.is_dataclass(thing):  # a factory hides what the default is: look at the values themselves
        made: Any = thing(*(1 for default in positional.values() if default is REQUIRED))
        shown = {f.name: getattr(made, f.name) for f in dataclasses.fields(thing)}
        expected = {n: 1 if d is REQUIRED else d for n, d in (positional | keywords).items()}
        assert shown == expected
    else:
        assert {p.name: p.default for p in parameters} == positional | keywords


@pytest.mark.parametrize(
    ("sync", "asynchronous"),
    [
        (seawall.httpx.Client, seawall.httpx.AsyncClient),
        (seawall.httpx.Transport, seawall.httpx.AsyncTransport),
        (seawall.httpx.Pool, seawall.httpx.AsyncPool),
    ],
    ids=["Client", "Transport", "Pool"],
)
def test_sync_and_async_take_the_same_arguments(sync: Any, asynchronous: Any) -> None:
    """A sync class takes what its async twin takes."""
    assert inspect.signature(sync) == inspect.signature(asynchronous)


def test_clients_are_httpx_clients_and_take_what_httpx_takes() -> None:
    """The front door subclasses httpx's own clients; policies come first, the rest are keywords and httpx's own."""
    assert issubclass(seawall.httpx.Client, httpx.Client)
    assert issubclass(seawall.httpx.AsyncClient, httpx.AsyncClient)
    own = inspect.signature(seawall.httpx.Client).parameters
    positional = [name for name, p in own.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ["policies"]
    with seawall.httpx.Client(base_url="https://a.example", headers={"x": "1"}, timeout=3, auth=("u", "p")) as client:
        assert client.base_url == "https://a.example"
        assert client.headers["x"] == "1"
        assert client.timeout == httpx.Timeout(3)


def test_transports_and_pools_are_httpx_transports() -> None:
    """The layers below are transports of httpx, usable in its own clients."""
    assert issubclass(seawall.httpx.Transport, httpx.BaseTransport)
    assert issubclass(seawall.httpx.Pool, httpx.BaseTransport)
    assert issubclass(seawall.httpx.AsyncTransport, httpx.AsyncBaseTransport)
    assert issubclass(seawall.httpx.AsyncPool, httpx.AsyncBaseTransport)


def test_options_are_keywords_only() -> None:
    """`seawall.options` knows these names, as keywords."""
    for name, value in {
        "priority": 1,
        "cost": 2,
        "idempotent": True,
        "timeout": 1,
        "deadline": 1,
        "tenant": "a",
    }.items():
        with seawall.options(**{name: value}):  # type: ignore[arg-type]
            pass
    with seawall.options(skip=["retry"]), pytest.raises(TypeError):
        seawall.options(1).__enter__()  # type: ignore[call-arg]


def test_full_jitter_is_a_tenacity_strategy() -> None:
    """`full_jitter` combines with tenacity's wait strategies, and says so when it is used outside of Seawall."""
    assert isinstance(full_jitter(), tenacity.wait.wait_base)
    assert isinstance(full_jitter() + tenacity.wait_fixed(1), tenacity.wait.wait_base)
    assert repr(full_jitter(1, 2)) == "full_jitter(base=1, cap=2, throttled=1)"
    with pytest.raises(TypeError, match=r"full_jitter draws from Seawall's runtime"):
        tenacity.Retrying(wait=full_jitter(), sleep=lambda _: None)(lambda: 1 / 0)


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (seawall.Report, "endpoint key attempts queued throttled elapsed gave_up"),
        (seawall.Attempt, "number started elapsed status error waited retry_after hedged"),
    ],
    ids=["Report", "Attempt"],
)
def test_report_records_have_the_documented_fields(record: Any, fields: str) -> None:
    """`Report` and `Attempt` are frozen records of exactly these fields."""
    assert [f.name for f in dataclasses.fields(record)] == fields.split()
    assert record.__dataclass_params__.frozen


# -- values


@pytest.mark.parametrize(("policy", "change"), list(zip(POLICIES, CHANGES, strict=True)), ids=names(POLICIES))
def test_policies_are_frozen_values(policy: Any, change: dict[str, Any]) -> None:
    """A policy cannot be changed; equal settings are equal and hash alike, different ones differ."""
    field, value = next(iter(change.items()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(policy, field, value)
    copy, other = dataclasses.replace(policy), dataclasses.replace(policy, **change)
    assert copy == policy
    assert hash(copy) == hash(policy)
    assert other != policy
    assert len({policy, copy, other}) == 2


@pytest.mark.parametrize("policy", POLICIES, ids=names(POLICIES))
def test_policies_pickle(policy: Any) -> None:
    """A policy goes through pickle, and comes out equal."""
    assert pickle.loads(pickle.dumps(policy)) == policy


@pytest.mark.parametrize("policy", POLICIES, ids=names(POLICIES))
def test_a_policys_repr_shows_its_type_and_first_setting(policy: Any) -> None:
    """A policy's repr reads like the call that makes it."""
    field = dataclasses.fields(policy)[0]
    shown = repr(policy).replace("seawall.", "")
    assert shown.startswith(f"{type(policy).__name__}({field.name}={getattr(policy, field.name)!r}")


def test_a_stack_pickles() -> None:
    """A whole stack goes through pickle, to configure worker processes with."""
    stack = Stack(Timeout(30), Retry(), CircuitBreaker(), Timeout(5))
    copy = pickle.loads(pickle.dumps(stack))
    assert copy == stack
    assert copy.attempt_timeout == 5
