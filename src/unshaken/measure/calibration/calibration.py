"""Calibration of probabilities: the calibration error, proper scores, and the confidence of logits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Indices, Numbers, flags, integers, numbers, same_length
from unshaken.measure.statistics.intervals import Figure, bootstrap_means, centred_figure, missed_share, share
from unshaken.measure.statistics.means import mean_figure

Binning = Literal["equal-width", "equal-mass"]

_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bin of the reliability diagram.

    Args:
        low: lower edge of the confidence, exclusive (inclusive at 0, and at the least confidence of equal mass).
        high: upper edge, inclusive.
        confidence: mean confidence of its samples.
        accuracy: share of its samples that are correct, with a Clopper-Pearson interval; its n is the bin's.
    """

    low: float
    high: float
    confidence: float
    accuracy: Figure

    @property
    def gap(self) -> float:
        """Accuracy minus confidence: below zero is overconfident."""
        return self.accuracy.value - self.confidence


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Calibration of one confidence column.

    Args:
        ece: `sum_b n_b/N |acc_b - conf_b|`, the plug-in estimate that the field reports. It is biased upwards: the
            fewer samples a bin has, the more. The interval is that of the plug-in at this N and these bins (bootstrap
            over samples, centred on the value); compare models at the same N, bins and binning only.
        bias: the ECE that a perfectly calibrated model with these very confidences would show on average.
        p_calibrated: share of such perfectly calibrated draws whose ECE is at least the one found; small means that
            the model is miscalibrated beyond chance.
        signed_gap: accuracy minus mean confidence over all samples: below zero is overconfident.
        binning: `equal-width` or `equal-mass`.
        bins: the bins that have a sample, in ascending order.
    """

    ece: Figure
    bias: float
    p_calibrated: float
    signed_gap: float
    binning: Binning
    bins: tuple[ReliabilityBin, ...]

    @property
    def max_gap(self) -> float:
        """The largest `|acc_b - conf_b|` (the field's MCE: maximum calibration error)."""
        return max(abs(b.gap) for b in self.bins)

    @property
    def average_gap(self) -> float:
        """The unweighted mean of `|acc_b - conf_b|` over bins with a sample (ACE)."""
        return float(np.mean([abs(b.gap) for b in self.bins]))


def calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    bins: int = 15,
    binning: Binning = "equal-width",
    level: float = 0.95,
    resamples: int = 2000,
    simulations: int = 1000,
    seed: int = 0,
) -> CalibrationError:
    """Expected calibration error with its bias, and the reliability diagram's table.

    From probabilities: `calibration_error(*top_label(probabilities, labels))`. Of one class k (classwise):
    `calibration_error(probabilities[:, k], labels == k)`.

    Args:
        confidence: `[N]` in [0, 1].
        correct: bool `[N]`.
        bins: B. Equal width: the bins (i/B, (i+1)/B]. Equal mass: as even as N allows, equal confidences in one bin.
        binning: `equal-width` or `equal-mass`.
        level: coverage of the intervals.
        resamples: bootstrap draws of samples; the bins stay as they are.
        simulations: draws of a perfectly calibrated model.
        seed: of both.

    Raises:
        ParameterError: there is no sample; a value is missing or outside [0, 1]; lengths differ; bins or simulations
            below 1; an unknown binning.

    Source: Naeini et al. 2015 (ECE); Guo et al. 2017, arXiv:1706.04599 (15 bins); Vaicenavicius et al. 2019,
    arXiv:1902.06977 (draws of a calibrated model).
    """
    conf, right = numbers("confidence", confidence, low=0, high=1), flags("correct", correct)
    n = same_length(confidence=conf, correct=right)
    if bins < 1 or simulations < 1:
        raise ParameterError(f"bins and simulations must be at least 1, not {bins} and {simulations}")
    order = np.lexsort((right, conf))  # no figure depends on the order of the rows
    conf, right = conf[order], right[order]
    starts, edges = _bins(conf, bins, binning)
    gap = right - conf
    ece = float(np.abs(np.add.reduceat(gap, starts)).sum() / n)
    null = _calibrated_draws(conf, starts, simulations, seed)
    return CalibrationError(
        ece=_centred(ece, _resampled(gap, starts, resamples, seed), n, level),
        bias=float(null.mean()),
        p_calibrated=float((1 + (null >= ece - 1e-12).sum()) / (1 + simulations)),
        signed_gap=float(gap.mean()),
        binning=binning,
        bins=tuple(
            ReliabilityBin(low, high, float(c.mean()), share(int(r.sum()), len(r), level=level))
            for (low, high), c, r in zip(edges, np.split(conf, starts[1:]), np.split(right, starts[1:]), strict=True)
        ),
    )


def _bins(conf: Numbers, bins: int, binning: Binning) -> tuple[Indices, list[tuple[float, float]]]:
    """Where each non-empty bin starts in ascending confidences, and its edges."""
    n = len(conf)
    if binning == "equal-width":
        edges = np.arange(bins + 1) / bins
        place = np.maximum(np.searchsorted(edges, conf, side="left") - 1, 0)
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        return starts, [(float(edges[b]), float(edges[b + 1])) for b in place[starts]]
    if binning == "equal-mass":
        cuts = np.array([len(part) for part in np.array_split(conf, min(bins, n))]).cumsum()
        ends = np.unique(np.searchsorted(conf, conf[cuts - 1], side="right"))
        highs = conf[ends - 1].tolist()
        return np.concatenate([[0], ends[:-1]]), list(zip([float(conf[0]), *highs[:-1]], highs, strict=True))
    raise ParameterError(f"binning {binning!r} is not one of ['equal-width', 'equal-mass']")


