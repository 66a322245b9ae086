"""The headline of a report: the strongest condition that still tells one model from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.measure import compare
from unshaken.report import cells
from unshaken.report.cells import Row
from unshaken.report.read.frame import Frame


def headline(frame: Frame, data: Mapping[str, Any], classes: int) -> Row | None:
    """The headline of a run.

    An accuracy of nought says no more than that the change was too strong. So the headline is the lowest figure that is
    informative: its interval lies above chance and below the figure of the unchanged images. What lies no better than
    chance stands beside it as `collapse`, at the weakest strength of the most damaging method that does so.

    Args:
        frame: outcomes of the run.
        data: `clean` and `conditions` of `summary.json`.
        classes: number of classes of the model; 0 where it is not known.

    Returns:
        `headline` of `summary.json`; None without conditions.
    """
    rows = [r for r in cells.changes_of(data) if cells.metric(r)]
    if not rows:
        return None
    top, chance = data["clean"]["value"] if data["clean"] else 1.0, 1 / classes if classes else 0.0
    row = strongest(rows, top, chance)
    collapsed = [r for r in rows if at_chance(r, chance)]
    return {
        "chance": chance,
        "condition": row and row["condition"],
        "difference": row and data["clean"] and _difference(frame, row["condition"]),
        "collapse": _weakest(collapsed) if collapsed else None,
    }


def strongest(rows: Sequence[Row], top: float, chance: float) -> Row | None:
    """The condition with the lowest informative figure; None where none is informative.

    Args:
        rows: conditions of `summary.json`.
        top: figure of the unchanged images, in [0, 1].
        chance: figure of a model that guesses, in [0, 1].
    """

    def informative(figure: Row) -> bool:
        return bool(figure["low"] > chance and figure["high"] < top)

    return cells.worst_of([r for r in rows if informative(cells.metric(r) or {"low": 0, "high": 0})])


def at_chance(row: Row, chance: float) -> bool:
    """Whether a condition leaves no more than a model that guesses would have, by its interval."""
    figure = cells.metric(row)
    return figure is not None and bool(figure["low"] <= chance)


def _weakest(rows: Sequence[Row]) -> str:
    """Of the most damaging method the condition with the least strength."""
    worst = cells.worst_of(rows) or rows[0]
    same = [r for r in rows if (r["method"], r["norm"]) == (worst["method"], worst["norm"])]
    return str(min(same, key=lambda r: r.get("eps") or r.get("severity") or 0.0)["condition"])


def _difference(frame: Frame, condition: str) -> Row | None:
    """Accuracy under a condition minus that of the unchanged images, paired."""
    clean, changed = frame.right[:, 0], frame.right[:, frame.column(condition)]
    known = (clean >= 0) & (changed >= 0)
    return compare(clean[known] == 1, changed[known] == 1).difference.to_json() if known.any() else None
