"""Gaussians over features: covariances that may be rank-deficient, whitening, and squared Mahalanobis distances."""

from __future__ import annotations

from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.detect.engine.fit_data import Moments

RESOLUTION = 1e-6
"""A direction whose deviation is below this share of the features' size is constant: float32 rounds as coarsely."""

Around = Literal["within", "covariance"]
_known: WeakKeyDictionary[Moments, dict[Around, tuple[float, Tensor, Tensor]]] = WeakKeyDictionary()


def eigen(moments: Moments, around: Around) -> tuple[Tensor, Tensor]:
    """Variances and directions of a covariance: `Sigma = U diag(l) U^T`.

    It is worked out once for all detectors that are fitted on the same moments.

    Args:
        moments: of one layer.
        around: `within`, around the mean of the own class, or `covariance`, around that of all samples.

    Returns:
        l `[d]`, rising, not below 0, and U `[d, d]`.
    """
    found = _known.setdefault(moments, {})
    if around not in found or found[around][0] != moments.n:
        sigma = moments.within() if around == "within" else moments.covariance()
        values, vectors = torch.linalg.eigh(sigma)
        found[around] = (moments.n, values.clamp(min=0), vectors)
    return found[around][1:]


def whitening(variances: Tensor, directions: Tensor, size: Tensor) -> Tensor:
    """W with `W^T W` the pseudo-inverse of a covariance: `l^{-1/2} U^T` over the directions that vary.

    Args:
        variances: l, float64 `[d]`, rising.
        directions: U, `[d, d]`.
        size: of the features, a scalar, such as their largest mean; see `RESOLUTION`.

    Returns:
        `[r, d]`, r the rank of the covariance.

    Raises:
        DataError: all directions are constant.
    """
    varies = variances > (RESOLUTION * torch.maximum(size, variances[-1].sqrt())) ** 2
    if not bool(varies.any()):
        raise DataError("the features are constant, within the classes or altogether: no distance can be taken in them")
    scaled: Tensor = directions[:, varies] / variances[varies].sqrt()
    return scaled.T.contiguous()


def shrunk(variances: Tensor, share: float | Tensor) -> Tensor:
    """Variances of `(1 - s) Sigma + s tr(Sigma)/d I`, whose directions are those of Sigma.

    Args:
        variances: l, `[d]`.
        share: s in [0, 1]; 0 changes nothing.
    """
    return variances * (1 - share) + variances.mean() * share


def ledoit_wolf(variances: Tensor, fourth: Tensor, n: float) -> Tensor:
    """The share s of `shrunk` whose expected squared error is least.

    Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4.

    Args:
        variances: `[d]`, of a covariance of deviations x from a known mean, divided by n.
        fourth: the mean of `|x|^4`, a scalar.
        n: samples behind it.

    Returns:
        A scalar in [0, 1].
    """
    squares, d = (variances**2).sum(), len(variances)
    away = (squares - variances.sum() ** 2 / d) / d
    if not bool(away > 0):
        return torch.zeros_like(away)
    return torch.minimum(((fourth - squares) / (n * d)).clamp(min=0), away) / away


def squared_distances(features: Tensor, whiten: Tensor, origin: Tensor, centres: Tensor) -> Tensor:
    """`d_c^2 = (f - mu_c)^T Sigma^+ (f - mu_c)` to every centre.

    Args:
        features: f, `[N, d]`.
        whiten: W, `[r, d]`, see `whitening`.
        origin: o, `[d]`, near the features, so that nothing cancels.
        centres: `W (mu_c - o)`, `[K, r]`.

    Returns:
        Float64 `[N, K]`.
    """
    g = (features.double() - origin) @ whiten.T
    squares = (g * g).sum(1, keepdim=True) - 2 * g @ centres.T + (centres * centres).sum(1)
    return squares.clamp(min=0)
