"""What tests of `seawall simulate` share: a small scenario's file, a module of stacks, and the command as a process."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from interrupts import heard

import seawall

SCENARIO = """\
name = "pause"
about = "For three seconds the server serves nothing."
duration = 40
fault = [10, 13]
attempt_timeout = 0.5

[server]
slots = { value = 4, changes = [[10, 0], [13, 4]] }

[[traffic]]
arrivals = { kind = "poisson", rate = 25 }
clients = 2
"""

MODULE = """\
import seawall
from seawall import CircuitBreaker, ConcurrencyLimit, Endpoints, Retry, Stack, Timeout

stack = Stack(Timeout(5), Retry(3), CircuitBreaker(minimum_calls=5, open_for=1), ConcurrencyLimit(10), Timeout(0.5))
routes = Endpoints({"https://api.example.com": stack}, default=Stack(Timeout(0.1)))
policy = Retry()
number = 5


def make():
    return stack


def needs(one, two=2):
    return stack


def fails():
    raise RuntimeError("no such\\nthing")


def wrong():
    return 5


async def later():
    return stack


class Things:
    stack = stack
"""
STACK = seawall.Stack(
    seawall.Timeout(5),
    seawall.Retry(3),
    seawall.CircuitBreaker(minimum_calls=5, open_for=1),
    seawall.ConcurrencyLimit(10),
    seawall.Timeout(0.5),
)
"""The module's `stack`."""


def folder(path: Path, **modules: str) -> Path:
    """A folder with the scenario in pause.toml and stacks in shop.py, and other modules."""
    (path / "pause.toml").write_text(SCENARIO, encoding="utf-8")
    for name, text in {"shop": MODULE, **modules}.items():
        (path / f"{name}.py").write_text(text, encoding="utf-8")
    return path


def process(path: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """`seawall simulate` in a folder, as a process of its own."""
    source = str(Path(seawall.__file__).parents[1])
    settings: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-m", "seawall.cli", "simulate", *arguments],
        cwd=path,
        env={**os.environ, "PYTHONPATH": source, "PYTHONIOENCODING": "utf-8", **environment},
        preexec_fn=heard,
        text=True,
        encoding="utf-8",
        **settings,
    )
