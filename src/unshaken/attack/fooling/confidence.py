"""Confidence of a class, and the log-odds that rank images where the confidence rounds to 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective


def log_odds(logits: Tensor) -> Tensor:
    """`log p_c / (1 - p_c)` of every class: as high as the confidence, but never saturated.

    It is `z_c - log sum_{k != c} exp z_k`. A confidence of 1 - 1e-12 is 1 in float32, its log-odds are 27.6.

    Args:
        logits: `[N, K]`, K at least 2.

    Returns:
        float64 `[N, K]`.

    Raises:
        ModelError: there are fewer than two classes.
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ModelError(f"logits of shape {tuple(logits.shape)}: confidence needs [N, K] with two classes at least")
    z = widen(logits)
    log_p = z.log_softmax(1)
    top = z.argmax(1, keepdim=True)
    odds = log_p - torch.log1p(-log_p.exp().clamp(max=0.75))  # exact below 0.75: only the top class can be above
    rest = z.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True)
    return odds.scatter(1, top, z.gather(1, top) - rest)


def confidence(odds: Tensor) -> Tensor:
    """The probability `p` of log-odds, by the logistic function."""
    return odds.sigmoid()


class LogOdds(Objective):
    """The log-odds of a target class in nats, to rise.

    Args:
        targets: int64 `[N]`.
    """

    targets: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        z, at = required(answer.logits), self.targets[:, None]
        return (z.gather(1, at) - z.scatter(1, at, -torch.inf).logsumexp(1, keepdim=True)).flatten()


class TargetLogit(Objective):
    """The logit of a target class, to rise.

    Args:
        targets: int64 `[N]`.
    """

    targets: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        return required(answer.logits).gather(1, self.targets[:, None]).flatten()


def check_task(classes: Sequence[int], shape: Sequence[int]) -> None:
    """Check a task before the model is queried.

    Raises:
        ParameterError: classes are absent, doubled or below 0, or the shape is no image's.
    """
    if not classes or len(set(classes)) != len(classes) or min(classes) < 0:
        raise ParameterError(f"classes {list(classes)}: give at least one class, each once, counted from 0")
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1:
        raise ParameterError(f"shape {tuple(shape)} is not (channels, height, width) with 1 or 3 channels")


def check_known(classes: Sequence[int], k: int) -> None:
    """Whether the model has these classes.

    Raises:
        ParameterError: one is beyond the last.
        ModelError: the model has one class.
    """
    if k < 2:
        raise ModelError("the model has one logit: confidence needs two classes or more")
    if max(classes) >= k:
        raise ParameterError(f"class {max(classes)} does not exist: the model's last class is {k - 1}")
