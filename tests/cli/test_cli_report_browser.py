"""The report in headless Chromium: no errors, no requests, and the values shown are those of the results."""

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import simulated
from browser import FOUND, Page, browser
from rich.console import Console
from simulated import STACK

from seawall.cli.simulation.contenders import Contender, bare, naive
from seawall.cli.simulation.figures import rows
from seawall.cli.simulation.page import page
from seawall.cli.simulation.plots import plots
from seawall.cli.simulation.run import Run, play
from seawall.testing.simulation import read_scenario

pytestmark = pytest.mark.skipif(FOUND is None, reason="no Chromium was found: apt-get install chromium")

SCHEMES = {"light": ("rgb(255, 255, 255)", "rgb(28, 30, 33)"), "dark": ("rgb(20, 23, 26)", "rgb(232, 234, 237)")}
"""The colours of paper and ink."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Run:
    scenario = read_scenario(simulated.folder(tmp_path_factory.mktemp("played")) / "pause.toml")
    policies = {"shop:stack": STACK, "bare": bare(scenario), "naive": naive(scenario)}
    contenders = [Contender(name, stack) for name, stack in policies.items()]
    return play(scenario, contenders, 1, Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def report(played: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(played, "seawall simulate shop:stack"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    with browser() as shown:
        yield shown


@pytest.fixture
def shown(chromium: Page) -> Iterator[Page]:
    """A browser that has not complained yet, and does not during the test."""
    chromium.complaints.clear()
    chromium.requested.clear()
    yield chromium
    assert chromium.complaints == []


def drawn(page: Page, expression: str) -> dict[str, Any]:
    """What an expression gives of each plot's element `gd`, by its id."""
    script = f"Object.fromEntries([...document.querySelectorAll('.plot')].map((gd) => [gd.id, {expression}]))"
    return dict(page.run(script))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("width", "phone"), [(390, True), (1280, False)])
def test_nothing_is_requested_and_nothing_fails(
    shown: Page, report: Path, played: Run, scheme: str, width: int, phone: bool
) -> None:
    """At each width and in each colour scheme the page draws every plot, asks for nothing, and is no wider."""
    shown.open(report, width=width, scheme=scheme, phone=phone)
    assert shown.requested == [report.as_uri()]
    curves = drawn(shown, "gd.querySelectorAll('.scatterlayer .trace').length")
    assert curves == {plot.id: len(plot.curves) for plot in plots(played)}
    assert shown.run("document.documentElement.scrollWidth") == width
    for sizes in drawn(shown, "[gd.clientWidth, gd.querySelector('.main-svg').clientWidth, gd.clientHeight]").values():
        assert sizes[0] == sizes[1] > 0.85 * width - 300
        assert sizes[2] >= 280


def test_the_values_shown_are_the_results(shown: Page, report: Path, played: Run) -> None:
    """Each cell of the figures has the number of the result and its words, and each curve has its series."""
    shown.open(report)
    cells = (
        "[...document.querySelectorAll('.figures tbody tr')].map((row) => [...row.cells].map((one) => one.innerText))"
    )
    assert shown.run(cells) == [[row.name, *(figure.words for figure in row.figures)] for row in rows(played)]
    values = shown.run("[...document.querySelectorAll('.figures data')].map((one) => Number(one.value))")
    assert values == [figure.value for row in rows(played) for figure in row.figures if figure.value is not None]
    success = shown.run("document.querySelector('.figures tbody tr:nth-child(2) data').value")
    assert float(success) == played.results[0].success

    series = drawn(shown, "gd.data.map((trace) => [trace.name, Array.from(trace.x), Array.from(trace.y)])")
    assert series == {
        plot.id: [[curve.name, plot.times, list(curve.values)] for curve in plot.curves] for plot in plots(played)
    }
    answered = {name: y for name, _, y in series["goodput"]}
    for contender, result in played.pairs:
        assert answered[contender.name][:40] == result.answered()[:40]


def test_what_is_drawn_stands_where_it_should(shown: Page, report: Path, played: Run) -> None:
    """On the screen a curve touches the axis from the first to the last second in which nothing was answered."""
    answered = played.results[0].answered()[:40]
    empty = [second for second, count in enumerate(answered) if count == 0]
    assert empty == list(range(empty[0], empty[-1] + 1))
    shown.open(report)
    goodput = "document.getElementById('goodput')"
    path = shown.run(
        f"{goodput}.querySelectorAll('.scatterlayer .trace')[1].querySelector('.js-line').getAttribute('d')"
    )
    places = shown.run(
        f"(({{ xaxis, yaxis }}) => [...{[empty[0], empty[-1]]}.map(xaxis.d2p), yaxis.d2p(0)])({goodput}._fullLayout)"
    )
    points = [tuple(map(float, point.split(","))) for point in path.lstrip("M").split("L")]
    bottom = [x for x, y in points if abs(y - places[2]) < 0.01]
    assert [min(bottom), max(bottom)] == pytest.approx(places[:2], abs=0.01)


def test_plotly_finds_nothing_to_object_to(shown: Page, report: Path) -> None:
    """Plotly's own validation accepts the data and the layout of every plot."""
    shown.open(report)
    objections = drawn(shown, "(Plotly.validate(gd.data, gd.layout) || []).map((one) => one.msg)")
    assert {name: found for name, found in objections.items() if found} == {}


def test_legends_and_the_fault(shown: Page, report: Path, played: Run) -> None:
    """Each plot's legend names its curves and the fault, which is shaded from its begin to its end."""
    shown.open(report)
    legends = drawn(shown, "[...gd.querySelectorAll('.legendtext')].map((one) => one.textContent)")
    for plot in plots(played):
        assert sorted(legends[plot.id]) == sorted([*(curve.name for curve in plot.curves), "fault"])
    edges = "['x0', 'x1'].map((edge) => gd._fullLayout.xaxis.d2p(gd.layout.shapes[0][edge]))"
    shaded = "gd.querySelector('.shapelayer path').getBBox()"
    for (left, right), width in drawn(shown, f"[{edges}, {shaded}.width]").values():
        assert math.isclose(right - left, width, abs_tol=1)


def test_plots_follow_the_colour_scheme(shown: Page, report: Path) -> None:
    """Paper, ink and curves are those of the scheme, also after it changes while the page is open."""
    shown.open(report, scheme="light")
    seen = []
    for scheme in ("light", "dark", "light"):
        shown.scheme(scheme)
        shown.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        paper, ink = SCHEMES[scheme]
        assert shown.run("getComputedStyle(document.body).backgroundColor") == paper
        assert shown.run("getComputedStyle(document.body).color") == ink
        assert set(drawn(shown, "getComputedStyle(gd.querySelector('.xtick text')).fill").values()) == {ink}
        seen.append(drawn(shown, "getComputedStyle(gd.querySelector('.js-line, .js-fill')).stroke"))
    assert seen[0] == seen[2]
    assert all(seen[0][name] != seen[1][name] for name in seen[0] if not name.startswith("circuits"))
    assert shown.requested == [report.as_uri()]


def test_data_can_be_unfolded(shown: Page, report: Path) -> None:
    """A plot's table is shown when asked for, and scrolls within the page."""
    shown.open(report, width=390, phone=True)
    shown.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert shown.run("document.documentElement.scrollWidth") == 390
    heights = shown.run("[...document.querySelectorAll('details .wide')].map((one) => one.clientHeight)")
    assert all(100 < height <= 360 for height in heights)
