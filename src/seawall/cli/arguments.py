"""The command line's grammar: what may be given, and what is said about anything else.

Everything is checked before anything is sent. A message names the argument, what was given and what is
allowed, except that secrets are not repeated: header values, and whatever stands before an `@` in a URL.
"""

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx

import seawall
from seawall.testing.simulation import SCENARIOS, Scenario, read_scenario, scenario_toml
from seawall.testing.simulation.files import near

from .demo import Demo
from .get import Get, Header
from .redaction import printable, redacted
from .simulation import Simulate

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: methods and header names
_ALLOWED = "letters, digits and !#$%&'*+-.^_`|~"
_SHORTEST, _LONGEST = 0.001, 86_400.0  # seconds; up to a day


class Command(Protocol):
    """A command with its settings, ready to run."""

    def run(self) -> int: ...


def parse(argv: Sequence[str] | None) -> Command:
    """The command that `argv` asks for; on bad usage, a message on stderr and SystemExit(2)."""
    given = _parser().parse_args(argv)
    if given.command == "demo":
        return Demo(given.requests, given.concurrency, given.duration, given.seed)
    if given.command == "simulate":
        return Simulate(
            config=given.config,
            against=tuple(given.against),
            scenario=given.scenario[0],
            source=given.scenario[1:],
            url=None if given.url is None else str(given.url.copy_with(userinfo=b"")),  # nobody is logged in to
            seed=given.seed,
            html=given.html,
        )
    return Get(
        urls=tuple(given.urls),
        method=given.method,
        headers=tuple(given.headers),
        timeout=given.timeout,
        concurrency=given.concurrency,
        follow=given.follow,
        as_json=given.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seawall",
        description="Makes an httpx client survive the network it talks to.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"seawall {seawall.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(
        commands.add_parser(
            "demo", help="the same traffic with and without Seawall, on this machine", allow_abbrev=False
        )
    )
    _add_get(
        commands.add_parser(
            "get", help="send requests through the standard stack, show what happened", allow_abbrev=False
        )
    )
    _add_simulate(
        commands.add_parser(
            "simulate", help="a stack of yours and a server in trouble, in virtual time", allow_abbrev=False
        )
    )
    return parser


def _add_demo(demo: argparse.ArgumentParser) -> None:
    demo.description = (
        "Starts a flaky HTTP server on loopback (latency, 5xx, 429 with Retry-After, resets, truncated bodies, "
        "an outage), sends it the same traffic through bare httpx and through a protected client, and compares."
    )
    demo.add_argument("--requests", type=_whole(1, 100_000), default=600, metavar="N", help="per client (%(default)s)")
    demo.add_argument(
        "--concurrency",
        type=_whole(1, 10_000),
        default=50,
        metavar="N",
        help="connections per client (%(default)s)",
    )
    demo.add_argument(
        "--seed", type=_whole(0, 2**63), default=1, metavar="N", help="of the server's faults (%(default)s)"
    )
    demo.add_argument(
        "--duration",
        type=_seconds,
        default=6.0,
        metavar="S",
        help="seconds of traffic per client (%(default)g)",
    )


def _add_get(get: argparse.ArgumentParser) -> None:
    get.description = (
        "Sends each URL through seawall.standard() and prints its attempts, waits and outcome. "
        "Exit status: 0 if every final answer is below 400, 1 if not, 2 for bad usage."
    )
    get.add_argument("urls", nargs="+", type=_url, metavar="URL")
    get.add_argument("-X", "--method", type=_method, default="GET", metavar="METHOD", help="(%(default)s)")
    get.add_argument(
        "-H", "--header", type=_header, action="append", default=[], dest="headers", metavar="'Name: value'"
    )
    get.add_argument(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="seconds per URL, retries included (%(default)g)",
    )
    get.add_argument(
        "--concurrency", type=_whole(1, 10_000), default=10, metavar="N", help="URLs at a time (%(default)s)"
    )
    get.add_argument("-L", "--follow", action="store_true", help="follow redirects")
    get.add_argument("--json", action="store_true", help="one JSON object per URL, a line each")


def _add_simulate(simulate: argparse.ArgumentParser) -> None:
    simulate.description = (
        "Plays what happens to a server in trouble, in virtual time, with the real policies of a stack of yours. "
        "Exit status: 0, 1 if a stack cannot go on, 2 for bad usage, 130 after Ctrl-C, which leaves a partial report."
    )
    simulate.add_argument(
        "config",
        metavar="CONFIG",
        help="module:name of a Stack, of Endpoints, or of a function that returns one; modules are also looked for in "
        "the current directory. Or standard, which is seawall.standard(), bare or naive",
    )
    chosen = simulate.add_mutually_exclusive_group()
    chosen.add_argument(
        "--scenario",
        type=_scenario,
        default=_scenario("stall"),
        metavar="NAME",
        help="what happens (stall); --list tells all",
    )
    chosen.add_argument(
        "--scenario-file", type=_scenario_file, dest="scenario", metavar="FILE", help="the same, from a TOML file"
    )
    simulate.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="CONFIG",
        help="another to compare with: bare (httpx by itself), naive (3 attempts with full jitter, no budget), "
        "standard, or module:name; may be given several times",
    )
    simulate.add_argument(
        "--url", type=_url, metavar="URL", help="what is requested: an Endpoints chooses its stack by it"
    )
    simulate.add_argument("--seed", type=_whole(0, 2**63), default=0, metavar="N", help="of all chance (%(default)s)")
    simulate.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots to this file")
    simulate.add_argument("--list", action=_List, help="list the scenarios and exit")
    simulate.add_argument("--show", action=_Show, metavar="NAME", help="print a scenario as a TOML file and exit")


class _List(argparse.Action):
    """Prints the scenarios, as --version prints the version."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        for name, scenario in SCENARIOS.items():
            print(f"{name:18} {scenario.about}")
        parser.exit()


class _Show(argparse.Action):
    """Prints a scenario's file."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, name: Any, option: str | None = None
    ) -> None:
        try:
            scenario = _scenario(name)[0]
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        print(scenario_toml(scenario), end="")
        parser.exit()


