"""`Problem`: the goal of an attack for each sample, and its losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import Ball, inside
from unshaken.core.classifier import predict
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

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`, in nats."""
        return self.sign * F.cross_entropy(required(answer.logits), self.labels, reduction="none")


class SoftCrossEntropy(Objective):
    """The cross-entropy against class probabilities, to rise: `-sum_k t_k log p_k`.

    With `t` a model's own prediction on the clean image it is `KL(t || p)` but for a constant.

    Args:
        targets: `[N, K]`, rows that sum to 1.
    """

    targets: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`, in nats."""
        return -(self.targets * required(answer.logits).log_softmax(1)).sum(1)


class FoolingGoal(Goal):
    """Inside the ball, and of another class than the label (or, targeted, of the target class), and not rejected."""

    ball: Ball
    labels: Tensor
    targeted: bool
    reject: int | None = None

    @override
    def __call__(self, points: Tensor, logits: Tensor) -> Tensor:
        """Bool `[N]`."""
        answer = predict(logits)
        wanted = answer == self.labels if self.targeted else answer != self.labels
        if self.reject is not None:
            wanted &= answer != self.reject
        ball = self.ball
        if points.device.type != "cpu" and ball.norm != "region":  # to find the rows would be to wait for the device
            return wanted & inside(points, ball.clean, ball.eps, ball.norm)
        rows = wanted.nonzero().flatten()  # the others need no look at their distance
        if not len(rows):
            return wanted
        if ball.norm == "region":
            return wanted.index_put((rows,), ball[rows].contains(points[rows]))
        return wanted.index_put((rows,), inside(points[rows], ball.clean[rows], ball.eps[rows], ball.norm))


class Problem(State):
    """The attack problem of each sample: stay inside the ball, and leave the label or reach the target.

    Args:
        ball: the budget.
        labels: int64 `[N]`: the true classes, or the targets.
        targeted: whether `labels` are targets.
        logits: `[N, K]` of the clean images.
        reject: the class by which a model says that it will not decide; to reach it is no success.
        avoid_rejection: whether the search itself should stay clear of it, or only what it ends with.
        objective: what an attack on the cross-entropy is to raise in its place; None for the cross-entropy.
    """

    ball: Ball
    labels: Tensor
    targeted: bool
    logits: Tensor
    reject: int | None = None
    avoid_rejection: bool = True
    objective: Objective | None = None

    def rivals(self, n: int) -> Tensor:
        """The n classes likeliest on the clean image, the label left out: int64 `[N, min(n, K - 1)]`."""
        others = self.logits.scatter(1, self.labels[:, None], -torch.inf)
        most = others.shape[1] - 1
        if self.reject is not None:
            others[:, self.reject], most = -torch.inf, most - 1
        return others.topk(min(n, most), dim=1).indices

    def seen(self, logits: Tensor) -> Tensor:
        """Merge the rejection's logit into the label's, for an untargeted search.

        A search that does not heed rejections sees the label's own, and no rejection.

        Args:
            logits: `[N, K]`.
        """
        if self.reject is None or self.targeted:
            return logits
        rows = torch.arange(len(logits), device=logits.device)
        safe = logits[rows, self.labels]
        if self.avoid_rejection:
            safe = torch.maximum(safe, logits[:, self.reject])
        hidden = torch.full_like(safe, -1e4) + safe.detach()  # far below all others, yet finite
        return logits.index_copy(1, _column(self.reject, logits), hidden[:, None]).scatter(
            1, self.labels[:, None], safe[:, None]
        )

    @property
    def loss(self) -> Objective:
        """The objective to be raised: the cross-entropy, where nothing else was given."""
        if self.objective is not None:
            return self.objective
        return CrossEntropy(self.labels, -1 if self.targeted else 1)

    @property
    def fooled(self) -> FoolingGoal:
        """The goal of the search."""
        return FoolingGoal(self.ball, self.labels, self.targeted, self.reject)


def _column(index: int, like: Tensor) -> Tensor:
    return torch.tensor([index], device=like.device)
