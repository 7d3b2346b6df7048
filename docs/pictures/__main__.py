"""Write pictures into docs: all, or those that are named."""

import logging
import sys
from pathlib import Path

from . import PICTURES, files

DOCS = Path(__file__).parents[1]

names = sys.argv[1:] or list(PICTURES)
if unknown := [name for name in names if name not in PICTURES]:
    sys.exit(f"no picture is called {', '.join(unknown)}; there are {', '.join(PICTURES)}")
logging.getLogger("seawall").addHandler(logging.NullHandler())  # the circuits and budgets say what they should
for name, text in files(names):
    (DOCS / name).write_text(text, encoding="utf-8")