_Chosen = tuple[Scenario, str, str]
"""A scenario, and the arguments that chose it."""


def _scenario(given: str) -> _Chosen:
    if given not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"no scenario is called {given!r}; there are {near(given, SCENARIOS)}")
    return SCENARIOS[given], "--scenario", given


def _scenario_file(given: str) -> _Chosen:
    try:
        return read_scenario(given), "--scenario-file", given
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{given!r} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(printable(str(error))) from None


def _whole(low: int, high: int) -> Callable[[str], int]:
    def whole(given: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", given) or not low <= int(given) <= high:
            raise argparse.ArgumentTypeError(f"{given!r} is not a whole number from {low} to {high}")
        return int(given)

    return whole


def _seconds(given: str) -> float:
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not _SHORTEST <= value <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{given!r} is not a number of seconds from {_SHORTEST:g} to {_LONGEST:g}")
    return value


def _method(given: str) -> str:
    method = given.upper()
    if not _TOKEN.fullmatch(method):
        raise argparse.ArgumentTypeError(f"{given!r} is not an HTTP method: one word such as GET, HEAD or POST")
    if method == "CONNECT":
        raise argparse.ArgumentTypeError(f"{given!r} opens a tunnel instead of sending a request; any other will do")
    return method


def _header(given: str) -> Header:
    name, colon, value = given.partition(":")
    if not colon:
        # The whole of it may be a secret, so only its length is told.
        raise argparse.ArgumentTypeError(f"{len(given)} characters without a ':' were given, write 'Name: value'")
    if not name:
        raise argparse.ArgumentTypeError("there is no name before the ':', write 'Name: value'")
    if odd := _TOKEN.sub("", name):
        # Only what is odd is told: a value that was given without a name may have a ':' in it.
        raise argparse.ArgumentTypeError(f"the header name has {odd[0]!r} in it; {_ALLOWED} are allowed")
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value.strip(" \t")):
        raise argparse.ArgumentTypeError(
            f"the value of {name!r} has a control character; a header is one line of printable text"
        )
    return Header(name, value.strip(" \t").encode("utf-8", "surrogateescape"))


def _url(given: str) -> httpx.URL:
    try:
        url = httpx.URL(given)
    except httpx.InvalidURL as error:
        # httpx may quote the part it dislikes, and that part may be a password.
        why = f" ({error})" if "@" not in given else ""
        raise argparse.ArgumentTypeError(f"{redacted(given)!r} is not a URL{why}") from None
    if url.scheme not in ("http", "https"):
        _refuse(given, "does not begin with http:// or https://")
    if not url.host:
        _refuse(given, "has no host")
    if url.port is not None and not 1 <= url.port <= 65_535:
        _refuse(given, f"has port {url.port}, which is not from 1 to 65535")
    return url


def _refuse(given: str, what: str) -> None:
    raise argparse.ArgumentTypeError(f"{redacted(given)!r} {what}; write it as in https://example.com/path")
