"""Distances between two sets of features: Fréchet's and the kernel's."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers


def as_features(name: str, values: ArrayLike) -> Numbers:
    """Features as float64 `[N, D]`.

    Args:
        name: what to call them in a message.
        values: finite numbers.

    Raises:
        ParameterError: they have another shape, or one is not finite.
    """
    features = np.asarray(values, np.float64)
    if features.ndim != 2 or not features.size:
        raise ParameterError(f"{name} must be features [N, D], not of shape {features.shape}")
    if not np.isfinite(features).all():
        raise ParameterError(f"{name}: features must be finite; leave out the samples whose features are not")
    return features


def as_pair(real: ArrayLike, made: ArrayLike) -> tuple[Numbers, Numbers]:
    """Features of real and of generated images, of one network.

    Raises:
        ParameterError: as `as_features`; or they have different dimensions.
    """
    x, y = as_features("real", real), as_features("made", made)
    if x.shape[1] != y.shape[1]:
        raise ParameterError(f"features have {x.shape[1]} and {y.shape[1]} dimensions: take both from one network")
    return x, y


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


def kernel_distance(real: ArrayLike, made: ArrayLike) -> float:
    """The kernel distance (KID): the unbiased squared MMD with the cubic kernel `(x'y / D + 1)^3`.

    Unbiased for any number of samples, and below 0 about half of the time where both are alike.

    Args:
        real: features `[N, D]`, N at least 2.
        made: features of generated images `[M, D]`, M at least 2.

    Raises:
        ParameterError: features are not finite `[N, D]`, there is one alone, or their dimensions differ.

    Source: Binkowski et al. 2018, arXiv:1801.01401.
    """
    x, y = as_pair(real, made)
    if min(len(x), len(y)) < 2:
        raise ParameterError(f"a kernel distance needs two samples a side, not {len(x)} and {len(y)}")
    n, m = len(x), len(y)
    xx, yy, xy = _sums(x, x), _sums(y, y), _sums(x, y)
    own = _diagonal(x), _diagonal(y)
    return float((xx - own[0]) / (n * (n - 1)) + (yy - own[1]) / (m * (m - 1)) - 2 * xy / (n * m))


def _sums(x: Numbers, y: Numbers) -> float:
    """The sum of the kernel over all pairs, a part of the rows at a time."""
    rows = max(1, (1 << 23) // len(y))
    return sum(float(((x[i : i + rows] @ y.T / x.shape[1] + 1) ** 3).sum()) for i in range(0, len(x), rows))


def _diagonal(x: Numbers) -> float:
    return float((((x**2).sum(1) / x.shape[1] + 1) ** 3).sum())
