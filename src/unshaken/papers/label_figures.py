"""Figures of a training on wrong labels, from the rows that `label_curves` writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshaken.measure import share
from unshaken.papers.rows import Rows, share_of


def best_epoch(rows: Rows, arm: str) -> int:
    """The epoch, from 0, after which most of the images to choose by were right; to be asked within `choosing()`."""
    return int(np.argmax(rows.table("epochs", f"{arm}.choosing").sort_by("epoch")["correct"].to_numpy()))


def training_figures(rows: Rows, arm: str, best: int) -> dict[str, Any]:
    """Accuracy by true labels after the last epoch and at the best one, and what became of the training labels.

    Args:
        rows: with the outcomes `<arm>.test`, and those of `write_curves` and `training_rows`.
        arm: label of the network.
        best: see `best_epoch`.
    """
    epochs = rows.table("epochs", f"{arm}.test").sort_by("epoch")
    right, n = (int(epochs[name][best].as_py()) for name in ("correct", "n"))
    given, truth, predicted = (rows.table("training", arm)[name].to_numpy() for name in ("given", "truth", "predicted"))
    wrong = given != truth
    memorised = rows.table("memorised", arm).sort_by("epoch")["memorised"].to_pylist()
    return {
        "last": rows.accuracy(f"{arm}.test"),
        "best": share(right, n).to_json(),
        "best_epoch": best + 1,
        "memorised": share_of((predicted == given)[wrong]),
        "corrected": share_of((predicted == truth)[wrong]),
        "fitted": share_of((predicted == given)[~wrong]),
        "wrong_labels": round(float(wrong.mean()), 4),
        "memorised_by_epoch": [round(v, 3) for v in memorised],
    }
