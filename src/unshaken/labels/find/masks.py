"""Wrong labels of masks: a score of each pixel and image, and the pixels that are taken for wrong, in two passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.core.masks import IGNORED
from unshaken.labels.engine.probabilities import SLACK
from unshaken.labels.find.multi_label import TEMPERATURE, softmin
from unshaken.measure.statistics.columns import Flags, Numbers

_EQUAL, _LEAST = 1e-6, 2e-6
"""Slack of a threshold, and its least value."""


@dataclass(frozen=True, slots=True)
class MaskScores:
    """The scores of masks.

    Args:
        score: how likely the mask of each image is right, `[N]`: the lower the more suspect; 1 without any label.
        flagged: pixels that are taken for wrong, bool `[N, H, W]`.
        pairs: of each image the flagged pixels by given and predicted class, int `[m, 3]`: the two, and their number.
        labelled: pixels of each given class, int `[K]`.
    """

    score: Numbers
    flagged: Flags
    pairs: list[NDArray[np.int64]]
    labelled: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Flagged pixels of the whole set by given and predicted class, int `[K, K]`."""
        found = np.zeros((len(self.labelled),) * 2, np.int64)
        for given, predicted, pixels in np.concatenate(self.pairs).tolist():
            found[given, predicted] += pixels
        return found


def find_masks(
    labels: NDArray[Any], probabilities: NDArray[Any], *, temperature: float = TEMPERATURE, shrink: int = 1
) -> MaskScores:
    """Score masks and flag their pixels.

    A pixel is flagged if its own probability is among the lowest, and its class is not the predicted one. As many are
    looked at as are predicted to be of another class whose probability is at least the mean of that class over the
    pixels that bear it. Probabilities are read image by image; in memory is one number a pixel.

    Args:
        labels: masks `[N, H, W]`, whole numbers from 0 to K - 1; pixels of 255 are ignored.
        probabilities: out of sample, `[N, K, H, W]`, such as mapped from a file.
        temperature: of `softmin` over the pixels of an image.
        shrink: factor by which labels and probabilities are averaged down before flagging, which is faster and less
            exact; height and width must be multiples of it, and no pixel may be ignored.

    Raises:
        DataError: shapes differ, a label is no class, or probabilities do not sum to 1.

    Source: Lad and Mueller 2023, arXiv:2307.05080; scores and flags are those of cleanlab 2.9, to which 255 is unknown.
    """
    check_masks(labels, probabilities, shrink)
    n, classes = probabilities.shape[:2]
    score = np.empty(n)
    labelled, pixels, totals = np.zeros(classes, np.int64), np.zeros(classes, np.int64), np.zeros(classes)
    for i, mask, p in _images(labels, probabilities):
        score[i] = _score(mask, p, temperature)
        known = mask != IGNORED
        labelled += np.bincount(mask[known], minlength=classes)
        small, q = _shrunk(mask, p, shrink)
        there = small != IGNORED
        own = q[:, there][small[there], np.arange(int(there.sum()))].astype(np.float64)
        pixels += np.bincount(small[there], minlength=classes)
        totals += np.bincount(small[there], own, classes)
    thresholds = np.maximum(totals / np.maximum(pixels, 1), _LEAST)
    flagged = _flags(labels, probabilities, thresholds, shrink)
    pairs = []
    for i, mask, p in _images(labels, probabilities):
        both = np.stack([mask[flagged[i]], p.argmax(0)[flagged[i]]], 1)
        kinds, counts = np.unique(both, axis=0, return_counts=True)
        pairs.append(np.concatenate([kinds, counts[:, None]], 1).astype(np.int64))
    return MaskScores(score, flagged, pairs, labelled)


def pixel_scores(mask: NDArray[Any], probabilities: NDArray[Any]) -> Numbers:
    """The probability of each pixel's own class, `[H, W]`; NaN where it is ignored.

    Args:
        mask: `[H, W]`.
        probabilities: `[K, H, W]`.
    """
    known = mask != IGNORED
    own = np.take_along_axis(probabilities, np.where(known, mask, 0)[None].astype(np.int64), 0)[0]
    return np.where(known, own.astype(np.float64), np.nan)


