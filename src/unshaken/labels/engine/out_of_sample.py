"""Folds of a set, and a linear classifier trained on the others of each: out-of-sample probabilities in seconds."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import DataError, ParameterError
from unshaken.measure.statistics.columns import Indices


def stratified_folds(labels: Indices, folds: int, seed: int = 0) -> Indices:
    """The fold of each sample, int `[N]` in 0..folds-1; of every class, sizes differ by one at most.

    Args:
        labels: int `[N]`.
        folds: at least 2.
        seed: of the order.

    Raises:
        ParameterError: fewer than two folds, or more than samples.
        DataError: a class has a single sample, so that a fold would train without it.
    """
    if folds < 2:
        raise ParameterError(f"folds={folds} must be 2 or more: a part is judged by a model trained on the others")
    if folds > len(labels):
        raise ParameterError(f"folds={folds} must be {len(labels)} or less, the number of samples")
    counts = np.bincount(labels)
    if (alone := np.flatnonzero(counts == 1)).size:
        raise DataError(
            f"class {alone[0]} has a single sample: a model trained without it does not know the class; give more"
        )
    found = np.empty(len(labels), np.int64)
    rng, start = np.random.default_rng(seed), 0
    for members in (np.flatnonzero(labels == c) for c in np.flatnonzero(counts)):
        found[rng.permutation(members)] = (start + np.arange(len(members))) % folds
        start += len(members)
    return found


STEPS = 100
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.001)
"""Penalties to choose from; more features and more wrong labels want a larger one."""


def probe_probabilities(
    features: NDArray[np.floating], labels: Indices, fold: Indices, classes: int, *, penalty: float | None = None
) -> NDArray[np.float32]:
    """Probabilities `[N, K]` of each sample by softmax regression on the samples of all other folds.

    Columns are standardised by the samples that are learned from. The loss is the mean cross-entropy and
    `penalty / 2 |W|^2`; it is convex, and L-BFGS ends where its gradient is small.

    Args:
        features: `[N, D]`.
        labels: int `[N]` in 0..classes-1.
        fold: of each sample, int `[N]`.
        classes: K.
        penalty: of the weights, above 0; None for that of `PENALTIES` with the least cross-entropy on the first fold,
            tried from the largest until one is worse than the one before.
    """
    x, y = torch.from_numpy(np.asarray(features, np.float32)), torch.from_numpy(labels)

    @cache  # the fit that chose the penalty is one of those asked for
    def log_probabilities(part: int, penalty: float) -> Tensor:
        apart = torch.from_numpy(fold == part)
        mean, deviation = x[~apart].mean(0), x[~apart].std(0).clamp(min=1e-6)
        normal = (x - mean) / deviation
        weight, bias = softmax_regression(normal[~apart], y[~apart], classes, penalty)
        return (normal[apart] @ weight + bias).log_softmax(1)

    parts = np.unique(fold)
    if penalty is None:
        first, least = y[torch.from_numpy(fold == parts[0])], np.inf
        for candidate in PENALTIES:
            loss = float(F.nll_loss(log_probabilities(parts[0], candidate), first))
            if loss >= least:
                break
            penalty, least = candidate, loss
    found = np.empty((len(labels), classes), np.float32)
    for part in parts:
        found[fold == part] = log_probabilities(part, penalty or PENALTIES[0]).exp().numpy()
    return found


def softmax_regression(x: Tensor, y: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights `[D, K]` and biases `[K]` of a softmax regression, by L-BFGS.

    Args:
        x: `[N, D]`; standardise the columns first.
        y: int64 `[N]` in 0..classes-1.
        classes: K.
        penalty: of `penalty / 2 |W|^2` beside the mean cross-entropy, above 0.
    """
    weight = torch.zeros(x.shape[1], classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, tolerance_grad=1e-5, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weight + bias, y) + penalty / 2 * (weight * weight).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
