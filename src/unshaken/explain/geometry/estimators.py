"""Intrinsic dimension by any of the estimators (MLE, TwoNN, GeoMLE), with an interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.explain.geometry.neighbours import Neighbours, nearest
from unshaken.measure import Figure

Numbers = NDArray[np.float64]
Divisor = Literal["k-1", "k-2"]


def mle_dimension(distances: Numbers, divisor: Divisor = "k-1") -> float:
    """`d = [ (1/N) sum_x (1/(k-1)) sum_{j<k} log(T_k(x) / T_j(x)) ]^-1`: inverse estimates averaged over the points.

    Args:
        distances: `[N, k]`: T_1 to T_k of each point, rising. A point whose nearest neighbour is at distance 0, a
            duplicate, is left out.
        divisor: of the inner sum S, which is Gamma(k - 1, d) where the density is uniform. `k-1` makes each point's
            inverse estimate S / (k - 1) unbiased, which is what is averaged here; `k-2` makes its estimate of d itself,
            (k - 2) / S, unbiased, and d, once inverses are averaged, smaller by `(k-2) / (k-1)`.

    Raises:
        DataError: k is too small, no point is left, or all neighbours of a point are at one distance everywhere.

    Source: Levina & Bickel 2004; MacKay & Ghahramani 2005 for the average.

    >>> round(mle_dimension(np.array([[1.0, 3.0], [1.0, 2.0], [2.0, 3.0], [4.0, 6.0]])), 6)
    1.536872
    """
    k = int(distances.shape[1])
    least = 2 if divisor == "k-1" else 3
    if k < least:
        raise DataError(f"the estimate by {divisor} needs k of {least} or more, not {k}")
    known = without_duplicates(distances)
    inner = np.log(known[:, -1:] / known[:, :-1]).sum(1)
    terms = k - 1 if divisor == "k-1" else k - 2
    total = float(inner.mean()) / terms
    if total <= 0:
        raise DataError("all neighbours of every point are equally far: the data has no dimension that could be told")
    return 1.0 / total


def without_duplicates(distances: Numbers) -> Numbers:
    """The rows of points that have no neighbour at distance 0.

    Raises:
        DataError: none is left, as of constant data.
    """
    known = distances[distances[:, 0] > 0]
    if not len(known):
        raise DataError("every point has a duplicate: the data is constant, or each image is there twice or more")
    return known


def two_nn_dimension(distances: Numbers, form: Literal["fit", "closed"] = "fit") -> float:
    """The slope of `-log(1 - F)` against `log mu` through the origin, `mu = T_2 / T_1` sorted and `F_i = i / N`.

    Args:
        distances: `[N, 2 or more]`: T_1 and T_2 of each point. A point with a duplicate is left out.
        form: `fit` leaves out the largest mu, whose `log(1 - F)` does not exist; `closed` is the maximum of the
            likelihood, `N / sum log mu`.

    Raises:
        DataError: fewer than two points are left, or both neighbours are equally far everywhere.

    Source: Facco et al. 2017, doi:10.1038/s41598-017-11873-y.
    """
    known = without_duplicates(distances)
    n = len(known)
    if n < 2:
        raise DataError(f"TwoNN needs 2 points without duplicates at least, not {n}")
    log_mu = np.sort(np.log(known[:, 1] / known[:, 0]))
    if form == "closed":
        above, below = float(n), float(log_mu.sum())
    else:
        target = -np.log1p(-np.arange(1, n) / n)
        above, below = float(target @ log_mu[:-1]), float(log_mu[:-1] @ log_mu[:-1])
    if below <= 0:
        raise DataError("both nearest neighbours of every point are equally far: the dimension cannot be told")
    return above / below


KEPT = 0.632
"""Share of the points that a bootstrap sample holds."""


def geo_mle_dimension(
    neighbours: Neighbours,
    k_range: tuple[int, int] = (25, 55),
    *,
    samples: int = 20,
    ridge: float = 5e-3,
    seed: int = 0,
) -> float:
    """The mean over points of the constant of a quadratic, fitted to `d_k(x)` against the radius `T_k(x)`.

    For each k of a range the local estimate `d_k = [ (1/(k-2)) sum_{j<k} log(T_k / T_j) ]^-1` and its radius are
    averaged over bootstrap samples of the points, duplicates of a sample taken once. The radius is measured in units of
    the point's largest, so that the ridge penalty does not depend on the scale of the data. The published method
    weights the fit by the estimates' spread; this one does not.

    Args:
        neighbours: known neighbours of all points; about twice the largest k.
        k_range: first and last k.
        samples: bootstrap samples.
        ridge: penalty of the slope and the curvature.
        seed: of the samples.

    Raises:
        DataError: too few neighbours are known, or no point is left.

    Source: Gomtsyan et al. 2019, arXiv:1910.11175.
    """
    low, high = k_range
    n, known = neighbours.distances.shape
    if known < high or low < 3:
        raise DataError(f"GeoMLE up to k={high} needs that many known neighbours, not {known}, and k from 3 on")
    rng = np.random.default_rng(seed)
    total, radius, count = np.zeros((n, high - low + 1)), np.zeros((n, high - low + 1)), np.zeros((n, 1))
    usable = neighbours.distances[:, 0] > 0
    for _ in range(samples):
        chosen = np.zeros(n, bool)
        chosen[rng.integers(n, size=n)] = True
        there = chosen[neighbours.indices]
        rows = usable & (there.sum(1) >= high)
        first = np.argsort(~there[rows], 1, kind="stable")[:, :high]
        t = np.take_along_axis(neighbours.distances[rows], first, 1)
        logs = np.log(t)
        ks = np.arange(low, high + 1)
        inner = (ks - 1) * logs[:, low - 1 :] - np.cumsum(logs, 1)[:, low - 2 : high - 1]
        total[rows] += (ks - 2) / np.maximum(inner, np.finfo(float).tiny)
        radius[rows] += t[:, low - 1 :]
        count[rows] += 1
    rows = (count[:, 0] > 0) & np.isfinite(total).all(1)
    if not rows.any():
        raise DataError("GeoMLE: no point has enough neighbours that are not duplicates: give more images")
    d, r = total[rows] / count[rows], radius[rows] / count[rows]
    return float(_constants(r / r[:, -1:], d, ridge).mean())


def _constants(r: Numbers, d: Numbers, ridge: float) -> Numbers:
    """The constant of each row's ridge fit `d = a + b r + c r^2`."""
    design = np.stack([np.ones_like(r), r, r**2], 2)
    normal = design.transpose(0, 2, 1) @ design + ridge * np.diag([0.0, 1.0, 1.0])
    right = design.transpose(0, 2, 1) @ d[:, :, None]
    return np.asarray(np.linalg.solve(normal, right)[:, 0, 0])


