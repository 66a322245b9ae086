"""DAG: dense adversary generation, on the detections that are still right."""

from __future__ import annotations

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.detection.base import (
    DetectionAttack,
    DetectionProblem,
    DetectionState,
    fits,
    is_there,
    log_absence,
    log_score,
    of_same_class,
)
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective
from unshaken.core.registry import register


def targets(boxes: Tensor, objects: Tensor, sure: float) -> Tensor:
    """The set T: detections that fit an object of their class, bool `[N, D]`.

    Args:
        boxes: `[N, D, 6]`.
        objects: `[N, M, 7]`.
        sure: score from which a detection counts.
    """
    right = (fits(boxes, objects) & of_same_class(boxes, objects)).any(2)
    return right & (boxes[..., 5] >= sure)


class DenseAdversary(Objective):
    """`-sum_{t in T} [f_l(t) - f_l'(t)]`, in logits, with the logit of the score for f.

    Args:
        objects: `[N, M, 7]`.
        shift: from a class l to the adversarial one l', int64 `[N]`.
        classes: number K of classes.
        sure: score from which a detection is a target.
    """

    objects: Tensor
    shift: Tensor
    classes: int
    sure: float

    @override
    def __call__(self, answer: Answer) -> Tensor:
        boxes, objects = required(answer.logits), self.objects
        zero = torch.zeros_like(boxes[..., 5])
        right = torch.where(targets(boxes, objects, self.sure), log_score(boxes) - log_absence(boxes), zero)  # f_l
        moved = objects.clone()
        moved[..., 4] = torch.where(
            is_there(objects), (objects[..., 4] + self.shift[:, None]) % max(self.classes, 1), objects[..., 4]
        )
        other = fits(boxes, moved) & of_same_class(boxes, moved) & (self.shift > 0)[:, None, None]
        wrong = torch.where(other.any(2), log_score(boxes), zero)  # f_l', where the output has it
        return (wrong - right).sum(1)


@register("dag", reference="Xie et al. 2017, arXiv:1703.08603")
class DAG(DetectionAttack):
    """DAG: lowers all right detections at once towards drawn wrong classes, until none of them is left.

    A step is the gradient over its largest entry, times gamma; the paper bounds the sum by its number of steps, here it
    stays in the ball as well. The paper takes the scores of all proposals before suppression; here they are those of
    the output, so the adversarial class has a part where the detector puts out more than the best class of a place.
    """

    steps: PositiveInt = Field(default=150, description="gradient steps at most")
    gamma: PositiveFloat = Field(default=0.5 / 255, description="largest change of a pixel in a step")
    sure: float = Field(default=0.5, description="score from which a right detection is a target", gt=0, le=1)
    random_start: bool = Field(
        default=False, description="start at a random point of the ball, else at the unchanged image"
    )

    @override
    def objective(self, problem: DetectionProblem) -> DenseAdversary:
        return DenseAdversary(problem.objects, problem.shift, problem.classes, self.sure)

    @override
    def move(self, state: DetectionState, gradient: Tensor) -> Tensor:
        """`x + gamma r / |r|_inf`, back into the ball."""
        largest = gradient.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
        return state.problem.ball.project(state.x + self.gamma * gradient / largest)

    @override
    def finished(self, state: DetectionState, outputs: Tensor) -> Tensor:
        return ~targets(outputs, state.problem.objects, self.sure).any(1)
