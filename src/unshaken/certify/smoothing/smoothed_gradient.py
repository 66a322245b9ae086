"""The gradient of a smoothed classifier's loss, for attacks through the noise and for training against them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import predict
from unshaken.core.query import Answer, Goal, Passes, Query


def log_mean(logs: Tensor) -> Tensor:
    """`log mean_i exp(l_i)` over the first dimension.

    Args:
        logs: log-probabilities `[M, ...]`.
    """
    return logs.logsumexp(0) - math.log(len(logs))


def smooth_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """`-log mean_i softmax(f(x + n_i))_y` for each sample: the cross-entropy of the smoothed soft classifier.

    Args:
        logits: `[M, N, K]` of M noisy copies.
        labels: int64 `[N]`.

    Returns:
        `[N]`, in nats.

    Source: Salman et al. 2019, arXiv:1906.04584.
    """
    return -log_mean(logits.log_softmax(2)).gather(1, labels[:, None])[:, 0]


class SmoothedGradient(Query):
    """The gradient of `smooth_loss` by the points, under noises that are handed in.

    Args:
        points: `[N, C, H, W]`.
        labels: int64 `[N]`.
        noises: `[N, M, C, H, W]`, as they are added.
    """

    labels: Tensor
    noises: Tensor

    @property
    @override
    def width(self) -> int:
        return self.noises.shape[1]

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        n, copies = self.noises.shape[:2]
        noisy = (self.points[:, None] + self.noises).transpose(0, 1).flatten(0, 1).requires_grad_(True)
        with torch.enable_grad():
            logits = passes.forward(noisy)[0].view(copies, n, -1)
            with passes.method():
                value = smooth_loss(logits, self.labels)
        gradient = passes.gradient(value, noisy).view(copies, *self.points.shape).sum(0)
        mean = log_mean(logits.detach().log_softmax(2))
        return Answer(logits=mean, labels=predict(mean), value=value.detach(), gradient=gradient)
