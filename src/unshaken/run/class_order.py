"""Finds classes in another order than the model's: a confusion matrix that is nearly a permutation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from unshaken.core.flag import Flag, FlagKind
from unshaken.core.part import CLEAN

PERMUTED = FlagKind(
    "permuted-classes",
    "labels and predictions agree once classes are exchanged",
    "Name the classes in the order of the outputs (?classes=FILE in the model's SPEC), or correct the labels.",
)
SHARE = 2 / 3
"""Share of a class's samples that must be predicted as one and the same class."""
FEWEST = 10
"""Samples of a class, or of all exchanged ones where the exchange explains much, below which nothing is said."""
MUCH = 0.25
"""Rise of the accuracy by the exchange from which classes with fewer than `FEWEST` samples count."""
_SHOWN = 8


def exchanged_classes(labels: ArrayLike, predictions: ArrayLike) -> dict[int, int]:
    """Label to the class that is predicted in its place, where the classes are exchanged; empty where they are not.

    A class is exchanged when at least `SHARE` of its two or more samples are predicted as one other class, as which no
    third class mostly is. Classes with fewer than `FEWEST` samples count only where together they have that many and
    the exchange raises the accuracy by `MUCH`. Nothing is said of a single class.

    Args:
        labels: int `[N]`.
        predictions: int `[N]`, negative where the model gave none.

    >>> exchanged_classes([0] * 9 + [1] * 9 + [2] * 9, [1] * 9 + [0] * 8 + [2] + [2] * 9)
    {0: 1, 1: 0}
    """
    y, z = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    target: dict[int, int] = {}
    for label in np.unique(y).tolist():
        values, counts = np.unique(z[y == label], return_counts=True)
        most = int(counts.argmax())
        if counts.sum() > 1 and counts[most] >= SHARE * counts.sum() and values[most] >= 0:
            target[label] = int(values[most])
    alone = {k for k, n in Counter(target.values()).items() if n == 1}
    moved = {label: k for label, k in target.items() if k != label and k in alone}
    if sum(len(y[y == k]) for k in moved) < FEWEST or _agreement(z, _renamed(y, moved)) - _agreement(z, y) < MUCH:
        moved = {label: k for label, k in moved.items() if len(y[y == label]) >= FEWEST}
    return moved if len(moved) > 1 else {}


def check_order_of_classes(frame: pa.Table, classes: Sequence[str]) -> list[Flag]:
    """A flag with the permutation, where clean predictions agree with the labels up to one.

    Args:
        frame: outcomes of good samples.
        classes: names in logit order.
    """
    clean = frame.filter(pc.and_(pc.equal(frame["condition"], CLEAN.id), pc.is_valid(frame["label"])))
    labels, predictions = clean["label"].to_numpy(), clean["prediction"].to_numpy()
    moved = exchanged_classes(labels, predictions)
    if not moved:
        return []
    before, after = _agreement(predictions, labels), _agreement(predictions, _renamed(labels, moved))
    pairs = [f"{_name(classes, a)} is predicted as {_name(classes, b)}" for a, b in list(moved.items())[:_SHOWN]]
    more = f", and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
    text = f"{', '.join(pairs)}{more}; exchanged so, {after:.1%} of the predictions are right, not {before:.1%}"
    return [PERMUTED.flag(text)]


def _renamed(labels: NDArray[np.int64], moved: Mapping[int, int]) -> NDArray[np.int64]:
    return np.array([moved.get(k, k) for k in labels.tolist()], np.int64)


def _agreement(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    return float((predictions == labels).mean())


def _name(classes: Sequence[str], k: int) -> str:
    return f"{classes[k]!r}" if k < len(classes) else f"class {k}"
