"""Pixels near the boundary of masks, and counts by class of one image: what boundary IoU is made of."""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers

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
        ignored: see above.

    Returns:
        `[N, 3, K]`; `iou` makes intersection over union of them, and of their sums over images.
    """
    predicted, labels = np.asarray(predicted, np.int64), np.asarray(labels, np.int64)
    known = labels != ignored
    said, there = known & (predicted >= 0) & (predicted < classes), known & (labels < classes)
    if width is not None:
        said &= boundary_band(predicted, width, ignored=-2)
        there &= boundary_band(labels, width, ignored=ignored)
    image = np.broadcast_to(np.arange(len(labels))[:, None, None], labels.shape) * classes
    parts = ((predicted, said & there & (predicted == labels)), (predicted, said), (labels, there))
    counts = [np.bincount((image + k)[chosen], minlength=len(labels) * classes) for k, chosen in parts]
    return np.stack([one.reshape(len(labels), classes) for one in counts], 1).astype(np.float64)
