"""DAG: dense adversary generation, on the detections that are still right."""

from __future__ import annotations

from typing import ClassVar

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
        aimed: the same with their adversarial classes l'; empty rows for those that have none.
        sure: score from which a detection is a target.
    """

    objects: Tensor
    aimed: Tensor
    sure: float

    @override
    def __call__(self, answer: Answer) -> Tensor:
        boxes = required(answer.logits)
        zero = torch.zeros_like(boxes[..., 5])
        right = torch.where(targets(boxes, self.objects, self.sure), log_score(boxes) - log_absence(boxes), zero)  # f_l
        other = fits(boxes, self.aimed) & of_same_class(boxes, self.aimed)
        wrong = torch.where(other.any(2), log_score(boxes), zero)  # f_l', where the output has it
        return (wrong - right).sum(1)


@register("dag", reference="Xie et al. 2017, arXiv:1703.08603")
class DAG(DetectionAttack):
    """DAG: lowers all right detections at once towards drawn or chosen wrong classes, until none of them is left.

    A step is the gradient over its largest entry, times gamma; the paper bounds the sum by its number of steps, here it
    stays in the ball as well. The paper takes the scores of all proposals before suppression; here they are those of
    the output, so the adversarial class has a part where the detector puts out more than the best class of a place.
    """

    reaches_targets: ClassVar[bool] = True

    steps: PositiveInt = Field(default=150, description="gradient steps at most")
    gamma: PositiveFloat = Field(default=0.5 / 255, description="largest change of a pixel in a step")
    sure: float = Field(default=0.5, description="score from which a right detection is a target", gt=0, le=1)
    random_start: bool = Field(
        default=False, description="start at a random point of the ball, else at the unchanged image"
    )

    @override
    def objective(self, problem: DetectionProblem) -> DenseAdversary:
        return DenseAdversary(problem.objects, problem.aimed, self.sure)

    @override
    def move(self, state: DetectionState, gradient: Tensor) -> Tensor:
        """`x + gamma r / |r|_inf`, back into the ball."""
        largest = gradient.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
        return state.problem.ball.project(state.x + self.gamma * gradient / largest)

    @override
    def finished(self, state: DetectionState, outputs: Tensor) -> Tensor:
        problem = state.problem
        over = ~targets(outputs, problem.objects, self.sure).any(1)
        if not problem.toward:
            return over
        there = fits(outputs, problem.aimed) & of_same_class(outputs, problem.aimed)
        reached = (there & (outputs[..., 5, None] >= self.sure)).any(1)
        return over & (reached | ~is_there(problem.aimed)).all(1)
