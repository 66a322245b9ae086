"""Confusions: which classes are taken for which, unchanged and under the condition of the headline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from unshaken import measure
from unshaken.core.classifier import NO_CLASS
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Group, Heading, Prose, Span, Table, TableRow
from unshaken.report.cells import Row
from unshaken.report.figures.pictures import class_name
from unshaken.report.read.frame import ABSENT, Frame
from unshaken.report.sections import Report, Section

LARGEST_MATRIX = 20
"""Classes of the largest matrix that is given; above it there are pairs only."""
EACH = 5
"""Images of each class, on average, from which on a matrix is drawn; below it nearly all its cells are 0 or 1.

It also needs a wrong image a class, on average: of fewer the table of pairs says as much.
"""
MOST_PAIRS = 20
"""Pairs of classes that are given."""
PAIRS, NAMED = 8, 3
"""Pairs of a condition in the table, and in the sentence."""


class Confusion(Section):
    """The most frequent confusions as a sentence, as matrices, and as a table."""

    name = "confusion"
    task = "classification"
    order = 12

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        shown = [one for one in report.data["confusion"] if one["wrong"]]
        if not shown:
            return ()
        names = {"clean": "unchanged images"}
        names |= {row["condition"]: wording.condition_name(row) for row in report.data["conditions"]}
        sentences = []
        for one in shown:
            pairs = [
                f"{p['name']} taken for {p['predicted_name']} ({p['count']} of {p['share']['n']})"
                for p in one["pairs"][:NAMED]
            ]
            clean = one["condition"] == "clean"
            where = "Confused most often on unchanged images:" if clean else f"Under {names[one['condition']]}:"
            sentences.append(f"{where} {', '.join(pairs)}.")
        found: list[Block] = [Heading("Confusions", "confusion", "Confusions"), Prose(" ".join(sentences), brief=True)]
        matrices = [_matrix(one, names) for one in shown if one["matrix"] and _carries_matrix(one)]
        if matrices:
            text = (
                "A row is a true class, a column what the model said, a number a count of images. In bold the images "
                "that are classified correctly; the redder another cell, the larger its share of the row."
            )
            found += [Prose(text, "small"), *matrices]
        return [*found, _table(shown, names)]


def _carries_matrix(one: Row) -> bool:
    """Whether there are images enough, right and wrong, for a matrix to show more than single images."""
    classes = len(one["names"])
    return bool(one["n"] >= EACH * classes and one["wrong"] >= classes)


def _matrix(one: Row, names: Mapping[str, str]) -> Table:
    rows = []
    for i, (name, counts) in enumerate(zip(one["names"], one["matrix"], strict=True)):
        rows.append((name, *(_count(n, sum(counts), i == j, name, one["names"][j]) for j, n in enumerate(counts))))
    name = names[one["condition"]]
    caption = f"{name[:1].upper()}{name[1:]}: {one['wrong']} of {cells.counted(one['n'], 'image')} classified wrongly."
    return Table(caption, cells.columns("true class", *one["names"]), tuple(rows), "matrix")


def _count(n: int, total: int, right: bool, name: str, predicted: str) -> Cell:
    title = f"{name}: {n} of {total} classified correctly" if right else f"{name} taken for {predicted}: {n} of {total}"
    if right:
        return Cell(Span(str(n), "strong"), heat=0.0, title=title)
    return Cell(str(n) if n else Span("0", "soft"), heat=round(n / total, 3) if n else 0.0, title=title)


def _table(shown: Sequence[Row], names: Mapping[str, str]) -> Table:
    rows: list[TableRow] = []
    for one in shown:
        about = f" {one['wrong']} of {cells.counted(one['n'], 'image')} wrong"
        rows.append(Group((names[one["condition"]], Span(about, "soft"))))
        for p in one["pairs"][:PAIRS]:
            rows.append((p["name"], p["predicted_name"], str(p["count"]), cells.share(p["share"])))
    more = any(len(one["pairs"]) > PAIRS for one in shown)
    caption = f"Classes most often confused{'; more in summary.json' if more else ''}."
    heads = (
        Column("true class", number=False),
        Column("taken for", number=False),
        Column("images"),
        Column("of the true class"),
    )
    return Table(caption, heads, tuple(rows), "narrow")


def confusion(frame: Frame, condition: str, names: Sequence[str]) -> dict[str, Any] | None:
    """Which classes the model takes for which under one condition.

    Args:
        frame: outcomes of the run.
        condition: its id.
        names: of the classes.

    Returns:
        One record of `confusion` in `summary.json`; None where no sample has a label and a row. Outputs of NaN
        or infinity are a class of their own.
    """
    predicted = frame.prediction[:, frame.column(condition)]
    known = (frame.labels >= 0) & (predicted != ABSENT)
    if not known.any():
        return None
    labels, predicted = frame.labels[known], predicted[known].astype(np.int64)
    classes = max(len(names), int(labels.max()) + 1, int(predicted.max()) + 1)
    if (predicted == NO_CLASS).any():  # wrong answers, in a class of their own behind all others
        names = [*(class_name(names, k) for k in range(classes)), class_name(names, NO_CLASS)]
        predicted, classes = np.where(predicted == NO_CLASS, classes, predicted), classes + 1
    codes, counts = np.unique(labels * classes + predicted, return_counts=True)
    cells = [(int(code) // classes, int(code) % classes, int(n)) for code, n in zip(codes, counts, strict=True)]
    size = np.bincount(labels)
    wrong = sorted((c for c in cells if c[0] != c[1]), key=lambda c: (-c[2], -c[2] / size[c[0]], c[:2]))
    matrix = np.zeros((classes, classes), np.int64) if classes <= LARGEST_MATRIX else None
    if matrix is not None:
        np.add.at(matrix, (labels, predicted), 1)
    return {
        "condition": condition,
        "n": len(labels),
        "wrong": sum(n for *_, n in wrong),
        "pairs": [
            {
                "label": label,
                "name": class_name(names, label),
                "predicted": other,
                "predicted_name": class_name(names, other),
                "count": n,
                "share": measure.share(n, int(size[label])).to_json(),
            }
            for label, other, n in wrong[:MOST_PAIRS]
        ],
        "names": [] if matrix is None else [class_name(names, k) for k in range(classes)],
        "matrix": None if matrix is None else matrix.tolist(),
    }


section = Confusion()