def check_masks(labels: NDArray[Any], probabilities: NDArray[Any], shrink: int = 1) -> None:
    """Check shapes and labels; probabilities are checked as they are read.

    Args:
        labels: `[N, H, W]`.
        probabilities: `[N, K, H, W]`.
        shrink: as for `find_masks`.

    Raises:
        DataError: something does not fit.
    """
    if probabilities.ndim != 4 or probabilities.shape[1] < 2 or not np.issubdtype(probabilities.dtype, np.floating):
        raise DataError(
            f"probabilities of masks must be floating-point numbers [N, K, H, W] of two classes or more, not "
            f"{probabilities.dtype} of shape {probabilities.shape}"
        )
    n, classes, height, width = probabilities.shape
    if labels.shape != (n, height, width) or not np.issubdtype(labels.dtype, np.integer) or not labels.size:
        raise DataError(
            f"masks must be whole numbers of shape {(n, height, width)} for these probabilities, not {labels.dtype} of "
            f"shape {labels.shape}"
        )
    for i in range(n):
        strange = (labels[i] != IGNORED) & ((labels[i] < 0) | (labels[i] >= classes))
        if strange.any():
            value = int(labels[i][strange][0])
            raise DataError(f"mask {i} holds {value}: needed are classes from 0 to {classes - 1}, or {IGNORED}")
        if shrink > 1 and (labels[i] == IGNORED).any():
            raise DataError(f"mask {i} has ignored pixels, which cannot be averaged: leave shrink at 1")
    if shrink < 1 or height % shrink or width % shrink:
        raise DataError(f"shrink={shrink} must divide height and width, {height} and {width}")


def _images(labels: NDArray[Any], probabilities: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any], NDArray[Any]]]:
    """Number, mask and probabilities of each image, checked."""
    for i in range(len(labels)):
        p = np.asarray(probabilities[i])
        sums = p.sum(0, dtype=np.float64)
        if not (float(p.min()) >= 0 and float(np.abs(sums - 1).max()) <= SLACK):  # NaN is bad too
            raise DataError(
                f"probabilities of image {i} run from {p.min():g} to {p.max():g}, and sum to {sums.min():g} to "
                f"{sums.max():g} a pixel; needed are probabilities that sum to 1 (are these logits?)"
            )
        yield i, np.asarray(labels[i]).astype(np.int64), p


def _score(mask: NDArray[Any], p: NDArray[Any], temperature: float) -> float:
    own = pixel_scores(mask, p)
    known = own[~np.isnan(own)]
    return float(softmin(known[None], temperature)[0]) if len(known) else 1.0


def _shrunk(mask: NDArray[Any], p: NDArray[Any], factor: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mask and probabilities averaged over squares; the mean label is rounded, as in cleanlab."""
    if factor == 1:
        return mask, p
    classes, height, width = p.shape
    small = p.reshape(classes, height // factor, factor, width // factor, factor).mean((4, 2))
    labels = mask.reshape(height // factor, factor, width // factor, factor).mean((3, 1))
    return np.round(labels).astype(np.int64), small / small.sum(0)


def _flags(labels: NDArray[Any], probabilities: NDArray[Any], thresholds: Numbers, shrink: int) -> Flags:
    """The lowest own probabilities, as many as are confidently predicted otherwise, less those that are predicted."""
    n, _, height, width = probabilities.shape
    shape = n, height // shrink, width // shrink
    own, wrong = np.full(shape, np.inf), 0
    predicted = np.zeros((n, height, width), bool)
    for i, mask, p in _images(labels, probabilities):
        predicted[i] = p.argmax(0) == mask
        small, q = _shrunk(mask, p, shrink)
        known = small != IGNORED
        best = q.argmax(0)
        sure = np.take_along_axis(q, best[None], 0)[0] >= thresholds[best] - _EQUAL
        wrong += int((sure & known & (best != small)).sum())
        scores = np.take_along_axis(q, np.where(known, small, 0)[None], 0)[0]
        own[i] = np.where(known, scores, np.inf)
    chosen = _lowest(own.reshape(-1), wrong).reshape(shape)
    return np.asarray(chosen.repeat(shrink, 1).repeat(shrink, 2) & ~predicted, bool)


def _lowest(values: Numbers, count: int) -> Flags:
    """The lowest values, of equal ones the first; without sorting all of them."""
    chosen = np.zeros(len(values), bool)
    if count > 0:
        cut = np.partition(values, count - 1)[count - 1]
        chosen |= values < cut
        equal = np.flatnonzero(values == cut)
        chosen[equal[: count - int(chosen.sum())]] = True
    return chosen
