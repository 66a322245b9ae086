"""How loss and robustness should follow from geometry: the relations, up to constants, and tests of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure import Figure
from unshaken.measure.statistics.columns import numbers, same_length
from unshaken.measure.statistics.correlation import Correlation, correlation


def loss_exponent(samples: ArrayLike, losses: ArrayLike) -> Figure:
    """The slope of log loss against log N, which `-1 / d` should bound; with Student's interval.

    Args:
        samples: `[M]`, training samples of each network, not all equal.
        losses: `[M]`, test losses above 0.

    Raises:
        ParameterError: fewer than three networks, or a value is not above 0.
    """
    x = np.log(numbers("samples", samples, low=1))
    y = np.log(numbers("losses", losses, low=float(np.finfo(float).tiny)))
    n = same_length(samples=x, losses=y)
    if n < 3 or np.ptp(x) == 0:
        raise ParameterError(f"a slope needs three networks or more and two numbers of samples, not {n} networks")
    fit = scipy.stats.linregress(x, y)
    half = float(fit.stderr) * float(scipy.stats.t.ppf(0.975, n - 2))
    slope = float(fit.slope)
    return Figure(slope, slope - half, slope + half, n, "student 95%")


@dataclass(frozen=True, slots=True)
class RadiusBound:
    """Robustness radii against 1 / K_F, of which they should be a multiple at least.

    Args:
        constant: the smallest `radius * K_F` over the data sets: the largest c with `radius >= c / K_F`.
        relation: correlation of the radius with 1 / K_F over the data sets.
    """

    constant: float
    relation: Correlation


def radius_bound(radii: ArrayLike, sharpness: ArrayLike) -> RadiusBound:
    """Compare robustness radii with 1 / K_F over data sets.

    Args:
        radii: `[M]`, such as the median smallest change that fools a network, in l2, one a data set.
        sharpness: `[M]`, K_F of each in the same units.

    Raises:
        ParameterError: fewer than four data sets, or a value is out of range.
    """
    r = numbers("radii", radii, low=0)
    k = numbers("sharpness", sharpness, low=float(np.finfo(float).tiny))
    same_length(radii=r, sharpness=k)
    return RadiusBound(float((r * k).min()), correlation(1 / k, r))
