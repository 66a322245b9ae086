"""The pages: one file each, which asks no network for anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from unshaken.report import attack_view, certify_view, charts, detect_plots, detect_view, view, wording
from unshaken.report.compare import Comparisons
from unshaken.report.detect_pictures import walls
from unshaken.report.gates import GateResult
from unshaken.report.others import read_others
from unshaken.report.pictures import galleries
from unshaken.report.summary import Summary
from unshaken.run import RunDir
from unshaken.run.flags import NAMES

FEW = 20
"""Rows shown of long lists before they are folded or cut; `summary.json` has all."""


def render_report(
    run: RunDir, summary: Summary, *, baseline: RunDir | None = None, gates: Sequence[GateResult] = ()
) -> str:
    """The report of a run as one HTML page.

    Args:
        run: for its pictures, and the runs beside it.
        summary: of the run.
        baseline: the run that the summary was compared with.
        gates: results to show.
    """
    data = summary.data
    others = read_others(run, summary, baseline)
    rows = view.changes_of(data)
    shown = galleries(run, replace(summary, data={**data, "conditions": rows}))
    shown.sort(key=lambda g: float((view.metric(g.condition) or {"value": 1})["value"]))
    return page(
        "report.html.jinja",
        data=data,
        others=others,
        tiles=[*view.tiles(data), *detect_view.tiles(data)],
        strips=view.strips(data, others),
        clean=view.clean_figure(data),
        multiples=view.multiples(data, others),
        heats=view.heats(data),
        galleries=[g for g in shown if not view.attacked(g.condition)],
        fooled=[g for g in shown if view.attacked(g.condition)],
        tradeoffs=attack_view.tradeoffs(data),
        by_eps=attack_view.by_eps(data),
        headline=attack_view.headline(data),
        certified_plots=certify_view.certified_plots(data),
        detect_front=detect_plots.front_plot(data),
        detect_densities=detect_plots.densities(data, summary.screened),
        detect_curves=detect_plots.curves(data, summary.screened),
        detect_walls=walls(summary),
        smallest=min(
            (g for g in shown if g.condition.get("eps") and any(e.fooled for e in g.examples)),
            key=lambda g: float(g.condition["eps"]),
            default=None,
        ),
        bars=charts.reliability(data["calibration"]["bins"]) if data["calibration"] else [],
        classes=_classes(data),
        gates=gates,
        worst=view.worst_of(rows),
        natural=view.worst_of([r for r in rows if not view.attacked(r)]),
        config=summary.config,
        meanings=NAMES,
        few=FEW,
    )


def render_compare(comparisons: Comparisons) -> str:
    """A comparison of runs as one HTML page."""
    return page("compare.html.jinja", comparisons=comparisons.runs, changes=view.changes)


def _classes(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Classes, the weakest first."""

    def weakness(row: dict[str, Any]) -> list[float]:
        return [float((row[k] or row["clean"])["value"]) for k in ("worst_natural", "worst_case", "clean")]

    return sorted(data["classes"], key=weakness)


def page(template: str, **values: Any) -> str:
    """A page from a template that extends `base.html.jinja`.

    Args:
        template: its file.
        values: what it shows.
    """
    environment = _environment()
    script = environment.get_template("theme.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(script=Markup(script), digest=digest, **values)


def coded(text: str) -> Markup:
    """Text of a docstring with what stands between backticks as code.

    >>> coded("`a < b` holds")
    Markup('<code>a &lt; b</code> holds')
    """
    parts = (Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(text.split("`")))
    return Markup("").join(parts)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("unshaken.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": lambda *arguments: wording.percent(*arguments).replace(" ", "\N{NO-BREAK SPACE}"),
        "span": wording.span,
        "number": wording.number,
        "seconds": wording.seconds,
        "budget": wording.budget,
        "condition_name": wording.condition_name,
        "series_name": wording.series_name,
        "name_of": wording.name_of,
        "method_name": wording.method_name,
        "metric": view.metric,
        "distance": attack_view.distance,
        "bought": attack_view.bought,
        "certified_cost": certify_view.cost,
        "certified_lines": certify_view.lines,
        "coded": coded,
    }
    environment.globals |= {"advice": wording.ADVICE, "norms": wording.NORMS, "chart": charts, "detect": detect_view}
    return environment
