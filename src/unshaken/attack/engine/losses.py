"""Losses that an attack raises, one value a sample: functions of logits, and objectives made of them."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective

TINY = 1e-12


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """`z_y - max_{k != y} z_k`, `[N]`: below zero where the label has lost.

    Args:
        logits: `[N, K]`.
        labels: int64 `[N]`.

    >>> margin(torch.tensor([[-1.0, -2.0, -3.0]]), torch.tensor([0])).tolist()
    [1.0]
    """
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return _at(logits, labels) - others.amax(1)


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """The difference of logits ratio `-(z_y - max_{k != y} z_k) / (z_(1) - z_(3))`, `[N]` (Croce & Hein 2020).

    Args:
        logits: `[N, K]`, K at least 3.
        labels: int64 `[N]`.
    """
    top = logits.topk(3, dim=1).values
    return -margin(logits, labels) / (top[:, 0] - top[:, 2] + TINY)


def dlr_targeted(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """`-(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2)`, `[N]`: rises towards the target t.

    Args:
        logits: `[N, K]`, K at least 4.
        labels: int64 `[N]`.
        targets: int64 `[N]`.
    """
    top = logits.topk(4, dim=1).values
    return -(_at(logits, labels) - _at(logits, targets)) / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + TINY)


class Margin(Objective):
    """The margin, to fall: `-(z_y - max_{k != y} z_k)`; with targets `z_t - max_{k != t} z_k`, to rise.

    Args:
        labels: int64 `[N]`: labels, or targets.
        targeted: which of the two.
    """

    labels: Tensor
    targeted: bool

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`, in logits."""
        value = margin(required(answer.logits), self.labels)
        return value if self.targeted else -value


class DLR(Objective):
    """`dlr` of the labels; with `sign` -1 that of targets, to fall.

    Args:
        labels: int64 `[N]`.
        sign: 1 or -1.
    """

    labels: Tensor
    sign: int = 1

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`, without unit."""
        return self.sign * dlr(required(answer.logits), self.labels)


class TargetedDLR(Objective):
    """`dlr_targeted` of labels and targets.

    Args:
        labels: int64 `[N]`.
        targets: int64 `[N]`.
    """

    labels: Tensor
    targets: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`, without unit."""
        return dlr_targeted(required(answer.logits), self.labels, self.targets)


class Difference(Objective):
    """`z_t - z_y`: rises towards the target t, and against the label y.

    Args:
        labels: int64 `[N]`.
        targets: int64 `[N]`.
    """

    labels: Tensor
    targets: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`, in logits."""
        logits = required(answer.logits)
        return _at(logits, self.targets) - _at(logits, self.labels)


def _at(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None])[:, 0]
