"""Masks made wrong on purpose, by the models of ADELE's code: grown or shrunk classes, lost instances.

Every function takes masks as uint8 `[N, H, W]`, class 0 being the background, leaves ignored pixels as they are, and
returns new masks. The draw of an image follows from its generator alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unshaken.core.masks import IGNORED

Mask = NDArray[np.uint8]
AREA = 1000
"""Pixels that a class has, about, when it is grown or shrunk: each step then changes a similar share."""
_KERNEL = np.ones((3, 3), bool)


def shrink(mask: Mask, label: int, steps: int) -> Mask:
    """Erode a class at its standard size: each of its pixels that the erosion changes becomes background.

    Resizing changes a few pixels outside of the class too, which become background as well, as in the published code.

    Args:
        mask: `[H, W]`.
        label: the class.
        steps: erosions by a kernel of 3 x 3.
    """
    before, after = _processed(mask, label, steps, grow=False)
    return np.where((before != after) & (mask != IGNORED), np.uint8(0), mask)


def grow(mask: Mask, label: int, steps: int) -> Mask:
    """Dilate a class at its standard size: background pixels that the dilation reaches become the class.

    Args:
        mask: `[H, W]`.
        label: the class.
        steps: dilations by a kernel of 3 x 3.
    """
    before, after = _processed(mask, label, steps, grow=True)
    return np.where((before != after) & (mask == 0), np.uint8(label), mask)


def annotate_roughly(
    mask: Mask, steps: Sequence[tuple[int, int]], rng: np.random.Generator, *, grown: float = 0.5
) -> Mask:
    """Shrink or grow all classes of a mask, drawn once for the image (the noise that the published code calls final).

    Args:
        mask: `[H, W]`.
        steps: fewest and most steps of each class but the background, in order; published (2, 4) for all.
        rng: of the image.
        grown: probability that classes grow.
    """
    change = grow if rng.random() < grown else shrink
    for label, (least, most) in enumerate(steps, 1):
        mask = change(mask, label, int(rng.integers(least, most + 1)))
    return mask


def drop_instances(mask: Mask, label: int, rate: float, rng: np.random.Generator) -> Mask:
    """Forget instances of a class: each of its connected parts becomes background with a probability.

    Args:
        mask: `[H, W]`.
        label: the class.
        rate: probability of each part.
        rng: of the image.
    """
    parts, count = ndimage.label(mask == label)
    gone = np.concatenate([[False], rng.random(count) < rate])
    return np.where(gone[parts], np.uint8(0), mask)


def _processed(mask: Mask, label: int, steps: int, *, grow: bool) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """A class before and after; the change is made at the size at which it has about `AREA` pixels."""
    before = mask == label
    area = int(before.sum())
    if not area or not steps:
        return before, before
    factor = float(np.sqrt(AREA / area))
    height, width = (max(1, round(n * factor)) for n in mask.shape)
    large = _resized(before, height, width)
    if grow:
        changed = ndimage.binary_dilation(large, _KERNEL, iterations=steps)
    else:
        changed = ndimage.binary_erosion(large, _KERNEL, iterations=steps, border_value=1)
    return before, _resized(changed, *mask.shape)


def _resized(values: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """The nearest pixel of a picture at another size."""
    rows = ((np.arange(height) + 0.5) * values.shape[0] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * values.shape[1] / width).astype(np.int64)
    return np.asarray(values[np.ix_(rows, columns)])
