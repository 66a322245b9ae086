"""Figures of a metric of maps, and paired comparisons between methods and between models.

The controls (a random map, an edge detector, the centre point) are methods like any other here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.measure.statistics.intervals import Figure, share
from unshaken.measure.statistics.means import mean_figure
from unshaken.measure.statistics.paired import paired_difference

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MapValues:
    """What a metric says of the maps of one method for one model.

    Args:
        ids: of the samples, each once.
        values: float64 `[N]`; NaN where the metric says nothing.
        correct: bool `[N]`: the model classifies the sample rightly; None where that is not known.
    """

    ids: Sequence[str]
    values: Numbers
    correct: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        n = len(self.values)
        if len(self.ids) != n or (self.correct is not None and len(self.correct) != n):
            raise DataError(f"{n} values came with {len(self.ids)} ids: give one id a value, and as many flags")
        if len(set(self.ids)) < n:
            raise DataError("an id occurs twice: give the values of one method and one model")


def summarise(values: Numbers, *, hits: bool = False, level: float = 0.95) -> Figure | None:
    """The mean over samples: a share with Clopper-Pearson's interval for hits, else with a bootstrap interval.

    Args:
        values: `[N]`; NaN is left out.
        hits: each value is 1 or 0, as `MapMetric.hits` says.
        level: coverage of the interval.

    Returns:
        The figure; None where no sample has a value. Its interval is unbounded where all values are alike, for a
        metric may have any range.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    if hits:
        return share(int(known.sum()), len(known), level=level)
    return mean_figure(known, level=level)


def compare_methods(baseline: MapValues, candidate: MapValues, *, level: float = 0.95) -> Figure | None:
    """The mean of candidate minus baseline over the samples where both have a value, with a paired interval.

    Args:
        baseline: one method, such as a control.
        candidate: another, on the same samples.
        level: coverage of the interval.

    Returns:
        The figure; None where there is no such sample.

    >>> one = MapValues(["a", "b", "c"], np.array([0.0, 0.5, np.nan]))
    >>> other = MapValues(["c", "b", "a"], np.array([1.0, 0.75, 0.25]))
    >>> figure = compare_methods(one, other)
    >>> figure.value, figure.n
    (0.25, 2)
    """
    before, after = _matched(baseline, candidate)
    known = np.isfinite(before) & np.isfinite(after)
    return paired_difference(before[known], after[known], level=level) if known.any() else None


def compare_models(baseline: MapValues, candidate: MapValues, *, level: float = 0.95) -> Figure | None:
    """As `compare_methods`, over the samples that both models classify rightly.

    Each model's own right samples would be other images for each, and easier ones for the weaker model.

    Raises:
        DataError: it is not known which samples a model classifies rightly.
    """
    if baseline.correct is None or candidate.correct is None:
        raise DataError("two models are compared on what both classify rightly: give `correct` for each")
    before, after = _right(baseline, baseline.correct), _right(candidate, candidate.correct)
    return compare_methods(before, after, level=level)


def _right(found: MapValues, correct: NDArray[np.bool_]) -> MapValues:
    """The same without the values of samples that are classified wrongly."""
    return MapValues(found.ids, np.where(correct, found.values, np.nan))


def _matched(one: MapValues, other: MapValues) -> tuple[Numbers, Numbers]:
    """The values of the samples that both have, in one order."""
    place = {name: i for i, name in enumerate(other.ids)}
    rows = [(i, place[name]) for i, name in enumerate(one.ids) if name in place]
    first, second = ([r[k] for r in rows] for k in (0, 1))
    return one.values[first], other.values[second]
