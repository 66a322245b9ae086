"""Changes by strength: strips of dots, small curves, heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.core.numbers import show_budget
from unshaken.report import cells, wording
from unshaken.report.blocks import Cell, Table
from unshaken.report.cells import Row
from unshaken.report.drawings import Dot, Lane, Plot, Plots, Strip, Strips
from unshaken.report.figures import plots
from unshaken.report.sections import Report

OWN = "this run"


def series(data: Mapping[str, Any]) -> list[list[Row]]:
    """The conditions that have a figure, those of a line of the plan together, in the order of the plan."""
    found: dict[str, list[Row]] = {}
    for row in cells.changes_of(data):
        if cells.metric(row) is not None:
            found.setdefault(wording.series_of(row), []).append(row)
    return list(found.values())


def strips(report: Report, what: str) -> Strips | None:
    """One strip a series, the most damaging first; None without any."""
    clean, found = report.data["clean"], []
    for rows in series(report.data):
        runs = [(OWN, [cells.metric(r) for r in rows])]
        runs += [(o.name, [o.figures.get(r["condition"]) for r in rows]) for o in report.others]
        lanes = [_lane(name, rows, figures, i) for i, (name, figures) in enumerate(runs) if any(figures)]
        values = [min(f["value"] for f in figures if f) for _, figures in runs if any(figures)]
        worst = wording.strength(cells.worst_of(rows) or {"norm": None})
        texts = [wording.percent(v) for v in values]
        found.append((values[0], Strip(wording.series_name(rows[0]), worst, tuple(lanes), texts[0], tuple(texts[1:]))))
    if not found:
        return None
    line = f" The dashed line is the unchanged images: {wording.percent(clean['value'])}." if clean else ""
    scale = " Severity 1 is mild, 5 is strong." if any(r.get("severity") for r in report.data["conditions"]) else ""
    caption = (
        f"{what} under each change, in per cent, the most damaging first. A dot is a strength; the filled one is the "
        f"worst, with its 95 % interval shaded.{scale}{line}"
    )
    drawn = tuple(s for _, s in sorted(found, key=lambda pair: float(pair[0])))
    names = [OWN, *(o.name for o in report.others if o.figures)]
    zero = round(100 * clean["value"], 2) if clean else None
    keys = tuple(names) if len(names) > 1 else ()
    return Strips(caption, ("change", "worst"), ("0", "50", "100 %"), drawn, zero, keys)


def _lane(name: str, rows: Sequence[Row], figures: Sequence[Row | None], number: int) -> Lane:
    lowest = min((f for f in figures if f), key=lambda f: float(f["value"]))
    dots = tuple(
        Dot(
            round(100 * f["value"], 2),
            f"{wording.strength(row) or 'changed'}: {wording.percent(f['value'])}",
            f is lowest,
        )
        for row, f in zip(rows, figures, strict=True)
        if f
    )
    return Lane(name, dots, round(100 * lowest["low"], 2), round(100 * lowest["high"], 2), "other" if number else "own")


def curves(report: Report) -> list[Plots]:
    """Small charts of the series that have two strengths or more, with the runs beside this one."""
    clean = report.data["clean"]
    drawn = [_curve(report, rows, clean) for rows in series(report.data) if len(rows) > 1]
    others = [o.name for o in report.others if o.figures]
    return [Plots(tuple(drawn), "small", (OWN, *others) if others else ())] if drawn else []


def _curve(report: Report, rows: Sequence[Row], clean: Row | None) -> Plot:
    labels = [*(["clean"] if clean else []), *(wording.short_strength(r) for r in rows)]
    step = 100 / max(1, len(labels) - 1)
    runs = [(OWN, [*([clean] if clean else []), *(cells.metric(r) for r in rows)])]
    names = [*(["clean"] if clean else []), *(r["condition"] for r in rows)]
    runs += [(o.name, [o.figures.get(name) for name in names]) for o in report.others if o.figures]
    traces, words = [], list[str]()
    for style, (name, figures) in enumerate(runs):
        marks = [
            plots.point(i * step, f, f"{label}: {wording.percent(f['value'])}")
            for i, (label, f) in enumerate(zip(labels, figures, strict=True))
            if f
        ]
        traces.append(plots.curve(name, style, marks, band=True))
        words.append(f"{name}: " + ", ".join(m.text for m in marks))
    title, ticks = wording.series_name(rows[0]), tuple((round(i * step, 2), t) for i, t in enumerate(labels))
    level = plots.down(clean["value"]) if clean else None
    return Plot(title, "", ticks, tuple(traces), level, f"{title}. {'; '.join(words)}")


def heat_maps(report: Report) -> list[Table]:
    """Heat maps of severities and of budgets, one for each norm."""
    clean = report.data["clean"]
    top = float(clean["value"]) if clean else 1.0
    kinds: dict[tuple[str, str], list[list[Row]]] = {}
    for rows in series(report.data):
        if rows[0].get("severity") is not None:
            kinds.setdefault(("severity", ""), []).append(rows)
        elif rows[0].get("eps") is not None:
            kinds.setdefault(("eps", rows[0]["norm"] or ""), []).append(rows)
    found = []
    for (key, norm), members in kinds.items():
        strengths = sorted({r[key] for rows in members for r in rows})
        if len(strengths) * len(members) == 1:
            continue  # one number is no map
        lines = []
        for rows in members:
            at = {}
            for r in rows:
                value = float((cells.metric(r) or {})["value"])
                lost = min(1.0, max(0.0, (top - value) / top)) if top else 0.0
                title = f"{wording.condition_name(r)}: {wording.percent(value)}"
                at[r[key]] = Cell(f"{100 * value:.0f}", heat=round(lost, 3), title=title)
            lines.append(cells.line(wording.series_name(rows[0]), *(at.get(s, Cell("")) for s in strengths)))
        name = "severity" if key == "severity" else f"ε ({wording.NORMS.get(norm, norm)})"
        heads = [str(s) if key == "severity" else show_budget(s) for s in strengths]
        found.append(Table(f"By {name}", cells.columns("change", *heads), tuple(lines), "heat"))
    return found
