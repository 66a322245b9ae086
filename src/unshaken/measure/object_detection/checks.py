"""Checks of what is matched: boxes of an image and thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers

if TYPE_CHECKING:
    from unshaken.measure.object_detection.matching import Detections, Objects


def check_thresholds(thresholds: Numbers) -> None:
    """Refuse thresholds of the overlap outside (0, 1], or none.

    Raises:
        ParameterError: see above.
    """
    values = np.asarray(thresholds)
    if not values.size or not ((values > 0) & (values <= 1)).all():
        raise ParameterError(f"thresholds of the overlap must lie in (0, 1], not {values.tolist()}")


def check_image(found: Detections, objects: Objects, classes: int) -> None:
    """Refuse the boxes of an image that do not fit together.

    Raises:
        ParameterError: lengths differ, a class is not one of K, or a score, box or area is not finite.
    """
    sizes = {len(found.boxes), len(found.scores), len(found.classes)}, {len(objects.boxes), len(objects.crowd),
             len(objects.classes), len(objects.classes if objects.areas is None else objects.areas)}  # fmt: skip
    if max(map(len, sizes)) > 1:
        raise ParameterError("boxes, classes, scores, crowd and areas of one image must be as many as its boxes")
    if objects.areas is not None and not np.isfinite(objects.areas).all():
        raise ParameterError("an object has an area that is not finite: leave it out, or the area of the box counts")
    for name, part in (("a detection", found), ("an object", objects)):
        if len(part.classes) and not (part.classes.min() >= 0 and part.classes.max() < classes):
            strange = part.classes[(part.classes < 0) | (part.classes >= classes)][0]
            raise ParameterError(f"{name} is of class {strange}, which is not one of 0 to {classes - 1}")
        if not np.isfinite(part.boxes).all():
            raise ParameterError(f"{name} has a box that is not finite: leave it out")
    if not np.isfinite(found.scores).all():
        raise ParameterError("a detection has a score that is not finite: leave it out")
