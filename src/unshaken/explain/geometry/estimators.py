"""Intrinsic dimension by any of the estimators, with an interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.explain.geometry.geo_mle import KEPT, geo_mle_dimension
from unshaken.explain.geometry.mle import Divisor, mle_dimension
from unshaken.explain.geometry.neighbours import Neighbours, nearest
from unshaken.explain.geometry.two_nn import two_nn_dimension
from unshaken.measure import Figure

ESTIMATORS = ("mle", "twonn", "geomle")
GEO_RANGE = (25, 55)
_GEO_DRAWS = 20


@dataclass(frozen=True, slots=True)
class Settings:
    """How dimensions are estimated.

    Args:
        estimators: names, of `ESTIMATORS`.
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

    @classmethod
    def of(cls, names: str, k: int, divisor: Divisor, draws: int, seed: int) -> Settings:
        """From names joined by `+`.

        Raises:
            ParameterError: a name is not known.
        """
        chosen = tuple(dict.fromkeys(filter(None, names.split("+"))))
        for name in chosen or ("",):
            if name not in ESTIMATORS:
                raise ParameterError(f"no estimator of dimension {name!r}; {did_you_mean(name, ESTIMATORS)}")
        return cls(chosen, k, divisor, draws, seed)

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
