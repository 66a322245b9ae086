"""Accuracy of top-1 predictions where an image has several valid labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Indices, flags, integers
from unshaken.measure.statistics.intervals import Figure, clopper_pearson, percent, share

Average = Literal["macro", "micro"]


@dataclass(frozen=True, slots=True)
class MultiLabels:
    """The reviewers' verdicts on N images; a class in none of an image's sets was not reviewed for it.

    Args:
        original: the one label that each image had before, int `[N]`.
        correct: C, the valid classes of each image, `[N]` collections.
        unclear: U, the classes on which reviewers did not agree; empty for none anywhere.
        wrong: W, the classes that are not in the image; empty for none anywhere.
        problematic: images left out of every score, bool `[N]`; None for none.

    Raises:
        ParameterError: lengths differ, or a label is not a whole number.
    """

    original: ArrayLike
    correct: Sequence[Collection[int]]
    unclear: Sequence[Collection[int]] = ()
    wrong: Sequence[Collection[int]] = ()
    problematic: ArrayLike | None = None
    labels: Indices = field(init=False, repr=False)
    """`original` as an array."""
    scored: Flags = field(init=False, repr=False)
    """The images that are not problematic, bool `[N]`."""

    def __post_init__(self) -> None:
        labels = integers("original", self.original)
        none = np.zeros(len(labels), bool)
        scored = ~(none if self.problematic is None else flags("problematic", self.problematic))
        sets = {"correct": self.correct, "unclear": self.unclear or none, "wrong": self.wrong or none}
        lengths = {name: len(column) for name, column in {**sets, "problematic": scored}.items()}
        if wrong := [f"{name} {n}" for name, n in lengths.items() if n != len(labels)]:
            raise ParameterError(f"original has {len(labels)} images, but {', '.join(wrong)}: give each image its set")
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "scored", scored)

    def __len__(self) -> int:
        return len(self.labels)

    def is_hit(self, predictions: ArrayLike, *, strict: bool = False) -> Flags:
        """The predictions that are valid, bool `[N]`, those of problematic images included.

        Args:
            predictions: top-1 classes, int `[N]`.
            strict: count C alone, not C and U.

        Raises:
            ParameterError: there is not one prediction for each image.
        """
        given = self._predicted(predictions)
        right = _are_in(given, self.correct)
        return right if strict else right | _are_in(given, self.unclear)

    def is_unreviewed(self, predictions: ArrayLike) -> Flags:
        """The predictions that nobody has judged, bool `[N]`: in none of the sets of images that are not problematic.

        It counts as wrong; a new model is underrated until its predictions are reviewed.

        Args:
            predictions: top-1 classes, int `[N]`.

        Raises:
            ParameterError: there is not one prediction for each image.
        """
        given = self._predicted(predictions)
        reviewed = _are_in(given, self.correct) | _are_in(given, self.unclear) | _are_in(given, self.wrong)
        return self.scored & ~reviewed

    def _predicted(self, predictions: ArrayLike) -> Indices:
        given = integers("predictions", predictions)
        if len(given) != len(self):
            raise ParameterError(f"{len(given)} predictions for {len(self)} annotated images: give one each")
        return given


def multi_label_accuracy(
    predictions: ArrayLike,
    annotations: MultiLabels,
    *,
    strict: bool = False,
    average: Average = "macro",
    classes: int | None = None,
    level: float = 0.95,
) -> Figure:
    """Share of images whose prediction is a valid label (MLA), problematic images left out.

    `macro`, the published number, is the mean over original classes k of `a_k`, the share of hits among the images of
    class k. Its interval is Clopper-Pearson's with the effective number of images `K^2 / sum_k 1/n_k` (Kish), which is
    that of a plain share where classes are of equal size.

    Args:
        predictions: top-1 classes, int `[N]`.
        annotations: the reviewers' verdicts on the same images.
        strict: count C alone; the published number counts U too.
        average: `macro` over original classes, or `micro` over images.
        classes: K, for `macro`: every class 0 to K-1 must have an image; None for the classes that `original` has.
        level: coverage of the interval.

    Raises:
        ParameterError: lengths differ, no image is left, or for `macro` a class has none left.

    Source: Vasudevan et al. 2022, arXiv:2205.04596, and its code.

    >>> toy = MultiLabels([0, 0, 0, 1], [{0, 3}, {0}, {0}, {1}], [{}, {5}, {}, {}], problematic=[0, 0, 1, 0])
    >>> multi_label_accuracy([3, 5, 0, 0], toy).value
    0.5
    """
    hits = annotations.is_hit(predictions, strict=strict)[annotations.scored]
    if not len(hits):
        raise ParameterError(f"all {len(annotations)} images are problematic: there is none to measure")
    if average == "micro":
        return share(int(hits.sum()), len(hits), level=level)
    wanted = np.unique(annotations.labels) if classes is None else np.arange(classes)
    labels = annotations.labels[annotations.scored]
    if (outside := ~np.isin(labels, wanted)).any():
        raise ParameterError(f"original has the label {labels[outside][0]}, which is none of {len(wanted)} classes")
    counts = _counts(labels, wanted)
    if not counts.all():
        raise ParameterError(
            f"class {wanted[counts == 0][0]} has no image that is not problematic, so that it has no accuracy: add "
            "images, or ask for the micro average"
        )
    value = float((_counts(labels[hits], wanted) / counts).mean())
    effective = len(wanted) ** 2 / (1 / counts).sum()
    low, high = clopper_pearson(value * effective, effective, level=level)
    method = f"clopper-pearson {percent(level)}, effective n {effective:.0f}"
    return Figure(value, min(float(low), value), max(float(high), value), len(labels), method)


def _are_in(predictions: Indices, sets: Sequence[Collection[int]]) -> Flags:
    """Whether each prediction is in its set; of no sets none is."""
    if not sets:
        return np.zeros(len(predictions), bool)
    return np.fromiter((p in s for p, s in zip(predictions.tolist(), sets, strict=True)), bool, len(predictions))


def _counts(labels: Indices, classes: Indices) -> Indices:
    """How many labels are of each class."""
    return np.bincount(np.searchsorted(classes, labels), minlength=len(classes))
