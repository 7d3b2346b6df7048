"""The tables of docs/policies say what the options of the policies are, their defaults and their ranges."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import seawall

FOLDER = Path(__file__).parents[1] / "docs" / "policies"
TABLES: dict[tuple[str, str], type[Any]] = {
    ("timeout", "## Defaults"): seawall.Timeout,
    ("retry", "## Defaults"): seawall.Retry,
    ("retry", "### full_jitter"): seawall.full_jitter,
    ("retry", "### RetryBudget"): seawall.RetryBudget,
    ("circuit-breaker", "## Defaults"): seawall.CircuitBreaker,
    ("concurrency-limit", "## Defaults"): seawall.ConcurrencyLimit,
    ("throttle", "## Defaults"): seawall.Throttle,
    ("read-body", "## Defaults"): seawall.ReadBody,
    ("idempotency-key", "## Defaults"): seawall.IdempotencyKey,
}
REQUIRED = {"seconds": 1, "limit": 1, "rate": 1, "max_bytes": 1}
SECTIONS = ["About", "Usage", "Defaults", "How it behaves", "Telemetry", "Anti-patterns", "Combining"]


def rows(page: str, heading: str) -> list[tuple[str, str, str]]:
    """Option, default and range of the table under a heading."""
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    section = re.split(r"^#", text.split(f"\n{heading}\n")[1], flags=re.MULTILINE)[0]
    found = re.findall(r"^\| `(\w+)` \| .* \| ([^|]*) \| ?([^|]*) ?\|$", section, re.MULTILINE)
    return [(name, default.strip(), allowed.strip()) for name, default, allowed in found]


@pytest.mark.parametrize(("page", "heading"), TABLES)
def test_options_and_defaults_are_those_of_the_policy(page: str, heading: str) -> None:
    """Every option is there, in the order of the signature, with its default."""
    kind = TABLES[page, heading]
    stated = {name: default for name, default, _ in rows(page, heading)}
    real = inspect.signature(kind).parameters
    assert list(stated) == list(real)
    made = kind(**{name: value for name, value in REQUIRED.items() if name in real})
    for name, default in stated.items():
        if default == "required":
            assert real[name].default is inspect.Parameter.empty
        else:
            assert real[name].default is not inspect.Parameter.empty
            assert eval(default.strip("`"), {"seawall": seawall} | vars(seawall)) == getattr(made, name), name


@pytest.mark.parametrize(("page", "heading"), TABLES)
def test_ranges_are_what_the_policy_takes(page: str, heading: str) -> None:
    """A stated bound is where values begin to be refused, and each stated choice is taken."""
    kind = TABLES[page, heading]
    needed = {name: value for name, value in REQUIRED.items() if name in inspect.signature(kind).parameters}
    for name, _, allowed in rows(page, heading):
        for word, bound in re.findall(r"(above|at least|at most) (\d+)", allowed):
            taken, refused = {
                "above": (int(bound) + 0.001, int(bound)),
                "at least": (int(bound), int(bound) - 1),
                "at most": (int(bound), int(bound) + 0.001),
            }[word]
            kind(**needed | {name: taken})
            with pytest.raises(ValueError, match=name):
                kind(**needed | {name: refused})
        for choice in re.findall(r"`(True|False|\"\w+\")`", allowed):
            kind(**needed | {name: eval(choice)})


@pytest.mark.parametrize("page", sorted({page for page, _ in TABLES}))
def test_a_page_has_the_sections_that_every_page_has(page: str) -> None:
    """Pages are read side by side, so they have the same parts in the same order."""
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS


def test_there_is_a_page_for_every_policy() -> None:
    """Each policy that the package exports has a page, and the index lists it."""
    policies = {
        thing
        for thing in vars(seawall).values()
        if isinstance(thing, type) and issubclass(thing, seawall.Policy) and thing is not seawall.Policy
    }
    assert policies <= set(TABLES.values())
    pages = {path.stem for path in FOLDER.glob("*.md")} - {"index"}
    assert pages == {page for page, _ in TABLES}
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert pages == set(re.findall(r"^\| \[\w+\]\(([\w-]+)\.md\)", index, re.MULTILINE))
