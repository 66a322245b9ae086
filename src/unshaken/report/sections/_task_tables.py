"""Rows and tables that reports of tasks other than classification share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.core.part import Condition
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Heading, Prose, Span, Table, Text
from unshaken.report.cells import Row
from unshaken.report.read.methods import ATTACK, OTHER
from unshaken.report.sections import Report, Source
from unshaken.report.sections import _strengths as strengths

CLASSIFICATION: Mapping[str, Any] = {
    "aggregates": dict.fromkeys(
        (
            "mean_error",
            "mce",
            "relative_mce",
            "worst_case",
            "worst_natural",
            "worst_attack",
            "ece",
            "brier",
            "non_finite",
        )
    ),
    "attacks": [],
    "norms": [],
    "worst_case": None,
    "robust": [],
    "budgets": [],
    "calibration": None,
    "classes": [],
    "headline": None,
    "confusion": [],
    "minimal_norms": [],
}
"""What `summary.json` holds of classification, where there is none."""


def condition_row(source: Source, one: Condition, figures: Mapping[str, Row | None]) -> Row:
    """Make the record of a condition in `summary.json`.

    Args:
        source: of the figures.
        one: the condition.
        figures: of the task, by name.
    """
    frame = source.frame
    group = frame.apart.get(one.id) or (ATTACK if one.id in frame.attacked else None)
    group = group or source.methods.family(one.method) or OTHER
    spent = frame.spent[one.id]
    strength: Row = {} if one.severity is None else {"severity": one.severity}
    if one.eps is not None:
        strength["eps"] = one.eps
    return {
        "condition": one.id, "method": one.method, **strength, "norm": one.norm, "group": group,
        "accuracy": None, "consistency": None, **figures,
        "forwards": spent.forwards, "backwards": spent.backwards, "seconds": spent.seconds,
    }  # fmt: skip


def lacking(source: Source) -> dict[str, str]:
    """Conditions that lack rows of good samples, in words."""
    frame = source.frame
    return {
        c: f"{k} of {cells.counted(len(frame.ids), 'sample')} {'has' if k == 1 else 'have'} no row yet"
        for c, k in frame.lacking().items()
    }


def conditions_table(data: Mapping[str, Any], found: Mapping[str, Any], titles: Mapping[str, str], about: str) -> Table:
    """Unchanged images and every condition: two figures, the difference of the first, passes an image.

    Args:
        data: `summary.json`.
        found: figures of the unchanged images, and `images`.
        titles: of two figures, by their names.
        about: what they are, at the start of the caption.
    """
    (first, second), heads = titles, cells.columns(
        "condition", *titles.values(), "difference", cells.aside("forwards an image")
    )  # fmt: skip
    rows: list[tuple[Cell | Text, ...]] = [
        ("unchanged", cells.share(found[first], bar=True), cells.share(found[second]), "", "1")
    ]
    rows += [
        (
            wording.condition_name(row),
            cells.share(row[first], bar=True),
            cells.share(row[second]),
            cells.points(row["difference"]),
            wording.number(row["forwards"] / found["images"]),
        )
        for row in data["conditions"]
    ]
    return Table(
        f"{about}, and the paired difference to the unchanged images in points.", heads, tuple(rows), brief=True
    )


def opening(report: Report, name: str, key: str, images: int) -> list[Text]:
    """The figure of the unchanged images, and the change that lowers it most, as sentences.

    Args:
        report: of the run.
        name: of the figure for people.
        key: of the figure in a condition of `summary.json`.
        images: unchanged images.
    """
    clean, worst = report.data["clean"], cells.worst_of(cells.changes_of(report.data))
    source, value = Span(report.data["provenance"]["data"], "code"), Span(wording.percent(clean["value"]), "strong")
    texts: list[Text] = [
        (f"The {name} on {images} unchanged images of ", source, " is ", value, f" ({wording.span(clean)}).")
    ]
    if worst:
        left = Span(wording.percent(worst[key]["value"]), "strong")
        texts.append((Span(wording.condition_name(worst), "strong"), " lowers it most: ", left, " are left."))
    return texts


def strength_blocks(report: Report, name: str) -> list[Block]:
    """Curves and heat maps of a figure by the strength of each change.

    Args:
        report: of the run.
        name: of the figure for people.
    """
    curves, heats = strengths.curves(report), strengths.heat_maps(report)
    found: list[Block] = [Heading("By strength" if curves or heats else "All figures", "strength", "Strength")]
    if curves:
        text = f"{name} against the strength of the change, in per cent; the shade is the 95 % interval."
        found += [Prose(text), *curves]
    return [*found, *heats]


def hundredths(value: float | None) -> str:
    """A share in per cent, without its sign; empty for none."""
    return "" if value is None else f"{100 * value:.1f}"
