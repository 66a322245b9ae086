"""Overlap of predicted and labelled masks: intersection over union, Dice, boundaries, and mIoU with intervals.

The counts of images are added up before they are divided, so that an image that is drawn twice counts twice and helps
nobody: unlike average precision, whose ranked detections find a repeated object again, the ratio of sums is smooth, and
the plain bootstrap holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.operating_points import interval
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.intervals import Figure, bootstrap_figure, bootstrap_means
from unshaken.measure.statistics.means import alike_figure

_SAME = 1e-9
"""Draws that lie this close together are alike but for rounding."""


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
    """The figure of mIoU: bias and standard error of the bootstrap, on the logit scale.

    Where no draw differs, as at 0 under an attack, as many other images as n can miss may be segmented not at all, or
    without fault: that holds where images have about as many pixels of each class.
    """
    if np.ptp(overlaps.draws) < _SAME:
        return alike_figure(overlaps.value, overlaps.images, low=0.0, high=1.0, level=level, sums=2)
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
    value, draws = candidate.value - baseline.value, candidate.draws - baseline.draws
    if np.ptp(draws) < _SAME:
        return alike_figure(value, baseline.images, low=-1.0, high=1.0, level=level, sums=2)
    return bootstrap_figure(value, draws, baseline.images, level=level)


def iou(counts: ArrayLike) -> Numbers:
    """Intersection over union of each class; NaN of a class that is neither predicted nor labelled.

    Args:
        counts: numbers of pixels `[..., 3, K]`: intersection, predicted, labelled; over a whole data set for the usual
            figure, of which the mean over classes is mIoU.

    Returns:
        float64 `[..., K]`.

    >>> iou([[2, 0], [3, 0], [3, 0]]).tolist()
    [0.5, nan]
    """
    hits, predicted, labelled = np.moveaxis(np.asarray(counts, np.float64), -2, 0)
    return _ratio(hits, predicted + labelled - hits)


def dice(counts: ArrayLike) -> Numbers:
    """Dice coefficient of each class, `2 |A & B| / (|A| + |B|)`; NaN of an absent class.

    Args:
        counts: numbers of pixels `[..., 3, K]`, as for `iou`.

    Returns:
        float64 `[..., K]`.

    >>> dice([[2, 0], [3, 0], [3, 1]]).round(3).tolist()
    [0.667, 0.0]
    """
    hits, predicted, labelled = np.moveaxis(np.asarray(counts, np.float64), -2, 0)
    return _ratio(2 * hits, predicted + labelled)


def _ratio(top: Numbers, bottom: Numbers) -> Numbers:
    return np.asarray(np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0))


RATIO = 0.02
"""Width of the band as a share of the image's diagonal."""
Mask = NDArray[np.int64]


def band_width(height: int, width: int, ratio: float = RATIO) -> int:
    """Width of the band along a boundary in pixels, at least 1.

    >>> band_width(480, 640)
    16
    """
    return max(1, round(ratio * math.hypot(height, width)))


def boundary_band(masks: Mask, width: int, *, ignored: int = 255) -> NDArray[np.bool_]:
    """The pixels within a distance of another class, or of the border of the image.

    The distance is that of a square window, as repeated erosion by 3 x 3 pixels has it. Pixels that nobody labelled
    are no other class.

    Args:
        masks: a class for each pixel, `[N, H, W]`.
        width: distance in pixels, at least 1.
        ignored: value of pixels that nobody labelled; they are in no band.

    Returns:
        `[N, H, W]`.

    Raises:
        ParameterError: the width is below 1.

    >>> boundary_band(np.array([[[0, 0, 0, 0, 0]] * 3]), 1)[0, 1].tolist()
    [True, False, False, False, True]

    Source: Cheng et al. 2021, arXiv:2103.16562.
    """
    if width < 1:
        raise ParameterError(f"a band of {width} pixels is empty; the width is at least 1")
    masks = np.asarray(masks, np.int64)
    unknown, size = masks == ignored, (1, 2 * width + 1, 2 * width + 1)
    largest = scipy.ndimage.maximum_filter(np.where(unknown, -1, masks), size, mode="constant", cval=ignored + 1)
    smallest = scipy.ndimage.minimum_filter(np.where(unknown, ignored, masks), size, mode="constant", cval=-1)
    return np.asarray((largest != smallest) & ~unknown)


def image_counts(
    predicted: Mask, labels: Mask, classes: int, *, width: int | None = None, ignored: int = 255
) -> Numbers:
    """Count, for each image and class, the pixels that agree, that are predicted, and that are labelled.

    Args:
        predicted: a class for each pixel, `[N, H, W]`; a value outside 0 to K - 1 is no class.
        labels: the same shape; pixels of `ignored` are left out.
        classes: number of classes K.
        width: of the band along boundaries, for boundary IoU: each mask counts within its own band alone. None for all
            pixels.
        ignored: value of pixels that nobody labelled.

    Returns:
        `[N, 3, K]`; `iou` makes intersection over union of them, and of their sums over images.
    """
    predicted, labels = np.asarray(predicted, np.int64), np.asarray(labels, np.int64)
    known = labels != ignored
    given, there = known & (predicted >= 0) & (predicted < classes), known & (labels < classes)
    if width is not None:
        given &= boundary_band(predicted, width, ignored=-2)
        there &= boundary_band(labels, width, ignored=ignored)
    image = np.broadcast_to(np.arange(len(labels))[:, None, None], labels.shape) * classes
    parts = ((predicted, given & there & (predicted == labels)), (predicted, given), (labels, there))
    counts = [np.bincount((image + k)[chosen], minlength=len(labels) * classes) for k, chosen in parts]
    return np.stack([one.reshape(len(labels), classes) for one in counts], 1).astype(np.float64)
