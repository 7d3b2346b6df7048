"""The reference of the documentation has every public name, once."""

import re
from pathlib import Path
from typing import Any

import pytest

import seawall
import seawall.httpx
import seawall.testing
import seawall.testing.simulation

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
MODULE = re.compile(r"^\.\. currentmodule:: (\S+)$", re.MULTILINE)
ENTRY = re.compile(r"^\.\. auto\w+:: (?:\w+\.)*(\w+)", re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("seawall", seawall),
        ("seawall.httpx", seawall.httpx),
        ("seawall.testing", seawall.testing),
        ("seawall.testing.simulation", seawall.testing.simulation),
    ],
)
def test_every_public_name_is_in_the_reference(name: str, module: Any) -> None:
    """What a module exports, and nothing else, has an entry under that module's name."""
    found = []
    for page in REFERENCE.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        if MODULE.findall(text) == [name]:
            found += ENTRY.findall(text)
    assert sorted(found) == sorted(module.__all__)
