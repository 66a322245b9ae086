"""The linear model of the theory: two Gaussian classes, logistic regression, gradient descent from 0."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.labels.engine.known_truth import memorisation
from unshaken.labels.losses import early_learning, update_targets

N, DIMENSIONS, SIGMA, WRONG = 1000, 700, 0.1, 0.4
"""Samples n, their dimension p, the deviation of each coordinate, and the share of wrong labels Delta / 2."""
ETA = 1.0


def draw(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`x = y* v + noise` with `y* = +-1`: x `[n, p]`, true and given classes `[n]` (0 for +1), v `[p]`; float64."""
    g = torch.Generator().manual_seed(seed)
    v = F.normalize(torch.randn(DIMENSIONS, generator=g, dtype=torch.float64), dim=0)
    truth = (torch.rand(2 * N, generator=g) < 0.5).long()
    x = (1 - 2 * truth)[:, None] * v + SIGMA * torch.randn(2 * N, DIMENSIONS, generator=g, dtype=torch.float64)
    wrong = torch.rand(2 * N, generator=g) < WRONG
    return x, truth, torch.where(wrong, 1 - truth, truth), v


def descend(seed: int, steps: tuple[int, ...], strength: float, beta: float) -> Iterator[dict[str, float]]:
    """Gradient descent on all of a draw's first half; the second half tests.

    Args:
        seed: of the draw.
        steps: after which to measure, rising.
        strength: lambda; 0 for cross-entropy.
        beta: of the targets.

    Yields:
        For each of `steps`: the cosine of minus the gradient and v, shares of the wrongly labelled samples predicted as
        their true and as their given class, the mean `|p - y|` of right and wrong labels, and test accuracy.
    """
    x, truth, given, v = draw(seed)
    (x, rest), (truth, unseen), given = torch.split(x, N), torch.split(truth, N), given[:N]
    theta, targets = torch.zeros(DIMENSIONS, dtype=torch.float64), torch.zeros(N, 2, dtype=torch.float64)
    right = given == truth
    for step in range(max(steps) + 1):
        score = (x @ theta).requires_grad_()
        logits = torch.stack([score, torch.zeros_like(score)], 1)
        loss = F.cross_entropy(logits, given)
        if strength:
            targets = update_targets(targets, logits.detach(), beta)
            loss = loss + strength * early_learning(targets, logits).mean()
        (slope,) = torch.autograd.grad(loss, score)
        gradient = x.T @ slope
        if step in steps:
            predicted = (score.detach() < 0).long()
            shares = memorisation(predicted.numpy(), given.numpy(), truth.numpy())
            off = (logits.detach().softmax(1)[:, 0] - (given == 0).double()).abs()
            yield {
                "step": step,
                "cosine": float(-F.cosine_similarity(gradient, v, dim=0)),
                "corrected": shares.corrected,
                "memorised": shares.memorised,
                "residual_right": float(off[right].mean()),
                "residual_wrong": float(off[~right].mean()),
                "test": float(((rest @ theta < 0).long() == unseen).double().mean()),
            }
        theta = theta - ETA * gradient
