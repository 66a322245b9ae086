"""Samples whose labels a review changed, as pictures with both labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from unshaken.labels.correct.outcome import ANOTHER
from unshaken.report import cells
from unshaken.report.blocks import Block, Heading, Prose, Span, Text
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures import pictures
from unshaken.report.figures.pictures import class_name

Row = Mapping[str, Any]
MODELS = (
    "The label before the review, the one after it, and how many models predict that; those that most models predict, "
    "and most surely, come first."
)
NONE = "The label before the review and the one after it; the most suspect ones of the search come first."


def changed_samples(record: Row, rows: Sequence[Row], images: Mapping[str, Tensor]) -> list[Block]:
    """A gallery of the clearest mistakes; where pictures are missing, a line that says why.

    Args:
        record: what `label-versions.json` holds.
        rows: of the table `label_changes`, the clearest first.
        images: of samples by id, each `[C, H, W]` in [0, 1].
    """
    if not rows:
        return []
    found: list[Block] = [Heading("The clearest mistakes", "worst", "Samples")]
    exhibits, size = [], 0
    for row in rows:
        if row["id"] not in images or size > pictures.BUDGET:
            continue
        picture = Picture(pictures.address(images[row["id"]]), f"Sample {row['id']}")
        size += len(picture.address)
        exhibits.append(Exhibit((picture,), tuple(_lines(record, row))))
    if exhibits:
        small = max(max(image.shape[1:]) for image in images.values()) < pictures.SIDE
        found.append(Prose(MODELS if record["models"] else NONE, "small"))
        found.append(Gallery(tuple(exhibits), small))
    if record["pictures"]:
        found.append(Prose(f"Pictures are missing: {record['pictures']}.", "note"))
    return found if len(found) > 1 else []


def _lines(record: Row, row: Row) -> list[Text]:
    names, models = record["classes"], len(record["models"])
    after = "no single label" if row["after"] is None else class_name(names, row["after"])
    lines: list[Text] = [Span(class_name(names, row["before"]), "bad"), Span(after, "good")]
    if models and row["after"] is not None:
        lines.append(Span(f"{row['right_after']} of {cells.counted(models, 'model')}", "soft"))
    if row["reason"]:
        lines.append(Span(row["decided"] if row["reason"] == ANOTHER else f"{row['reason']}, {row['decided']}", "soft"))
    return [*lines, Span(row["id"], "soft")]
