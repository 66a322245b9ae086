"""Object fabrication: detections appear where no object is."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.attack.detection.base import DetectionAscent, DetectionProblem, fits, log_score, of_same_class
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective
from unshaken.core.registry import register


class FalseAlarms(Objective):
    """`sum_d log(s_d / 0.001)` over detections that fit no object of their class, in nats, at least 0."""

    objects: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        boxes = required(answer.logits)
        right = (fits(boxes, self.objects) & of_same_class(boxes, self.objects)).any(2)
        return log_score(boxes).masked_fill(right, 0).sum(1)


@register("object-fabrication", reference="Chow et al. 2020, arXiv:2004.04320")
class ObjectFabrication(DetectionAscent):
    """Object fabrication: raises the scores of detections that fit no object (false alarms), and their number.

    It needs false detections to begin with, of however low a score: a detector that puts out none gives no gradient.
    """

    @override
    def objective(self, problem: DetectionProblem) -> FalseAlarms:
        return FalseAlarms(problem.objects)
