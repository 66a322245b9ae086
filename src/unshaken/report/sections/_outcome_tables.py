"""All conditions as tables, and the aggregates over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Facts, Span, Table, Text
from unshaken.report.cells import Row
from unshaken.report.gates.figures import NON_FINITE
from unshaken.report.sections.section import Report


def measured(report: Report) -> str:
    """What the figures of a report are, at the start of a sentence."""
    if (name := {"detection": "mAP", "segmentation": "mIoU"}.get(report.source.config.task)) is not None:
        return name
    return "Accuracy" if report.data["clean"] else "Share of predictions that stay as on the unchanged image"


def condition_tables(report: Report) -> tuple[Table, ...]:
    """The conditions of the model itself, and those that evaluate another predictor, such as one behind a detector."""
    own, data = cells.changes_of(report.data), report.data
    apart = [row for row in data["conditions"] if row not in own]
    clean = {"condition": "clean", "accuracy": data["clean"], "consistency": None}
    found = [_table(report, [*([clean] if data["clean"] else []), *own], "Every change", brief=True)]
    if apart:
        about = (
            "Conditions that evaluate another predictor than the bare model, such as a certified one, or the model "
            "behind a detector, where an image that is rejected counts as wrong"
        )
        found.append(_table(report, apart, about))
    return tuple(t for t in found if t.rows)


def _table(report: Report, rows: Sequence[Row], about: str, *, brief: bool = False) -> Table:
    """Accuracy, what was lost, the same prediction, passes; of runs beside this one the accuracy."""
    clean, others = report.data["clean"], [o for o in report.others if o.figures]
    what = "accuracy" if clean else "same prediction"
    heads = cells.columns(
        "condition",
        Column("accuracy", brief=bool(clean)),
        Column("drop", brief=bool(clean)),
        *(Column(f"{what}, {o.name}") for o in others),
        Column("same prediction", brief=not clean),
        *(cells.aside(title) for title in ("images", "forwards", "backwards")),
    )
    lines = []
    for row in rows:
        figure, accuracy = cells.metric(row), row["accuracy"]
        n = figure["n"] if figure else 0
        lost = clean and accuracy and row["condition"] != "clean"
        drop = f"{100 * (clean['value'] - accuracy['value']):.1f}" if lost else ""
        line: list[Cell | Text] = [
            wording.condition_name(row) if "norm" in row else "unchanged",
            cells.share(accuracy),
            drop,
            *(cells.share(o.figures.get(row["condition"])) for o in others),
            cells.share(row["consistency"]),
            str(n),
            *(wording.number(row[k] / n) if n and k in row else "" for k in ("forwards", "backwards")),
        ]
        lines.append(tuple(line))
    caption = (
        f"{about}: accuracy, percentage points below the unchanged images, and the share of predictions that are those "
        "of the unchanged image, with 95 % intervals; passes a sample."
    )
    return Table(caption, heads, tuple(lines), brief=brief)


TITLES = {
    "mean_error": "mean error under corruptions",
    "mce": "mCE (mean corruption error, relative to AlexNet)",
    "relative_mce": "relative mCE",
    "worst_case": "correct under every change",
    "worst_natural": "correct under every change without an attacker",
    "worst_attack": "correct under every attack",
    "ece": "expected calibration error (ECE)",
    "brier": "Brier score",
    "non_finite": "images with outputs that are not finite",
}
"""Aggregates for people."""


def _titled(name: str) -> str:
    family = name.removeprefix("mean_error_")
    return TITLES.get(name) or (f"mean error under {family}" if family != name else name)


def aggregates(data: Mapping[str, Any]) -> tuple[Block, ...]:
    """Figures over several conditions, and apart from them those that could not be given, with the reason."""
    there, absent = list[tuple[str, Text]](), list[tuple[str, Text]]()
    for name, figure in data["aggregates"].items():
        if name == NON_FINITE and figure and not figure["value"]:
            continue  # as it should be
        if figure is None:
            reason = data["notes"].get(name) or data["notes"].get("calibration") or "no labels"
            absent.append((_titled(name), Span(f"none: {reason}", "soft")))
        else:
            ends = "" if figure["low"] is None else f" ({figure['low']:.4f} to {figure['high']:.4f})"
            about = f", n = {figure['n']}, {figure['interval']}; gates call it {name}"
            there.append((_titled(name), (f"{figure['value']:.4f}{ends}", Span(about, "soft"))))
    return tuple(Facts(tuple(facts), brief=facts is there) for facts in (there, absent) if facts)
