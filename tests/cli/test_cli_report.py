"""The report of `seawall simulate`, as a file: what is in it, that it needs nothing else, and that it repeats."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
import simulated
import tenacity
from rich.console import Console
from simulated import STACK

import seawall
from seawall.cli.simulation.contenders import Contender, bare, naive
from seawall.cli.simulation.page import page
from seawall.cli.simulation.plots import DASHES, POINTS, Plot, Points, circuits, plots
from seawall.cli.simulation.run import Run, play
from seawall.cli.simulation.settings import settings
from seawall.testing.simulation import Scenario, overload, read_scenario, scenario_toml

QUIET = Console(file=io.StringIO())
COMMAND = "seawall simulate shop:stack --scenario-file pause.toml --against bare --seed 3"


@pytest.fixture(scope="module")
def pause(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return read_scenario(simulated.folder(tmp_path_factory.mktemp("report")) / "pause.toml")


@pytest.fixture(scope="module")
def played(pause: Scenario) -> Run:
    return play(pause, [Contender("shop:stack", STACK), Contender("bare", bare(pause))], 3, QUIET)


@dataclass
class Read(HTMLParser):
    """A page, read: its elements in order, the texts of its cells by table, and what stands in scripts."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in ("meta", "link", "br"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._inside and self._inside[-1] in ("td", "th", "data"):
            self.tables[-1][-1][-1] += data
        elif self._inside:
            self.texts.setdefault(self._inside[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(text: str) -> Read:
    reading = Read()
    reading.feed(text)
    reading.close()
    assert reading._inside == []
    return reading


def figures(text: str) -> Any:
    """The plots' data in a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


@pytest.fixture(scope="module")
def text(played: Run) -> str:
    return page(played, COMMAND)


def test_the_page_is_well_formed_and_accessible(text: str) -> None:
    """It has a language, a title, one h1, headings in order, labels on plots, and heads on rows and columns."""
    found = read(text)
    assert found.all("html") == [{"lang": "en"}]
    assert found.texts["title"] == ["pause: shop:stack - seawall simulate"]
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    labels = [one for one in found.all("div") if one.get("role") == "img"]
    assert len(labels) >= 6
    assert all(len(str(one["aria-label"])) > 20 for one in labels)
    assert all(one.get("scope") in ("row", "col") for one in found.all("th"))
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    referred = {attributes["aria-labelledby"] for _, attributes in found.elements if "aria-labelledby" in attributes}
    assert referred <= set(ids)


def test_the_page_needs_nothing_else(text: str) -> None:
    """Nothing is linked or loaded, and its own policy forbids it."""
    found = read(text)
    assert not any("src" in attributes for _, attributes in found.elements)
    assert [attributes["href"] for _, attributes in found.elements if "href" in attributes] == ["data:,"]
    policy = next(one["content"] for one in found.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    style = next(iter(found.texts["style"]))
    assert "url(" not in style
    assert "@import" not in style


def test_every_plot_has_its_data_as_a_table(text: str, played: Run) -> None:
    """A table for each plot has what is drawn, a row for each point."""
    tables = read(text).tables[1:]
    for plot, table in zip(plots(played), tables, strict=True):
        assert table[0] == ["second", *(curve.name for curve in plot.curves)]
        assert [float(row[0]) for row in table[1:]] == plot.times
        for number, curve in enumerate(plot.curves, 1):
            shown = [-1.0 if row[number] == "" else float(row[number]) for row in table[1:]]
            assert shown == pytest.approx([-1.0 if value is None else value for value in curve.values], rel=1e-3)


def test_plots_show_the_results(played: Run) -> None:
    """What is drawn are the series of each result: per second, and its own quantiles, peaks, lines and states."""
    found = {plot.id: {curve.name: list(curve.values) for curve in plot.curves} for plot in plots(played)}
    own, other = played.results
    assert found["goodput"] == {
        "offered": own.offered()[:40] + [None] * (len(own.tally.attempts) - 40),
        "shop:stack": own.answered()[:40] + [None] * (len(own.tally.attempts) - 40),
        "bare": other.answered()[:40] + [None] * (len(own.tally.attempts) - 40),
    }
    amplification = [value for value in found["amplification"]["shop:stack"] if value is not None]
    assert max(amplification) == own.peak_amplification()
    assert found["latency"]["shop:stack p99"][:2] == [own.latency(0.99, 0, 1), own.latency(0.99, 1, 2)]
    assert found["latency"]["bare p50"][20] == other.latency(0.5, 20, 21)
    assert found["line"]["bare"][12] == other.tally.waiting[12]
    assert found["limits-1"]["ConcurrencyLimit.waiting"][12] == own.tally.states[12]["ConcurrencyLimit.waiting"]
    assert found["budgets-1"]["Retry.tokens"][12] == own.tally.states[12]["Retry.tokens"]
    assert "circuits-1" in found
    assert {"circuits-2", "limits-2", "budgets-2"}.isdisjoint(found)


def test_what_has_no_bound_is_not_drawn(pause: Scenario) -> None:
    """Retries without a budget show no tokens, and circuits that never opened no bands."""
    assert {plot.id for plot in plots(play(pause, [Contender("naive", naive(pause))], 0, QUIET))} == {
        "goodput", "amplification", "latency", "line",
    }  # fmt: skip


def test_bands_of_circuits_are_averages(played: Run) -> None:
    """A circuit that is open for a part of a second counts for that part; all add up to the time they were open."""
    result = played.results[0]
    bands, opened, total = circuits(result), {}, dict.fromkeys(("open", "half-open"), 0.0)
    for at, whose, _, new in [
        *result.tally.circuits,
        *((result.at, whose, "?", "closed") for whose in ("traffic 0", "traffic 1")),
    ]:
        if whose in opened and opened[whose][0] in total:
            state, since = opened[whose]
            total[state] += at - since
        opened[whose] = new, at
    assert total["open"] > 1
    assert {name: sum(band) for name, band in bands.items()} == pytest.approx(total)
    assert max(bands["open"]) <= 2


def test_long_runs_have_several_seconds_in_a_point() -> None:
    """No curve has more than 300 points: rates are averaged, peaks kept, states taken at the end."""
    points = Points(3 * POINTS - 1)
    assert (points.step, len(points.times), points.times[1]) == (3, POINTS, 3.0)
    values = [1.0, 2.0, 6.0, None]
    assert points.of(values[:3], lambda part: sum(value or 0 for value in part))[:2] == [9.0, None]
    scenario = overload("stall", load=0.01, duration=POINTS + 50)
    run = play(scenario, [Contender("bare", bare(scenario)), Contender("standard", seawall.standard())], 0, QUIET)
    for plot in plots(run):
        assert len(plot.times) == len(plot.curves[0].values) <= POINTS
        assert plot.times[1] == 2.0
        go.Figure(plain(plot.figure((60, 70))))
    goodput = next(plot for plot in plots(run) if plot.id == "goodput")
    assert goodput.curves[1].values[:2] == [sum(run.results[0].answered()[at : at + 2]) / 2 for at in (0, 2)]
    assert "Requests made in each 2 s" in goodput.about


def plain(figure: Any) -> Any:
    """A figure with a colour in the place of each name of one."""
    return json.loads(json.dumps(figure), object_hook=lambda one: {
        key: "#123456" if isinstance(value, str) and value.startswith("--") else value for key, value in one.items()
    })  # fmt: skip


def test_plotly_accepts_every_figure(text: str) -> None:
    """Every attribute of every figure is one that plotly knows, and takes that value."""
    for figure in figures(text).values():
        go.Figure(plain(figure))


def test_the_fault_is_shaded(text: str, played: Run) -> None:
    """Each plot has the fault as a shape with an entry in the legend; without a fault there is none."""
    for figure in figures(text).values():
        (shape,) = figure["layout"]["shapes"]
        assert (shape["x0"], shape["x1"], shape["name"], shape["showlegend"]) == (10, 13, "fault", True)
    calm = replace(played, scenario=replace(played.scenario, fault=None))
    assert all("shapes" not in figure["layout"] for figure in figures(page(calm, COMMAND)).values())


def test_curves_can_be_told_apart(pause: Scenario) -> None:
    """Contenders, as many as there can be, differ in colour and in dashes."""
    run = play(replace(pause, duration=5, fault=None), [Contender(f"c{n}", bare(pause)) for n in range(5)], 0, QUIET)
    for plot in plots(run):
        kinds = [(curve.colour, curve.dash, curve.thin) for curve in plot.curves]
        assert len(set(kinds)) == len(kinds)
    amplification = next(plot for plot in plots(run) if plot.id == "amplification")
    assert [curve.dash for curve in amplification.curves] == list(DASHES)


def colours(scheme: str) -> Iterator[tuple[str, str]]:
    style = Path(seawall.__file__).parent.joinpath("cli", "simulation", "page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    yield from re.findall(r"--([\w-]+): (#\w{6});", light if scheme == "light" else dark)


def contrast(one: str, other: str) -> float:
    """From 1 to 21; WCAG 2, "contrast ratio" and "relative luminance"."""
    dim, bright = sorted(
        sum(
            share * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
            for share, part in zip(
                (0.2126, 0.7152, 0.0722), (int(c[at : at + 2], 16) / 255 for at in (1, 3, 5)), strict=True
            )
        )
        for c in (one, other)
    )
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_from_their_page(scheme: str) -> None:
    """Text has a contrast of at least 4.5 to what it stands on, and curves and bands have one of at least 3."""
    known = dict(colours(scheme))
    assert known.keys() == {name for name, _ in colours("light")}
    for name in ("ink", "muted"):
        assert contrast(known[name], known["paper"]) >= 4.5
    for ground in ("code", "warning"):
        assert contrast(known["ink"], known[ground]) >= 4.5
    for name in ("offered", "open", *(f"contender-{n}" for n in range(1, 6))):
        assert contrast(known[name], known["paper"]) >= 3, name
    assert contrast(known["open"], known["half-open"]) >= 1.5


def test_settings_and_command(text: str, pause: Scenario) -> None:
    """The page tells the stacks, the scenario as a file, and the command that gives the same again."""
    found = read(text).texts["pre"]
    assert found == [COMMAND, settings(STACK), settings(bare(pause)), scenario_toml(pause)]
    assert "    CircuitBreaker(minimum_calls=5, open_for=1),\n" in settings(STACK)


def test_settings_are_the_same_in_every_process() -> None:
    """Sets are in order and nothing has an address; what has its default is left out."""
    stack = seawall.Stack(
        seawall.Retry(
            methods={"PUT", "GET", "DELETE"},
            wait=tenacity.wait_fixed(1) + tenacity.wait_random(0, 2),
            stop=tenacity.stop_after_delay(9),
            retry=lambda _: False,
            budget=seawall.RetryBudget(9),
        ),
        seawall.CircuitBreaker(key=len),
    )
    assert settings(stack) == (
        "Stack(\n"
        "    Retry(wait=wait_combine(wait_funcs=(wait_fixed(wait_fixed=1.0), wait_random(wait_random_min=0.0, "
        "wait_random_max=2.0))), stop=stop_after_delay(max_delay=9.0), retry=<function "
        "test_settings_are_the_same_in_every_process.<locals>.<lambda>>, methods={'DELETE', 'GET', 'PUT'}, "
        "budget=RetryBudget(capacity=9)),\n"
        "    CircuitBreaker(key=<built-in function len>),\n"
        ")"
    )
    endpoints = seawall.Endpoints({"https://a.example": seawall.Stack(seawall.Retry())}, default=stack)
    assert settings(endpoints) == f"https://a.example: Stack(\n    Retry(),\n)\n\n*: {settings(stack)}"


def test_what_users_name_is_escaped(pause: Scenario) -> None:
    """Names cannot be taken for HTML, nor end a script."""
    odd = '</script><script>alert("x")</script>&amp;'
    group = replace(pause.traffic[0], name=odd)
    named = replace(pause, name=odd, about=odd, traffic=[group, replace(group, name="b")], duration=2, fault=None)
    text = page(play(named, [Contender(odd, bare(pause))], 0, QUIET), odd)
    found = read(text)
    assert len(found.all("script")) == 3
    assert found.texts["h1"] == [odd]
    assert found.texts["pre"][0] == odd
    assert figures(text)["line"]["data"][0]["name"] == odd


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Other processes, at another time and with other seeds of Python's own hashing, write the same report."""
    reports = set()
    for hashing, name, seed in (("1", "one", "7"), ("2", "other", "7"), ("1", "third", "8")):
        path = simulated.folder(tmp_path)
        command = simulated.process(
            path, "shop:stack", "--against", "naive", "--scenario-file", "pause.toml", "--seed", seed,
            "--html", f"{name}.html", PYTHONHASHSEED=hashing,
        )  # fmt: skip
        assert command.communicate(timeout=50)[1] == ""
        reports.add((path / f"{name}.html").read_bytes())
    assert len(reports) == 2


def test_an_empty_run_can_be_drawn(pause: Scenario) -> None:
    """A run of which nothing was played has a report as well."""
    nothing = replace(pause, traffic=[replace(pause.traffic[0], arrivals=type(pause.traffic[0].arrivals)(0))])
    run = play(nothing, [Contender("naive", naive(pause))], 0, QUIET)
    assert "naive</b> has not been asked for anything." in page(run, COMMAND)
    assert all(isinstance(plot, Plot) for plot in plots(run))
