"""The differences that are meant are documented, and nothing else is."""

import re
from pathlib import Path

from .differences import MEANT

PAGE = Path(__file__).parents[2] / "docs" / "transparency.md"


def test_documented() -> None:
    """The table of the documentation is that of the tests."""
    rows = [re.split(r"\s+\|\s+", line.strip("| ")) for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert rows[1:] == [[each.bare, each.protected] for each in MEANT.values()]
