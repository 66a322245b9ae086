"""Mean intersection over union, and its change, with intervals from the bootstrap of images.

The counts of images are added up before they are divided, so that an image that is drawn twice counts twice and helps
nobody: unlike average precision, whose ranked detections find a repeated object again, the ratio of sums is smooth, and
the plain bootstrap holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.detection_bootstrap import interval
from unshaken.measure.segmentation.overlap import iou
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import bootstrap_means, percent


@dataclass(frozen=True, slots=True)
class Overlaps:
    """mIoU of one set of images, and of resamples of it.

    Args:
        value: on all images, in [0, 1]: the mean over classes that are predicted or labelled.
        draws: `[B]`; draws of the same seed and number of images are of the same images.
        images: their number.
    """

    value: float
    draws: Numbers
    images: int


def resampled_miou(counts: Numbers, *, resamples: int = 1000, seed: int = 0) -> Overlaps:
    """mIoU, and its bootstrap draws.

    Args:
        counts: pixels by image and class, `[N, 3, K]`: intersection, predicted, labelled.
        resamples: B.
        seed: of the draws.

    Raises:
        ParameterError: there is no image, or no pixel that counts.
    """
    counts = np.asarray(counts, np.float64)
    if not len(counts) or not counts.any():
        raise ParameterError(f"{len(counts)} images without a pixel that counts: mIoU needs one")
    value = mean_iou(counts.sum(0))
    means = bootstrap_means(counts.reshape(len(counts), -1), resamples=resamples, seed=seed)
    draws = mean_iou(means.reshape(-1, *counts.shape[1:]))
    return Overlaps(float(value), np.where(np.isnan(draws), value, draws), len(counts))


def mean_iou(counts: Numbers) -> Numbers:
    """The mean of intersection over union over the classes that are there; NaN where none is.

    Args:
        counts: `[..., 3, K]`.

    >>> float(mean_iou(np.array([[2, 0, 1], [3, 0, 1], [3, 0, 1]])))
    0.75
    """
    found = iou(counts)
    there = ~np.isnan(found)
    total, number = np.where(there, found, 0).sum(-1), there.sum(-1)
    return np.asarray(np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0))


def miou_figure(overlaps: Overlaps, *, level: float = 0.95) -> Figure:
    """The figure of mIoU: bias and standard error of the bootstrap, on the logit scale."""
    inside = 0 < overlaps.value < 1
    return interval(overlaps.value, overlaps.draws, [0.0, 1.0], overlaps.images, level, logit=inside)


def miou_difference(baseline: Overlaps, candidate: Overlaps, *, level: float = 0.95) -> Figure:
    """The candidate's mIoU less the baseline's, paired: both on the same images, drawn together.

    Draws that are all alike are no certainty: images of another kind may be as many as n images can miss.

    Raises:
        ParameterError: the images or draws are not as many.
    """
    if (baseline.images, len(baseline.draws)) != (candidate.images, len(candidate.draws)):
        raise ParameterError(
            f"a paired difference needs the same images: {baseline.images} came with {candidate.images}, and "
            f"{len(baseline.draws)} draws with {len(candidate.draws)}"
        )
    value = candidate.value - baseline.value
    rare = 1 - (1 - level) ** (1 / baseline.images)
    draws = candidate.draws - baseline.draws
    found = interval(value, draws, [value - rare, value + rare], baseline.images, level)
    same = bool(np.ptp(draws) < 1e-9)
    return replace(found, interval=f"none seen {percent(level)}") if same else found
