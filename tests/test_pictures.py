"""The pictures of the documentation are what docs/pictures makes of the policies as they are now."""

import re
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {"light": "#ffffff", "dark": "#131416"}
"""The colours of the pages that the pictures stand on."""


pytestmark = pytest.mark.timeout(300)  # whoever comes first has all of them drawn


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    """docs/pictures, which is no part of the package."""
    sys.path.insert(0, str(DOCS))
    try:
        import pictures
    finally:
        sys.path.remove(str(DOCS))
    return pictures


@pytest.fixture(scope="module")
def drawn(pictures: ModuleType) -> dict[str, str]:
    """Every picture, drawn now."""
    return dict(pictures.files())


def test_committed_pictures_are_what_the_script_makes(drawn: dict[str, str]) -> None:
    """Each file is what the policies do now, and there is no other; `cd docs && python -m pictures` writes them."""
    found = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in DOCS.rglob("*.svg")}
    assert found == drawn


def test_every_picture_is_shown_in_both_themes(drawn: dict[str, str]) -> None:
    """A page shows each picture as often for light as for dark, with the class that furo hides the other by."""
    shown = [
        ((page.parent / file).relative_to(DOCS).as_posix(), theme, only)
        for page in sorted(DOCS.rglob("*.md"))
        for file, theme, only in re.findall(
            r"^```\{image\} (\S+)-(light|dark)\.svg\n:class: only-(light|dark)\n:alt: \S",
            page.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    ]
    assert all(file == page for _, file, page in shown)
    assert sorted(f"{name}-{theme}.svg" for name, theme, _ in shown) == sorted(drawn)


def test_nothing_leaves_its_picture(drawn: dict[str, str]) -> None:
    """Texts, boxes and dots stand within the page, and text is 9 px or higher on a telephone."""
    for name, text in drawn.items():
        root = ElementTree.fromstring(text)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        assert 11.5 * (390 - 2 * 16) / width >= 9
        for shape in root.iter():
            x, y = (float(shape.get(axis) or shape.get(f"c{axis}") or 0) for axis in "xy")
            right, lower = x + float(shape.get("width", 0)), y + float(shape.get("height", 0))
            if shape is not root:
                assert 0 <= x <= right <= width, f"{name}: {shape.attrib}"
                assert 0 <= y <= lower <= height, f"{name}: {shape.attrib}"


def test_colours_can_be_told_from_their_page(pictures: ModuleType) -> None:
    """Every colour of a theme has a contrast of at least 4.5 to the page, as WCAG 2 measures it."""
    for theme, colours in pictures.THEMES.items():
        for name, colour in colours.items():
            assert contrast(colour, PAGES[theme]) >= 4.5, f"{theme}: {name}"


def contrast(one: str, other: str) -> float:
    """From 1 to 21; WCAG 2, "contrast ratio"."""
    dim, bright = sorted(map(luminance, (one, other)))
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    """From 0 to 1; WCAG 2, "relative luminance"."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
