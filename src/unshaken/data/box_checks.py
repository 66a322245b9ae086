"""Checks of boxes from strangers' files: those that cannot be used, and files whose numbers mean something else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError

LARGEST_SHARE = 2.0
"""Width or height of a box in sides of its photo above which these are no shares."""
BEYOND = 0.01
"""Share of a photo's side by which a box may leave the photo; what is outside is cut off."""
ENOUGH = 10
"""Boxes from which the number of those that leave their photos says something."""


def faults_of(boxes: NDArray[np.float64]) -> dict[int, str]:
    """The boxes that cannot be used, and why.

    Args:
        boxes: `[n, 4]` as in `BoxTable`, of strangers.
    """
    x, y, w, h = boxes.T
    with np.errstate(invalid="ignore", over="ignore"):
        tests = {
            "is not finite": ~np.isfinite(boxes).all(1),
            "has a width or height below 0": (w < 0) | (h < 0),
            "is empty: its width or height is 0": (w == 0) | (h == 0),
            "is more than twice as large as its photo": (w > LARGEST_SHARE) | (h > LARGEST_SHARE),
            "lies outside of its photo": (x + w / 2 <= 0) | (x - w / 2 >= 1) | (y + h / 2 <= 0) | (y - h / 2 >= 1),
        }
    found: dict[int, str] = {}
    for why, wrong in tests.items():
        for row in np.flatnonzero(wrong).tolist():
            found.setdefault(row, why)
    return found


def check_spread(boxes: NDArray[np.float64], where: str, form: str) -> None:
    """Refuse boxes most of which leave their photos: their numbers mean something else.

    Args:
        boxes: `[n, 4]` as in `BoxTable`, of strangers.
        where: the file, for messages.
        form: that they should have, for messages.

    Raises:
        DataError: more than half of them leave their photos.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
        leaves = ((low < -BEYOND) | (high > 1 + BEYOND)).any(1)
    if len(boxes) >= ENOUGH and 2 * leaves.sum() > len(boxes):
        raise DataError(f"{where}: {leaves.sum():,} of {len(boxes):,} boxes leave their photos; write {form}")
