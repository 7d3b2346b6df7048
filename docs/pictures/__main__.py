"""Write every picture to docs/policies."""

import logging
from pathlib import Path

from . import files

FOLDER = Path(__file__).parents[1] / "policies"

logging.getLogger("seawall").addHandler(logging.NullHandler())  # the circuits and budgets say what they should
for name, text in files():
    (FOLDER / name).write_text(text, encoding="utf-8")
