"""Object vanishing: the scores of all detections fall."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.attack.detection.base import DetectionAscent, DetectionProblem, log_absence
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective
from unshaken.core.registry import register


class Absence(Objective):
    """The log-probability that there is nothing: `sum_d log(1 - s_d)` over all detections, in nats."""

    found: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        return log_absence(required(answer.logits)).sum(1)


@register("object-vanishing", reference="Chow et al. 2020, arXiv:2004.04320")
class ObjectVanishing(DetectionAscent):
    """Object vanishing: lowers the scores of all detections, so that objects are missed.

    The cross-entropy of TOG's objectness against "no object", on the scores that the model puts out.
    """

    @override
    def objective(self, problem: DetectionProblem) -> Absence:
        return Absence(problem.found)
