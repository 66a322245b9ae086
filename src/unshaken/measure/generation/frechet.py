"""Frechet distance of features (FID with whatever network gave them), and what it would be without its bias."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.generation.features import as_pair
from unshaken.measure.statistics.columns import Numbers

ROUNDING = 1e-6
"""A distance below 0 by less than this share of the traces is rounding."""


def frechet_distance(real: ArrayLike, made: ArrayLike) -> float:
    """The Frechet distance of two Gaussians fitted to features: `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`.

    It is the FID of the literature only with the features of its Inception network; name the network beside it. The
    covariances divide by N - 1. The estimate is too large by about a constant over N (see `frechet_at_infinity`).

    Args:
        real: features `[N, D]`.
        made: features of generated images `[M, D]`.

    Raises:
        ParameterError: features are not finite `[N, D]`, their dimensions differ, or there are not more samples than
            dimensions on a side: the covariance is singular then.

    Source: Heusel et al. 2017, arXiv:1706.08500.
    """
    x, y = as_pair(real, made)
    return _distance(_moments("real", x), _moments("made", y))


def frechet_at_infinity(
    real: ArrayLike, made: ArrayLike, *, points: int = 8, seed: int = 0
) -> tuple[float, float, list[tuple[int, float]]]:
    """The Frechet distance extrapolated to infinitely many generated images, and how it falls with their number.

    Args:
        real: features `[N, D]`.
        made: features `[M, D]`; distances of random parts of different sizes are fitted by a line in one over the size.
        points: number of sizes, from just above max(D, M / 5) to M.
        seed: of the parts.

    Returns:
        The intercept; the slope, which is the bias times M; and pairs of number of images and distance.

    Raises:
        ParameterError: as `frechet_distance`; or M is so near D that there are no two sizes.

    Source: Chong & Forsyth 2020, arXiv:1911.07023.
    """
    x, features = as_pair(real, made)
    m, dims = features.shape
    _enough("made", m, dims)
    sizes = np.unique(np.linspace(max(dims + 1, m // 5), m, points).round().astype(int))
    if len(sizes) < 2:
        raise ParameterError(f"{m} images of {dims} dimensions have no smaller parts: generate {dims + 2} or more")
    a = _moments("real", x)
    order = np.random.default_rng(seed)
    found = [(int(n), _distance(a, _moments("made", features[order.permutation(m)[:n]]))) for n in sizes]
    slope, intercept = np.polyfit(1 / sizes, [d for _, d in found], 1)
    return float(intercept), float(slope), found


def _distance(a: tuple[Numbers, Numbers], b: tuple[Numbers, Numbers]) -> float:
    """The trace of the root of C1 C2 is that of the symmetric `(R C2 R)^(1/2)` with R the root of C1."""
    values, vectors = scipy.linalg.eigh(a[1])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    between = float(np.sqrt(scipy.linalg.eigvalsh(root @ b[1] @ root).clip(0)).sum())
    traces = float(np.trace(a[1]) + np.trace(b[1]))
    found = float(((a[0] - b[0]) ** 2).sum()) + traces - 2 * between
    return 0.0 if -ROUNDING * traces <= found < 0 else found


def _moments(name: str, features: Numbers) -> tuple[Numbers, Numbers]:
    _enough(name, *features.shape)
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))


def _enough(name: str, n: int, dims: int) -> None:
    if n <= dims:
        raise ParameterError(
            f"{name}: {n} samples of {dims} dimensions: a Frechet distance needs at least {dims + 1} samples, or "
            "features of fewer dimensions; the kernel distance does with fewer"
        )
