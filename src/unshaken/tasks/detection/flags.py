"""Doubts about a detector of objects, from its answers for the first images."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.boxes import NONE
from unshaken.core.device import widen
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.oracle import Oracle, required
from unshaken.core.trust import NON_FINITE
from unshaken.measure.object_detection.matching import box_iou

NO_DETECTIONS = FlagKind(
    "no-detections",
    "the detector finds nothing in images with objects",
    "Compare the SPEC's size, mean and std with those that the detector was trained with.",
)
OTHER_CLASSES = FlagKind(
    "other-classes",
    "boxes fit objects, and their classes hardly ever do",
    "Name the detector's classes in the order of its labels (option classes): many count a background first.",
)
HIGH_THRESHOLD = FlagKind(
    "high-threshold",
    "the detector keeps only detections of a high score",
    "Build it with a threshold of 0.05 or less: average precision counts what comes after the best ones too.",
)
FITS = 0.5
"""Overlap from which a box fits an object."""
CUT = 0.2
"""Lowest score of a detector that has been cut off early."""


def check_detections(oracle: Oracle, batch: Batch, outputs: Tensor) -> list[Flag]:
    """Check a detector on a first batch, and return all flags.

    Args:
        oracle: runs the model.
        batch: the first samples, with boxes.
        outputs: of these, `[N, D, 6]`.
    """
    objects, there = required(batch.boxes), outputs[..., 4] >= 0
    strange = int((there & ~outputs.isfinite().all(-1)).sum())
    if strange:
        text = f"{strange} boxes of the first {len(batch)} images have a number that is not finite; they are left out"
        return [NON_FINITE.flag(text), *check_detections(oracle, batch, _finite(outputs))]
    if not bool((objects[..., 4] >= 0).any()):
        return []
    if not bool(there.any()):
        return [NO_DETECTIONS.flag(f"no box in the first {len(batch)} images, some of which have objects")]
    flags = []
    least = float(outputs[..., 5][there].min())
    if least > CUT:
        flags.append(HIGH_THRESHOLD.flag(f"no detection of a score below {least:.2f} in the first {len(batch)} images"))
    fitting, right = _agreement(outputs, objects)
    if fitting >= 10 and right < 0.1 * fitting:
        flags.append(OTHER_CLASSES.flag(f"of {fitting} boxes that fit an object {right} have its class"))
    return flags


def _finite(outputs: Tensor) -> Tensor:
    """Outputs whose rows with numbers that are not finite are empty."""
    rows = torch.nan_to_num(outputs, 0.0, 0.0, 0.0)
    rows[..., 4] = torch.where(outputs.isfinite().all(-1), outputs[..., 4], NONE)
    return rows


def _agreement(outputs: Tensor, objects: Tensor) -> tuple[int, int]:
    """How many sure detections fit an object, and how many of these have its class."""
    fitting = right = 0
    for found, truth in zip(outputs.cpu(), objects.cpu(), strict=True):
        found, truth = found[(found[:, 4] >= 0) & (found[:, 5] >= FITS)], truth[truth[:, 4] >= 0]
        if not len(found) or not len(truth):
            continue
        ious = torch.from_numpy(box_iou(widen(found[:, :4]).numpy(), widen(truth[:, :4]).numpy()))
        best, which = ious.max(1)
        fits = best >= FITS
        fitting += int(fits.sum())
        right += int((found[fits, 4] == truth[which[fits], 4]).sum())
    return fitting, right
