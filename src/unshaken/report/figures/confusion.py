"""Confusions: which classes the model takes for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unshaken import measure
from unshaken.core.classifier import NO_CLASS
from unshaken.report.figures.pictures import class_name
from unshaken.report.read.frame import ABSENT, Frame

MATRIX = 20
"""Classes of the largest matrix that is given; above it there are pairs only."""
PAIRS = 20
"""Pairs of classes that are given."""


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
    matrix = np.zeros((classes, classes), np.int64) if classes <= MATRIX else None
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
            for label, other, n in wrong[:PAIRS]
        ],
        "names": [] if matrix is None else [class_name(names, k) for k in range(classes)],
        "matrix": None if matrix is None else matrix.tolist(),
    }
