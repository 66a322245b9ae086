"""The share of decisions for one of two cues in conflict."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure import Figure, clopper_pearson, share
from unshaken.measure.statistics.columns import Indices, Numbers, integers, same_length
from unshaken.measure.statistics.intervals import bootstrap_figure, percent

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class CueBias:
    """Decisions about images whose two cues belong to different classes.

    Args:
        first: decisions for the class of the first cue, such as shape.
        second: for that of the second cue, such as texture.
        other: for neither.

    >>> CueBias(70, 30, 100).value, CueBias(70, 30, 100).cue_share
    (0.7, 0.5)
    >>> CueBias(0, 0, 9).value
    nan
    """

    first: int
    second: int
    other: int

    @property
    def n(self) -> int:
        """Number of images."""
        return self.first + self.second + self.other

    @property
    def value(self) -> float:
        """`first / (first + second)`; NaN where no decision is for a cue."""
        cues = self.first + self.second
        return self.first / cues if cues else math.nan

    @property
    def cue_share(self) -> float:
        """The share of decisions that are for either cue; NaN without images."""
        return (self.first + self.second) / self.n if self.n else math.nan

    @property
    def counts(self) -> list[int]:
        """Decisions for the first cue, for the second, and for neither."""
        return [self.first, self.second, self.other]

    def figure(self, *, seed: int = 0) -> Figure | None:
        """The bias with its bootstrap interval over images; None where it is NaN.

        Where all decisions are for one cue the bootstrap would give a width of zero: the interval is then Clopper and
        Pearson's, of the decisions for a cue.
        """
        if math.isnan(self.value):
            return None
        if not (self.first and self.second):
            return share(self.first, self.first + self.second)
        counts = np.array([self.first, self.second, self.other])
        draws = np.random.default_rng(seed).multinomial(self.n, counts / self.n, size=RESAMPLES)
        return bootstrap_figure(self.value, _kept(_biases(draws)), self.n)

    def cue_figure(self) -> Figure | None:
        """The share of decisions for either cue, with its Clopper-Pearson interval; None without images."""
        return share(self.first + self.second, self.n) if self.n else None


def cue_bias(decisions: Indices, first: Indices, second: Indices) -> CueBias:
    """Count decisions; images whose two cues are of one class are left out.

    Args:
        decisions: int `[N]`; -1 for none.
        first: class of each image's first cue, int `[N]`.
        second: class of its second cue, int `[N]`.
    """
    kinds = _kinds(decisions, first, second)
    return CueBias(*(int((kinds == kind).sum()) for kind in range(3)))


def bias_by_class(decisions: Indices, first: Indices, second: Indices) -> dict[int, CueBias]:
    """`cue_bias` of the images of each class of the first cue."""
    return {int(c): cue_bias(*(x[first == c] for x in (decisions, first, second))) for c in np.unique(first)}


def bias_difference(
    baseline: Indices, candidate: Indices, first: Indices, second: Indices, *, seed: int = 0
) -> Figure | None:
    """The candidate's bias less the baseline's on the same images, with a paired bootstrap interval.

    Args:
        baseline: decisions of one model, int `[N]`.
        candidate: of the other.
        first: as for `cue_bias`.
        second: as for `cue_bias`.
        seed: of the draws.

    Returns:
        The figure; None where one of the two biases is NaN. Where no resample differs from the others, the interval is
        the Clopper-Pearson bound of a share of none among the decisions for a cue, on both sides.
    """
    one, other = (_kinds(d, first, second) for d in (baseline, candidate))
    joint = np.bincount(3 * one[one >= 0] + other[other >= 0], minlength=9)
    n = int(joint.sum())
    if not n:
        return None
    value = float(_difference(joint[None])[0])
    if math.isnan(value):
        return None
    draws = _kept(_difference(np.random.default_rng(seed).multinomial(n, joint / n, size=RESAMPLES)))
    if np.ptp(draws) > 0:
        return bootstrap_figure(value, draws, n)
    cues = min(int((kinds[kinds >= 0] < 2).sum()) for kinds in (one, other))
    bound = float(clopper_pearson(0, cues)[1])
    low, high = max(-1.0, value - bound), min(1.0, value + bound)
    return Figure(value, low, high, n, f"clopper-pearson {percent(0.95)} (no resample differs)")


def _kinds(decisions: Indices, first: Indices, second: Indices) -> Indices:
    """0 for the first cue, 1 for the second, 2 for neither, -1 where both cues are of one class."""
    if not len(first):
        raise ParameterError("there is no image with two cues: give one at least")
    columns = {"decisions": decisions, "first": first, "second": second}
    d, a, b = (integers(name, values) for name, values in columns.items())
    same_length(decisions=d, first=a, second=b)
    return np.where(a == b, -1, np.where(d == a, 0, np.where(d == b, 1, 2)))


def _biases(counts: Indices) -> Numbers:
    """The bias of each row of counts `[B, 3]`; NaN where there is none."""
    cues = counts[:, 0] + counts[:, 1]
    return np.where(cues > 0, counts[:, 0] / np.maximum(cues, 1), np.nan)


def _difference(joint: Indices) -> Numbers:
    """The second model's bias less the first's, of joint counts `[B, 9]`."""
    table = joint.reshape(-1, 3, 3)
    found: Numbers = _biases(table.sum(1)) - _biases(table.sum(2))
    return found


def _kept(draws: Numbers) -> Numbers:
    """The draws that have a value; one without a decision for a cue says nothing of the bias."""
    found: Numbers = draws[~np.isnan(draws)]
    return found
