"""Losses that an attack raises, one value a sample: functions of logits, and objectives made of them."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective

TINY = 1e-12

Loss = Literal["ce", "margin", "dlr"]


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


def _at(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None])[:, 0]


class CrossEntropy(Objective):
    """The cross-entropy of `softmax(z / T)` in nats, to rise against labels; with `sign` -1 to fall against targets.

    Args:
        labels: int64 `[N]`.
        sign: 1 or -1.
        temperature: T, above 0.
    """

    labels: Tensor
    sign: int = 1
    temperature: float = 1.0

    @override
    def __call__(self, answer: Answer) -> Tensor:
        return self.sign * F.cross_entropy(required(answer.logits) / self.temperature, self.labels, reduction="none")


class SoftCrossEntropy(Objective):
    """The cross-entropy against class probabilities in nats, to rise: `-sum_k t_k log p_k`.

    With `t` a model's own prediction on the clean image it is `KL(t || p)` but for a constant.

    Args:
        targets: `[N, K]`, rows that sum to 1.
    """

    targets: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        return -(self.targets * required(answer.logits).log_softmax(1)).sum(1)


class Margin(Objective):
    """The margin in logits, to fall: `-(z_y - max_{k != y} z_k)`; with targets `z_t - max_{k != t} z_k`, to rise.

    Args:
        labels: int64 `[N]`: labels, or targets.
        targeted: which of the two.
    """

    labels: Tensor
    targeted: bool

    @override
    def __call__(self, answer: Answer) -> Tensor:
        value = margin(required(answer.logits), self.labels)
        return value if self.targeted else -value


class DLR(Objective):
    """`dlr` of the labels, without unit; with `sign` -1 that of targets, to fall.

    Args:
        labels: int64 `[N]`.
        sign: 1 or -1.
    """

    labels: Tensor
    sign: int = 1

    @override
    def __call__(self, answer: Answer) -> Tensor:
        return self.sign * dlr(required(answer.logits), self.labels)


class TargetedDLR(Objective):
    """`dlr_targeted` of labels and targets, without unit.

    Args:
        labels: int64 `[N]`.
        targets: int64 `[N]`.
    """

    labels: Tensor
    targets: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        return dlr_targeted(required(answer.logits), self.labels, self.targets)


class Difference(Objective):
    """`z_t - z_y` in logits: rises towards the target t, and against the label y.

    Args:
        labels: int64 `[N]`.
        targets: int64 `[N]`.
    """

    labels: Tensor
    targets: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        logits = required(answer.logits)
        return _at(logits, self.targets) - _at(logits, self.labels)


def check_loss(method: str, loss: Loss, temperature: float, classes: int) -> None:
    """Check that a loss fits the number of classes, and that the temperature has an effect.

    Args:
        method: for the message.
        loss: `ce`, `margin` or `dlr`.
        temperature: divides the logits in `ce`.
        classes: K.

    Raises:
        ParameterError: `dlr` with fewer than three classes, or a temperature of a loss that has none.
    """
    if loss == "dlr" and classes < 3:
        raise ParameterError(f"{method}: loss=dlr needs 3 classes, the model has {classes}: use loss=margin")
    if loss != "ce" and temperature != 1:
        raise ParameterError(f"{method}: temperature={temperature:g} is for loss=ce; loss={loss} has no temperature")
