"""The documentation as a site: `pip install '.[docs]' && sphinx-build -W docs site`."""

import ast
import importlib
import inspect
import pkgutil
import re
from typing import Any

import seawall

project = "Seawall"
author = "The Seawall authors"
project_copyright = author
release = version = seawall.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"Seawall {release}"
html_static_path = ["_static"]
html_css_files = ["seawall.css"]
html_show_sourcelink = False

myst_heading_anchors = 3
default_role = "py:obj"  # of docstrings, which say `this` for a name
add_module_names = False
python_maximum_signature_line_length = 88
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"


def show_source() -> None:
    """Names say `seawall`, and so Sphinx would look there for what is said of attributes: give it the real places."""
    for found in pkgutil.walk_packages(seawall.__path__, "seawall."):
        if found.name.split(".")[1] == "cli":
            continue
        module = importlib.import_module(found.name)
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.ClassDef):
                getattr(module, node.name).__module__ = found.name


def as_rst(*told: Any) -> None:
    """Docstrings are Markdown of a plain kind: reStructuredText wants code announced, and names to end with a word."""
    lines: list[str] = told[-1]
    text = re.sub(r"(`[^`]+`)(\w?)", lambda span: span[1] + (span[2] and "\\ " + span[2]), "\n".join(lines))
    lines[:] = text.split("\n")
    for at in range(len(lines) - 1, 0, -1):
        before = next((line for line in reversed(lines[:at]) if line), "")
        if lines[at].startswith("    ") and not lines[at - 1] and not before.startswith("    "):
            lines[at:at] = ["::", ""]


def readable(*told: Any) -> tuple[str | None, str | None]:
    """A default that is made each time has no text that is Python."""
    *_, arguments, returns = told
    return arguments and arguments.replace("<factory>", "..."), returns


def setup(app: Any) -> None:
    show_source()
    app.connect("autodoc-process-signature", readable)
    app.connect("autodoc-process-docstring", as_rst)
