"""`Problem`: what an attack is to do with each sample, and the losses and goals that say so."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from unshaken.attack.ball import Ball, inside
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Goal, Objective
from unshaken.core.state import State


class CrossEntropy(Objective):
    """The cross-entropy against labels, to rise; with `sign` -1 against targets, to fall.

    Args:
        labels: int64 `[N]`.
        sign: 1 or -1.
    """

    labels: Tensor
    sign: int = 1

    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`, in nats."""
        return self.sign * F.cross_entropy(required(answer.logits), self.labels, reduction="none")


class Fooled(Goal):
    """Inside the ball, and of another class than the label (or, targeted, of the target class)."""

    ball: Ball
    labels: Tensor
    targeted: bool

    def __call__(self, points: Tensor, logits: Tensor) -> Tensor:
        """Bool `[N]`."""
        hit = logits.argmax(1) == self.labels
        wanted = hit if self.targeted else ~hit
        rows, ball = wanted.nonzero().flatten(), self.ball  # the others need no look at their distance
        return wanted.index_put((rows,), inside(points[rows], ball.clean[rows], ball.eps[rows], ball.norm))


class Problem(State):
    """One task a sample: stay in the ball and leave the label, or reach the target.

    Args:
        ball: the budget.
        labels: int64 `[N]`: the true classes, or the targets.
        targeted: whether `labels` are targets.
    """

    ball: Ball
    labels: Tensor
    targeted: bool

    @property
    def loss(self) -> Objective:
        """The cross-entropy as an objective to be raised."""
        return CrossEntropy(self.labels, -1 if self.targeted else 1)

    @property
    def fooled(self) -> Fooled:
        """The goal of the search."""
        return Fooled(self.ball, self.labels, self.targeted)