Estimator = Literal["mle", "twonn", "geomle"]
GEO_RANGE = (25, 55)
_GEO_DRAWS = 20


@dataclass(frozen=True, slots=True)
class Settings:
    """How dimensions are estimated.

    Args:
        estimators: names; each counts once.
        k: neighbours of the MLE.
        divisor: of the MLE.
        draws: halves of the points, for the interval.
        seed: of the halves.
    """

    estimators: tuple[str, ...] = ("mle", "twonn")
    k: int = 20
    divisor: Divisor = "k-1"
    draws: int = 50
    seed: int = 0

    @property
    def neighbours(self) -> int:
        """Neighbours of the largest estimate."""
        need = {"mle": self.k, "twonn": 2, "geomle": GEO_RANGE[1]}
        return max(need[name] for name in self.estimators)


def dimensions(points: Tensor, settings: Settings | None = None) -> tuple[dict[str, Figure], int]:
    """The intrinsic dimension of points by each estimator.

    The interval is the estimate plus and minus 1.96 times its spread over random halves of the points, whose
    neighbours are found among themselves: a half has twice the variance, and shares half of it with the whole, so that
    this spread is the standard error of the whole. It does not cover the bias: all estimators are too low in many
    dimensions (about 14 to 16 for a cube of 20).

    Args:
        points: `[N, D]`.
        settings: default those of `Settings`.

    Returns:
        Estimator to figure, and the number of points that were left out as duplicates.

    Raises:
        DataError: there are too few points, they are constant, or one is not finite.
    """
    chosen = settings or Settings()
    known = nearest(points, _known(chosen, len(points)))
    duplicates = int((known.distances[:, 0] == 0).sum())
    found = {}
    for name in chosen.estimators:
        value = _estimate(name, known, np.ones(len(points), bool), chosen, 0)
        found[name] = _with_interval(value, name, known, chosen, len(points) - duplicates)
    return found, duplicates


def _known(settings: Settings, n: int) -> int:
    """Neighbours to know, so that a random half of the points has enough of them; no fewer than the estimate needs."""
    geo = int(GEO_RANGE[1] / KEPT) + 25 if "geomle" in settings.estimators else 0
    wanted = max(settings.neighbours, geo)
    return max(settings.neighbours, min(n - 1, 2 * wanted + 6 * int(np.sqrt(wanted)) + 4))


def _estimate(name: str, known: Neighbours, chosen: NDArray[np.bool_], settings: Settings, seed: int) -> float:
    if name == "geomle":
        return geo_mle_dimension(_part(known, chosen), GEO_RANGE, seed=seed)
    estimators: dict[str, tuple[int, Callable[[NDArray[np.float64]], float]]] = {
        "mle": (settings.k, lambda t: mle_dimension(t, settings.divisor)),
        "twonn": (2, two_nn_dimension),
    }
    k, estimate = estimators[name]
    return estimate(known.among(chosen, k))


def _part(known: Neighbours, chosen: NDArray[np.bool_]) -> Neighbours:
    """The neighbours of some points among themselves, as many as all of them have."""
    if chosen.all():
        return known
    there = chosen[known.indices] & chosen[:, None]
    k = int(there[chosen].sum(1).min())
    order = np.argsort(~there[chosen], 1, kind="stable")[:, :k]
    renamed = np.cumsum(chosen) - 1
    distances = np.take_along_axis(known.distances[chosen], order, 1)
    indices = np.take_along_axis(known.indices[chosen], order, 1)
    return Neighbours(distances, renamed[indices])


def _with_interval(value: float, name: str, known: Neighbours, settings: Settings, n: int) -> Figure:
    rng, size = np.random.default_rng(settings.seed), len(known.distances)
    count = min(settings.draws, _GEO_DRAWS) if name == "geomle" else settings.draws
    draws: list[float] = []
    for i in range(count):
        chosen = np.zeros(size, bool)
        chosen[rng.permutation(size)[: size // 2]] = True
        try:
            draws.append(_estimate(name, known, chosen, settings, i))
        except DataError:
            break  # a half is too few
    if len(draws) < max(2, count):
        return Figure(value, 0.0, float("inf"), n, "none: too few points for halves")
    half = 1.96 * float(np.std(draws, ddof=1))
    return Figure(value, max(0.0, value - half), value + half, n, f"halves of the points 95% ({count})")
