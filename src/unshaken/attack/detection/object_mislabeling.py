"""Object mislabeling: objects are found under other classes."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.attack.detection.base import (
    DetectionAscent,
    DetectionProblem,
    fits,
    is_there,
    log_absence,
    log_score,
    of_same_class,
)
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective
from unshaken.core.registry import register


class WrongClass(Objective):
    """`sum_d log(s_d / 0.001)` over wrong detections at objects, and `log(1 - s_d)` over right ones, in nats.

    Args:
        objects: `[N, M, 7]`.
        aimed: the same with the classes to reach, which alone are wrong in the sum then; None where any will do.
    """

    objects: Tensor
    aimed: Tensor | None = None

    @override
    def __call__(self, answer: Answer) -> Tensor:
        boxes, aimed = required(answer.logits), self.aimed
        zero = torch.zeros_like(boxes[..., 5])
        if aimed is not None:
            reached, right = ((fits(boxes, some) & of_same_class(boxes, some)).any(2) for some in (aimed, self.objects))
            gained = torch.where(reached & ~right, log_score(boxes), zero)
            return (gained + torch.where(right, log_absence(boxes), zero)).sum(1)
        there, same = fits(boxes, self.objects) & is_there(self.objects)[:, None], of_same_class(boxes, self.objects)
        right = (there & same).any(2)
        wrong = there.any(2) & ~right
        return (torch.where(wrong, log_score(boxes), zero) + torch.where(right, log_absence(boxes), zero)).sum(1)


@register("object-mislabeling", reference="Chow et al. 2020, arXiv:2004.04320")
class ObjectMislabeling(DetectionAscent):
    """Object mislabeling: raises detections of wrong classes that fit objects, and lowers those of the right class.

    A detector that puts out only the best class of each place shows its other classes once they have won; until then
    the right class falls, as under `object-vanishing`, but only where it fits an object. With targets detections of the
    chosen class alone are raised.
    """

    reaches_targets: ClassVar[bool] = True

    @override
    def objective(self, problem: DetectionProblem) -> WrongClass:
        return WrongClass(problem.objects, problem.aimed if problem.toward else None)
