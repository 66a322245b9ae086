"""Losses for FGSM and PGD: cross-entropy at a temperature, or a loss that does not saturate."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.losses import DLR, Margin
from unshaken.attack.engine.problem import Problem
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective

Loss = Literal["ce", "margin", "dlr"]


class TemperedCrossEntropy(Objective):
    """The cross-entropy of `softmax(z / tau)` against labels, to rise; with `sign` -1 against targets, to fall.

    Args:
        labels: int64 `[N]`.
        tau: temperature, above 0.
        sign: 1 or -1.
    """

    labels: Tensor
    tau: float
    sign: int = 1

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`, in nats."""
        return self.sign * F.cross_entropy(required(answer.logits) / self.tau, self.labels, reduction="none")


def choose_loss(problem: Problem, loss: Loss, tau: float) -> Objective:
    """Choose the objective of a problem by the name of a loss.

    Args:
        problem: the samples' tasks.
        loss: `ce`, `margin` or `dlr`.
        tau: temperature of the logits in `ce`.

    Raises:
        ParameterError: the search was given an objective of its own and a loss besides.
    """
    if loss == "ce" and tau == 1:
        return problem.loss
    if problem.objective is not None:
        raise ParameterError(
            f"loss={loss}, tau={tau:g}: this search maximises {type(problem.objective).__name__} already; omit both"
        )
    sign = -1 if problem.targeted else 1
    if loss == "margin":
        return Margin(problem.labels, problem.targeted)
    return DLR(problem.labels, sign) if loss == "dlr" else TemperedCrossEntropy(problem.labels, tau, sign)


def check_loss(method: str, loss: Loss, tau: float, classes: int) -> None:
    """Check that a loss fits the number of classes, and that the temperature has an effect.

    Args:
        method: for the message.
        loss: `ce`, `margin` or `dlr`.
        tau: temperature of the logits in `ce`.
        classes: K.

    Raises:
        ParameterError: it is not.
    """
    if loss == "dlr" and classes < 3:
        raise ParameterError(f"{method}: loss=dlr needs 3 classes, the model has {classes}: use loss=margin")
    if loss != "ce" and tau != 1:
        raise ParameterError(f"{method}: tau={tau:g} is for loss=ce; loss={loss} has no temperature")
