"""The report: one HTML file that needs nothing else, and is the same to the byte for the same run."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import seawall
from seawall.testing.simulation import scenario_toml

from .contenders import Unusable
from .figures import Row, rows
from .plots import Plot, plots
from .run import PARTIAL, Run
from .settings import settings
from .verdict import verdict


def require(path: Path) -> None:
    """Raise `Unusable` if there is nothing to draw with or nowhere to write to: better before a run than after it."""
    try:
        import plotly.offline  # noqa: F401  (only to see that the extra is installed)
    except ImportError:
        raise Unusable("--html needs plotly, which comes with the extra: pip install 'seawall[cli]'") from None
    if path.is_dir() or not path.parent.is_dir():
        why = "is a directory" if path.is_dir() else "is in no directory that exists"
        raise Unusable(f"--html: {str(path)!r} {why}")


def page(run: Run, command: str) -> str:
    """The whole page. `command` is what gives the same result again."""
    from plotly.offline import get_plotlyjs

    drawn, fault = list(plots(run)), run.scenario.fault
    figures = {plot.id: plot.figure(fault) for plot in drawn}
    return Template(_file("page.html")).substitute(
        title=escape(f"{run.scenario.name}: {run.contenders[0].name} - seawall simulate"),
        style=_file("page.css"),
        name=escape(run.scenario.name),
        about=escape(run.scenario.about),
        stopped=_stopped(run),
        verdict="\n".join(f"<li><b>{escape(name)}</b> {escape(does)}</li>" for name, does in verdict(run)),
        figures=_figures(run, rows(run)),
        plots="\n".join(map(_plot, drawn)),
        command=escape(command),
        version=escape(seawall.__version__),
        settings="\n".join(
            f"<h3>{escape(contender.name)}</h3>\n<pre>{escape(settings(contender.policies))}</pre>"
            for contender in run.contenders
        ),
        scenario=escape(scenario_toml(run.scenario)),
        # as JSON in a script element, in which nothing may look like its end
        data=json.dumps(figures, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        plotly=get_plotlyjs(),
        script=_file("page.js"),
    )


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _stopped(run: Run) -> str:
    if run.stopped is None:
        return ""
    return f'<p class="stopped" role="note"><strong>{escape(run.stopped)}.</strong> {PARTIAL}</p>'


def _figures(run: Run, table: Sequence[Row]) -> str:
    swatch = '<span class="swatch" style="background: var(--contender-{})"></span>'
    heads = [f"{swatch.format(n)}{escape(contender.name)}" for n, contender in enumerate(run.contenders, 1)]
    lines = ["<td></td>" + "".join(f'<th scope="col">{head}</th>' for head in heads)]
    for row in table:
        cells = [
            f"<td>{escape(figure.words)}</td>"
            if figure.value is None
            else f'<td><data value="{figure.value!r}">{escape(figure.words)}</data></td>'
            for figure in row.figures
        ]
        lines.append(f'<th scope="row">{escape(row.name)}</th>{"".join(cells)}')
    head, *body = (f"<tr>{line}</tr>" for line in lines)
    return f'<table class="figures">\n<thead>{head}</thead>\n<tbody>\n' + "\n".join(body) + "\n</tbody>\n</table>"


def _plot(plot: Plot) -> str:
    label = escape(f"{plot.title}. {plot.about} Its data is in the table that follows.", quote=True)
    return (
        f'<h3 id="{plot.id}-title">{escape(plot.title)}</h3>\n<p class="about">{escape(plot.about)}</p>\n'
        f'<div class="plot" id="{plot.id}" role="img" aria-label="{label}"></div>\n'
        f"<details><summary>Data: {escape(plot.title)}</summary>\n"
        f'<div class="wide" tabindex="0" role="region" aria-labelledby="{plot.id}-title">\n'
        + "\n".join(_data(plot))
        + "\n</div></details>"
    )


def _data(plot: Plot) -> Iterator[str]:
    heads = "".join(f'<th scope="col">{escape(curve.name)}</th>' for curve in plot.curves)
    yield f'<table><thead><tr><th scope="col">second</th>{heads}</tr></thead><tbody>'
    for number, time in enumerate(plot.times):
        cells = "".join(f"<td>{_number(curve.values[number])}</td>" for curve in plot.curves)
        yield f'<tr><th scope="row">{time:g}</th>{cells}</tr>'
    yield "</tbody></table>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if value < 1000 else f"{value:.0f}"
