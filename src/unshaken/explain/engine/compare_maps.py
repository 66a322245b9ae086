"""Agreement between maps, figures of a metric of maps, and paired comparisons of methods and of models.

The controls (a random map, an edge detector, the centre point) are methods like any other here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import DataError, ParameterError
from unshaken.measure.statistics.intervals import Figure, share
from unshaken.measure.statistics.means import mean_figure
from unshaken.measure.statistics.paired import paired_difference

Similarity = Literal["spearman", "pearson", "top-k", "ssim"]
"""Correlation of ranks, of values, the share of the top pixels in common, or structural similarity."""
WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation of SSIM's Gaussian window, in pixels."""


def map_agreement(one: Tensor, other: Tensor, by: Similarity = "spearman", *, top: float = 0.1) -> Tensor:
    """How alike two maps of each sample are.

    Args:
        one: `[N, H, W]`.
        other: the same shape: maps of the same samples by another method or for another model.
        by: see `Similarity`.
        top: for `top-k`, which share of the pixels is compared.

    Returns:
        float64 `[N]`, 1 for equal maps; NaN where a map is constant.

    Raises:
        DataError: the shapes differ.
        ParameterError: `top` is not inside (0, 1).

    >>> ramp = torch.arange(12.0).view(1, 3, 4)
    >>> map_agreement(ramp, ramp.exp()).item(), map_agreement(ramp, -ramp).item()
    (1.0, -1.0)
    """
    if one.shape != other.shape or one.ndim != 3:
        raise DataError(f"maps of {tuple(one.shape)} and {tuple(other.shape)}: give two of one shape [N, H, W]")
    if not 0 < top < 1:
        raise ParameterError(f"top={top} must lie inside (0, 1): the share of pixels that is compared")
    one, other = widen(one), widen(other)
    first, second = one.flatten(1), other.flatten(1)
    varies = (first.amax(1) > first.amin(1)) & (second.amax(1) > second.amin(1))
    if by in ("pearson", "spearman"):
        found = pearson(first, second) if by == "pearson" else pearson(_ranks(first), _ranks(second))
    else:
        found = structural_similarity(one, other) if by == "ssim" else _overlap(first, second, top)
    return torch.where(varies, found, torch.nan)


def pearson(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's correlation of each row.

    Args:
        one: `[N, P]`.
        other: `[N, P]`.

    Returns:
        `[N]`; NaN where a row is constant.
    """
    a, b = (x - x.mean(1, keepdim=True) for x in (one, other))
    varies = (one.amax(1) > one.amin(1)) & (other.amax(1) > other.amin(1))
    size = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(varies & (size > 0), ((a * b).sum(1) / size).clamp(-1, 1), torch.nan)


def structural_similarity(one: Tensor, other: Tensor) -> Tensor:
    """SSIM of two maps of each sample, both first brought to [0, 1] by their own minimum and maximum.

    Constants and window (Gaussian, 11 pixels, standard deviation 1.5) are those of Wang et al. 2004; the mean is taken
    where the window lies inside the map. Of a map smaller than the window all is one window of equal weights.

    Args:
        one: float64 `[N, H, W]`.
        other: the same shape.

    Returns:
        `[N]`.
    """
    a, b = (min_max(x)[:, None] for x in (one, other))
    height, width = one.shape[1:]
    if min(height, width) < WINDOW:
        kernel = torch.full((1, 1, height, width), 1 / (height * width), dtype=one.dtype, device=one.device)
    else:
        line = torch.exp(-0.5 * ((torch.arange(WINDOW, dtype=one.dtype, device=one.device) - WINDOW // 2) / SIGMA) ** 2)
        kernel = (line[:, None] * line / line.sum() ** 2)[None, None]
    ma, mb, aa, bb, ab = (F.conv2d(x, kernel) for x in (a, b, a * a, b * b, a * b))
    va, vb, cov = aa - ma * ma, bb - mb * mb, ab - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    local = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    return local.flatten(1).mean(1)


def min_max(maps: Tensor) -> Tensor:
    """Maps brought to [0, 1] by their own minimum and maximum; 0 for a constant one.

    Args:
        maps: `[N, H, W]`.
    """
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return torch.where(high > low, (maps - low) / (high - low), 0.0)


def _ranks(values: Tensor) -> Tensor:
    """Ranks in each row, the mean rank for equal values."""
    ordered = values.sort(1).values
    low, high = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (low + high + 1).to(values.dtype) / 2


def _overlap(one: Tensor, other: Tensor, top: float) -> Tensor:
    """The share of the top pixels of one map that are top pixels of the other; of equal pixels the first count."""
    k = max(1, round(top * one.shape[1]))
    chosen = []
    for values in (one, other):
        places = values.argsort(dim=1, descending=True, stable=True)[:, :k]
        chosen.append(torch.zeros_like(values, dtype=torch.bool).scatter_(1, places, value=True))
    return widen((chosen[0] & chosen[1]).sum(1)) / k


Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MapValues:
    """Values of a metric for the maps of one method and one model.

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
    place = {name: i for i, name in enumerate(candidate.ids)}
    shared = [(i, place[name]) for i, name in enumerate(baseline.ids) if name in place]
    before, after = baseline.values[[i for i, _ in shared]], candidate.values[[j for _, j in shared]]
    known = np.isfinite(before) & np.isfinite(after)
    return paired_difference(before[known], after[known], level=level) if known.any() else None


def compare_models(baseline: MapValues, candidate: MapValues, *, level: float = 0.95) -> Figure | None:
    """Compare the maps of two models by a paired mean over the samples that both classify rightly.

    Each model's own right samples would be other images for each, and easier ones for the weaker model.

    Raises:
        DataError: it is not known which samples a model classifies rightly.
    """
    if baseline.correct is None or candidate.correct is None:
        raise DataError("two models are compared on what both classify rightly: give `correct` for each")
    before = MapValues(baseline.ids, np.where(baseline.correct, baseline.values, np.nan))
    after = MapValues(candidate.ids, np.where(candidate.correct, candidate.values, np.nan))
    return compare_methods(before, after, level=level)
