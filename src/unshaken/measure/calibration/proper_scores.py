"""Proper scores of probabilities: Brier and negative log-likelihood."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Indices, Numbers, integers
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.means import mean_figure


def softmax(logits: ArrayLike) -> Numbers:
    """Probabilities `[N, K]` from logits `[N, K]`, in float64, whatever type they came in.

    Raises:
        ParameterError: not two-dimensional, empty, or not finite.
    """
    return np.asarray(special.softmax(_finite("logits", logits), axis=1), np.float64)


def top_label(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Numbers, Flags]:
    """Confidence of the predicted class, and whether it is the label; of tied classes the first is predicted.

    Args:
        probabilities: `[N, K]`, each row summing to 1.
        labels: int `[N]` in 0..K-1.

    Returns:
        float64 `[N]` and bool `[N]`.

    Raises:
        ParameterError: the probabilities are none (logits?), or the labels do not fit them.
    """
    p, y = _checked(probabilities, labels)
    return p.max(1), p.argmax(1) == y


def brier(
    probabilities: ArrayLike, labels: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Figure:
    """Brier score in its original form: mean over samples of `sum_k (p_k - 1[y = k])^2`, in [0, 2].

    For two classes this is twice what scikit-learn's binary score gives.

    Args:
        probabilities: `[N, K]`, each row summing to 1.
        labels: int `[N]` in 0..K-1.
        level: coverage of the interval.
        resamples: bootstrap draws of samples.
        seed: of the draws.

    Raises:
        ParameterError: the probabilities are none (logits?), or the labels do not fit them.

    Source: Brier 1950, Monthly Weather Review 78(1).
    """
    p, y = _checked(probabilities, labels)
    own = p[np.arange(len(y)), y]
    return _mean_figure((p**2).sum(1) - 2 * own + 1, level, resamples, seed, high=2.0)


def nll(logits: ArrayLike, labels: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Figure:
    """Negative log-likelihood of the labels in nats: mean of `logsumexp(z) - z_y`.

    It takes logits, where no probability has been rounded to zero. Log-probabilities are logits too.

    Args:
        logits: finite `[N, K]`.
        labels: int `[N]` in 0..K-1.
        level: coverage of the interval.
        resamples: bootstrap draws of samples.
        seed: of the draws.

    Raises:
        ParameterError: a logit is not finite, or the labels do not fit.
    """
    z = _finite("logits", logits)
    y = _fitting(labels, z.shape)
    loss = special.logsumexp(z, axis=1) - z[np.arange(len(y)), y]
    return _mean_figure(loss, level, resamples, seed)


def _mean_figure(values: Numbers, level: float, resamples: int, seed: int, *, high: float = math.inf) -> Figure:
    """The mean of losses of 0 or more; what rounding of the probabilities adds beyond the range is left in."""
    least, most = min(0.0, float(values.min())), max(high, float(values.max()))
    return mean_figure(values, low=least, high=most, level=level, resamples=resamples, seed=seed)


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Numbers, Indices]:
    p = _finite("probabilities", probabilities)
    off = float(np.abs(p.sum(1) - 1).max())
    if p.min() < 0 or off > 1e-3:
        raise ParameterError(
            f"probabilities must be at least 0 and sum to 1 in each row, but the least is {p.min():.4g} and a sum is "
            f"{off:.4g} off; apply softmax to logits first"
        )
    return p, _fitting(labels, p.shape)


def _finite(name: str, values: ArrayLike) -> Numbers:
    table: NDArray[np.float64] = np.asarray(values, np.float64)
    if table.ndim != 2 or not table.size:
        raise ParameterError(
            f"{name} must be a table [N, K] with at least one row, not an array of shape {table.shape}"
        )
    strange = int((~np.isfinite(table)).any(1).sum())
    if strange:
        raise ParameterError(f"{name} of {strange} in {len(table)} samples are not finite: leave those rows out first")
    return table


def _fitting(labels: ArrayLike, shape: tuple[int, ...]) -> Indices:
    y = integers("labels", labels)
    if len(y) != shape[0]:
        raise ParameterError(f"{len(y)} labels came with {shape[0]} rows: give one label a row")
    if y.min() < 0 or y.max() >= shape[1]:
        raise ParameterError(f"labels run from {y.min()} to {y.max()}, but {shape[1]} classes allow 0..{shape[1] - 1}")
    return y
