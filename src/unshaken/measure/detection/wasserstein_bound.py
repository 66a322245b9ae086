"""Bounds of any detector once Gaussian noise was added to both kinds of images, from their distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError

NORMAL = NormalDist()
Distance = float | Sequence[float] | NDArray[np.floating]
"""W, or the l2 norms of changes that turn images of the one kind into images of the other, one a pair."""


@dataclass(frozen=True, slots=True)
class WassersteinBound:
    """Bounds on any detector of images that went through the same noise and then any (random) map.

    Args:
        distance: W, or the upper bound of it that was given.
        s: deviation of the noise, on the scale of W.
        total_variation: the largest the two distributions can have, `TV = erf(W / (2 sqrt(2) s))`.
        error: the least sum of missed and false alarms, `e0 + e1 = 1 - TV`.
        auroc: the largest area under the ROC curve, `1/2 + TV - TV^2 / 2`.
    """

    distance: float
    s: float
    total_variation: float
    error: float
    auroc: float

    def tpr(self, fpr: float) -> float:
        """The largest true positive rate at a false positive rate in [0, 1], `min(1, FPR + TV)`.

        Raises:
            ParameterError: fpr is outside [0, 1].
        """
        _check_share("fpr", fpr)
        return min(1.0, fpr + self.total_variation)

    def advantage(self, flips: float) -> float:
        """The largest `TPR - FPR`, on images without noise, of a detector that noise seldom turns: `TV + 2a`.

        Args:
            flips: a in [0, 1]: probability, for each image at most, that noise of deviation s turns the answer.

        Raises:
            ParameterError: flips is outside [0, 1].
        """
        _check_share("flips", flips)
        return min(1.0, self.total_variation + 2 * flips)


def wasserstein_bound(distance: Distance, s: float) -> WassersteinBound:
    """The bounds for two kinds of images at Wasserstein distance W, after noise `N(0, s^2 I)` on both.

    Images are coupled so that they are W apart on average; two Gaussians at distance d have a total variation of
    `erf(d / (2 sqrt(2) s))`, concave in d, and no further map makes it larger. A larger distance gives bounds that hold
    too, only weaker: the mean norm of a watermark's change is enough. A distance measured between two small samples is
    no such bound.

    Args:
        distance: W under the l2 norm, at least 0; or norms of paired changes, of which the mean is taken.
        s: deviation of the noise, at least 0, on the same scale: both for pixels in [0, 1], or both for [-1, 1], where
            both are doubled.

    Raises:
        ParameterError: a number is negative or not finite, or there is no norm.

    Source:
        Saberi et al. 2024, arXiv:2310.00076.

    >>> round(wasserstein_bound([0.5, 1.5], 1.0).error, 5)
    0.61708
    """
    norms = np.atleast_1d(np.asarray(distance, np.float64))
    if not norms.size or not np.isfinite(norms).all() or (norms < 0).any():
        raise ParameterError(f"distance {distance!r} must be a finite number of at least 0, or a list of such")
    if not (s >= 0 and math.isfinite(s)):
        raise ParameterError(f"s={s!r}, the deviation of the noise, must be a finite number of at least 0")
    w = float(norms.mean())
    ratio = w / s if s > 0 else math.inf if w > 0 else 0.0
    tv = math.erf(ratio / (2 * math.sqrt(2)))
    # 1 - erf keeps no digits where W is many s
    return WassersteinBound(w, s, tv, math.erfc(ratio / (2 * math.sqrt(2))), auroc_bound(tv))


def auroc_bound(total_variation: float) -> float:
    """The largest AUROC at a total variation in [0, 1]: `1/2 + TV - TV^2 / 2`.

    Raises:
        ParameterError: it is outside [0, 1].

    >>> auroc_bound(0.25), auroc_bound(0.5)
    (0.71875, 0.875)
    """
    _check_share("total_variation", total_variation)
    return 0.5 + total_variation - total_variation**2 / 2


def noise_needed(distance: float, error: float) -> float:
    """The least deviation s of noise that forces `e0 + e1 >= error`: `W / (2 z)`, z the quantile of `1 - error/2`.

    Args:
        distance: W, at least 0.
        error: inside (0, 1).

    Returns:
        s, on the scale of W.

    Raises:
        ParameterError: a number is not allowed.

    >>> round(noise_needed(1.0, 0.5), 4)
    0.7413
    """
    if not (distance >= 0 and math.isfinite(distance)):
        raise ParameterError(f"distance={distance!r} must be a finite number of at least 0")
    if not 0 < error < 1:
        raise ParameterError(f"error={error!r} must be inside (0, 1)")
    return distance / (2 * NORMAL.inv_cdf(1 - error / 2))


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ParameterError(f"{name}={value!r} must be within [0, 1]")
