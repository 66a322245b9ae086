"""PGD on a detector: ascent on a smooth form of the loss `1 - F1`."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.attack.detection.base import FITS, DetectionAscent, DetectionProblem, is_there, of_same_class, overlap
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective
from unshaken.core.registry import register

SLOPE = 10.0
"""Of the smooth step at an overlap of a half."""


class SoftF1Loss(Objective):
    """`1 - 2 H / (S + G)` in [-1, 1]: smooth hits H, sum S of all scores, and number G of objects.

    Each object is hit by the detection of its class of largest `s q`, where s is the score and q a smooth step of the
    overlap at 0.5. With scores and overlaps of 0 or 1 this is 1 less the F1 score. Crowds count for nothing.

    Args:
        objects: `[N, M, 7]`, M at least 1.
    """

    objects: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        boxes, counted = required(answer.logits), is_there(self.objects) & (self.objects[..., 5] <= 0)
        scores = torch.where(is_there(boxes), boxes[..., 5], 0.0)
        quality = torch.sigmoid(SLOPE * (overlap(boxes, self.objects) - FITS))
        hits = scores[:, :, None] * quality * (of_same_class(boxes, self.objects) & counted[:, None])
        total = scores.sum(1) + counted.sum(1)
        return 1 - 2 * hits.amax(1).sum(1) / total.clamp_min(1e-3)


@register("detection-pgd", title="detection PGD", reference="Madry et al. 2018, arXiv:1706.06083")
class DetectionPGD(DetectionAscent):
    """PGD on detections: lowers a smooth F1 score, by scores, corners and false alarms together.

    Corners give a gradient where the detector's boxes have one.
    """

    @override
    def objective(self, problem: DetectionProblem) -> SoftF1Loss:
        return SoftF1Loss(problem.objects)