def _resampled(gap: Numbers, starts: Indices, resamples: int, seed: int) -> Numbers:
    """ECE on each bootstrap resample `[B]`: the bins' sums are means of one column a bin."""
    member = np.zeros((len(gap), len(starts)))
    sizes = np.diff(np.append(starts, len(gap)))
    member[np.arange(len(gap)), np.repeat(np.arange(len(starts)), sizes)] = gap
    return np.asarray(np.abs(bootstrap_means(member, resamples=resamples, seed=seed)).sum(1), np.float64)


def _calibrated_draws(conf: Numbers, starts: Indices, simulations: int, seed: int) -> Numbers:
    """ECE `[simulations]` when each sample is correct with exactly the probability of its confidence."""
    rng, n = np.random.default_rng(seed), len(conf)
    out = np.empty(simulations)
    rows = max(1, _CHUNK // n)
    for first in range(0, simulations, rows):
        size = min(rows, simulations - first)
        gap = (rng.random((size, n)) < conf) - conf
        out[first : first + size] = np.abs(np.add.reduceat(gap, starts, axis=1)).sum(1) / n
    return out


def _centred(value: float, draws: Numbers, n: int, level: float) -> Figure:
    """The draws' spread around the value: their own centre carries the bias a second time.

    Where all samples are alike, as many others as n can miss may be as wrong as confidence can be.
    """
    missed = missed_share(n, level=level)
    return centred_figure(value, draws, n, level=level, low=0.0, high=1.0, ends=(value - missed, value + missed))


def softmax(logits: ArrayLike) -> Numbers:
    """Probabilities `[N, K]` from logits `[N, K]`, in float64, whatever type they came in.

    Raises:
        ParameterError: not two-dimensional, empty, or not finite.
    """
    return np.asarray(special.softmax(_finite("logits", logits), axis=1), np.float64)


def top_label(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Numbers, Flags]:
    """Confidence of the predicted class, and whether it is the label; of tied classes the first is predicted.

    Args:
        probabilities: `[N, K]`, each row summing to 1.
        labels: int `[N]` in 0..K-1.

    Returns:
        float64 `[N]` and bool `[N]`.

    Raises:
        ParameterError: the probabilities are none (logits?), or the labels do not fit them.
    """
    p, y = _checked(probabilities, labels)
    return p.max(1), p.argmax(1) == y


def brier(
    probabilities: ArrayLike, labels: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Figure:
    """Brier score in its original form: mean over samples of `sum_k (p_k - 1[y = k])^2`, in [0, 2].

    For two classes this is twice what scikit-learn's binary score gives.

    Args:
        probabilities: `[N, K]`, each row summing to 1.
        labels: int `[N]` in 0..K-1.
        level: coverage of the interval.
        resamples: bootstrap draws of samples.
        seed: of the draws.

    Raises:
        ParameterError: the probabilities are none (logits?), or the labels do not fit them.

    Source: Brier 1950, Monthly Weather Review 78(1).
    """
    p, y = _checked(probabilities, labels)
    own = p[np.arange(len(y)), y]
    return _mean_figure((p**2).sum(1) - 2 * own + 1, level, resamples, seed, high=2.0)


def nll(logits: ArrayLike, labels: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Figure:
    """Negative log-likelihood of the labels in nats: mean of `logsumexp(z) - z_y`.

    It takes logits, where no probability has been rounded to zero. Log-probabilities are logits too.

    Args:
        logits: finite `[N, K]`.
        labels: int `[N]` in 0..K-1.
        level: coverage of the interval.
        resamples: bootstrap draws of samples.
        seed: of the draws.

    Raises:
        ParameterError: a logit is not finite, or the labels do not fit.
    """
    z = _finite("logits", logits)
    y = _fitting(labels, z.shape)
    loss = special.logsumexp(z, axis=1) - z[np.arange(len(y)), y]
    return _mean_figure(loss, level, resamples, seed)


def _mean_figure(values: Numbers, level: float, resamples: int, seed: int, *, high: float = math.inf) -> Figure:
    """The mean of losses of 0 or more; what rounding of the probabilities adds beyond the range is left in."""
    least, most = min(0.0, float(values.min())), max(high, float(values.max()))
    return mean_figure(values, low=least, high=most, level=level, resamples=resamples, seed=seed)


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Numbers, Indices]:
    p = _finite("probabilities", probabilities)
    off = float(np.abs(p.sum(1) - 1).max())
    if p.min() < 0 or off > 1e-3:
        raise ParameterError(
            f"probabilities must be at least 0 and sum to 1 in each row, but the least is {p.min():.4g} and a sum is "
            f"{off:.4g} off; apply softmax to logits first"
        )
    return p, _fitting(labels, p.shape)


def _finite(name: str, values: ArrayLike) -> Numbers:
    table: NDArray[np.float64] = np.asarray(values, np.float64)
    if table.ndim != 2 or not table.size:
        raise ParameterError(
            f"{name} must be a table [N, K] with at least one row, not an array of shape {table.shape}"
        )
    strange = int((~np.isfinite(table)).any(1).sum())
    if strange:
        raise ParameterError(f"{name} of {strange} in {len(table)} samples are not finite: leave those rows out first")
    return table


def _fitting(labels: ArrayLike, shape: tuple[int, ...]) -> Indices:
    y = integers("labels", labels)
    if len(y) != shape[0]:
        raise ParameterError(f"{len(y)} labels came with {shape[0]} rows: give one label a row")
    if y.min() < 0 or y.max() >= shape[1]:
        raise ParameterError(f"labels run from {y.min()} to {y.max()}, but {shape[1]} classes allow 0..{shape[1] - 1}")
    return y
