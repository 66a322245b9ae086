"""Edits of attributes: what each costs, paired with the unedited images and with the mirrored background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.measure import compare
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Heading, Prose, Table
from unshaken.report.cells import Row
from unshaken.report.read.frame import Frame
from unshaken.report.sections import Report, Section, SectionFigures, Source

CONTROL = "background-mirror"
"""The method whose edit keeps the attributes of the background."""
NUMBER = {"type": ["number", "null"]}
FIGURE = {"$ref": "#/$defs/figure_or_null"}


class Attributes(Section):
    """Drops by edit, on the images that it could edit."""

    name = "attributes"
    table = "attribute_edits"
    order = 42
    schema = {
        "attributes": {
            "type": "array",
            "description": "edits of attributes: accuracy lost on the same images, and beyond the mirrored background",
            "items": {
                "type": "object",
                "required": ["condition", "method", "severity", "drop", "beyond_control", "edited", "left_out"],
                "properties": {
                    "drop": FIGURE,
                    "beyond_control": FIGURE,
                    "object_size": NUMBER,
                    "edited_size": NUMBER,
                    "complexity_ratio": NUMBER,
                },
            },
        }
    }
    empty = {"attributes": []}

    @override
    def figures(self, source: Source) -> SectionFigures:
        table, frame = source.run.rows("attribute_edits"), source.frame
        control = next((j for j, c in enumerate(frame.conditions) if c.method == CONTROL), None)
        edited = set(pc.unique(table["condition"]).to_pylist())
        edits = [(j, c) for j, c in enumerate(frame.conditions) if c.id in edited]
        rows = [
            {
                "condition": condition.id,
                "method": condition.method,
                "severity": condition.severity,
                "drop": drop(frame, 0, place),
                "beyond_control": None if control is None or control == place else drop(frame, control, place),
                **describe(table.filter(pc.equal(table["condition"], condition.id))),
            }
            for place, condition in edits
        ]
        return SectionFigures({"attributes": rows})

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        rows: list[Row] = [r for r in report.data["attributes"] if r["drop"]]
        if not rows:
            return ()
        rows.sort(key=lambda r: -float(r["drop"]["value"]))
        controlled = any(r["beyond_control"] for r in rows)
        beyond = (
            f"Filled holes and pasted edges cost accuracy, too: beyond the control is what an edit costs more than the "
            f"mirrored own background ({CONTROL}) on the same images."
            if controlled
            else f"Filled holes and pasted edges cost accuracy, too: add {CONTROL} to the plan as a control."
        )
        besides = ("beyond the control",) if controlled else ()
        heads = cells.columns("edit", "lost, points", *besides, "object", "edited", "complexity", "images")
        lines = tuple(_line(r, controlled=controlled) for r in rows)
        caption = (
            "Accuracy lost by each edit in percentage points, paired on the images that could be edited. Object: its "
            "share of the picture before and after. Complexity: of the edited image over that of the original."
        )
        text = f"One attribute of each image was edited, and the rest of it stays. {beyond}"
        return Heading("Attributes", "attributes", "Attributes"), Prose(text), Table(caption, heads, lines)


def drop(frame: Frame, before: int, after: int) -> Row | None:
    """The accuracy lost from one condition to another on the images that have an answer under both; None without any.

    Args:
        frame: outcomes of the run.
        before: place of the first condition; 0 for the unedited images.
        after: place of the second.
    """
    one, other = frame.right[:, before], frame.right[:, after]
    both: NDArray[np.bool_] = (one >= 0) & (other >= 0)
    return compare(other[both] == 1, one[both] == 1).difference.to_json() if both.any() else None


def describe(table: pa.Table) -> Row:
    """Means over the edited images of one condition, and how many could not be edited."""
    good = table.filter(pc.is_null(table["error"]))
    means: dict[str, Any] = {name: pc.mean(good[name]).as_py() for name in ("object_size", "edited_size")}
    ratio = pc.mean(pc.divide(good["edited_complexity"], good["complexity"])).as_py() if len(good) else None
    return {
        **means,
        "complexity_ratio": ratio if ratio is not None and np.isfinite(ratio) else None,
        "edited": len(good),
        "left_out": len(table) - len(good),
    }


def _line(row: Row, *, controlled: bool) -> tuple[Any, ...]:
    name = wording.condition_name({**row, "eps": None, "norm": None})
    beyond = (cells.points(row["beyond_control"]),) if controlled else ()
    ratio = row["complexity_ratio"]
    left = f"{row['edited']} of {row['edited'] + row['left_out']}" if row["left_out"] else str(row["edited"])
    return cells.line(
        name, cells.points(row["drop"]), *beyond, wording.percent(row["object_size"]),
        wording.percent(row["edited_size"]), "–" if ratio is None else f"{ratio:.2f}", left,
    )  # fmt: skip


section = Attributes()
