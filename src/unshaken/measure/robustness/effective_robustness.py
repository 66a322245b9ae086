"""Effective robustness: accuracy under a shift beyond what accuracy without it foretells, by a line through models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers, numbers, same_length
from unshaken.measure.statistics.intervals import Figure, bootstrap_figure

Transform = Literal["logit", "probit", "linear"]
Fit = Literal["least-squares", "huber"]
_FEWEST = 4  # models that show how far a line can be trusted


@dataclass(frozen=True, slots=True)
class RobustnessLine:
    """A line through baseline models, after a transform `g` of both accuracies: `g(shifted) = a + b g(clean)`.

    Args:
        slope: b.
        intercept: a.
        transform: g.
        models: the number of baseline models.
    """

    slope: float
    intercept: float
    transform: Transform
    models: int

    def predict(self, clean: float) -> float:
        """The shifted accuracy that goes with a clean accuracy, both shares."""
        x = _forth(numbers("clean", [clean], low=0, high=1), self.transform)
        return float(_back(self.intercept + self.slope * x, self.transform)[0])


@dataclass(frozen=True, slots=True)
class EffectiveRobustness:
    """How far a model stands above the line of the baseline models.

    Args:
        rho: shifted accuracy minus the predicted one, in accuracy (0.06 is six points). The interval is from a
            bootstrap over baseline models (its n counts them), and over the images of the model's own two accuracies
            where `samples` says how many there were. Two baselines always have a line, and three hardly leave it: with
            fewer than four the interval is all that rho can be.
        predicted: the shifted accuracy that the line foretells.
        line: the line.
    """

    rho: Figure
    predicted: float
    line: RobustnessLine


def fit_line(
    clean: ArrayLike, shifted: ArrayLike, *, transform: Transform = "logit", fit: Fit = "least-squares"
) -> RobustnessLine:
    """A line through baseline models.

    Args:
        clean: accuracies without the shift `[M]` in [0, 1]; 0 and 1 only with the linear transform.
        shifted: accuracies of the same models under the shift.
        transform: `logit`, `probit` or `linear`.
        fit: `least-squares`, or `huber` for a line that a few odd models do not bend; see `huber_lines`.

    Raises:
        ParameterError: fewer than two models of different clean accuracy; an accuracy outside the range; lengths
            differ; an unknown transform or fit.

    Source: Taori et al. 2020, arXiv:2007.00644.

    >>> line = fit_line([0.5, 0.6, 0.7, 0.8], [0.3, 0.4, 0.52, 0.66])
    >>> round(line.slope, 6), round(line.intercept, 6)
    (1.090377, -0.846749)
    """
    x, y = _points(clean, shifted, transform)
    slope, intercept = _lines(x[None], y[None], fit)
    return RobustnessLine(float(slope[0]), float(intercept[0]), transform, len(x))


def effective_robustness(
    clean: float,
    shifted: float,
    baseline_clean: ArrayLike,
    baseline_shifted: ArrayLike,
    *,
    transform: Transform = "logit",
    fit: Fit = "least-squares",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    samples: tuple[int, int] = (0, 0),
) -> EffectiveRobustness:
    """Effective robustness of one model against the line of baseline models.

    Args:
        clean: the model's accuracy without the shift, a share.
        shifted: its accuracy under the shift.
        baseline_clean: accuracies of the baseline models `[M]`; the model itself is not one of them.
        baseline_shifted: as `baseline_clean`, under the shift.
        transform: `logit`, `probit` or `linear`.
        fit: as in `fit_line`.
        level: coverage of the interval.
        resamples: bootstrap draws of models; a draw of models of one and the same clean accuracy is drawn again.
        seed: of the draws.
        samples: images behind `clean` and `shifted`, which are drawn again with the models; 0 for an accuracy that is
            taken as exact.

    Raises:
        ParameterError: as in `fit_line`; resamples below 1; a negative number of images.
    """
    if min(samples) < 0:
        raise ParameterError(f"samples={samples} must be numbers of images, 0 for an accuracy that is exact")
    if resamples < 1:
        raise ParameterError(f"resamples must be at least 1, not {resamples}; 2000 is usual")
    line = fit_line(baseline_clean, baseline_shifted, transform=transform, fit=fit)
    own = float(numbers("shifted", [shifted], low=0, high=1)[0])
    predicted = line.predict(clean)
    x, y = _points(baseline_clean, baseline_shifted, transform)
    rng = np.random.default_rng(seed)
    place = rng.integers(len(x), size=(resamples, len(x)))  # [B, M], each with two different clean accuracies at least
    while (flat := np.flatnonzero(np.ptp(x[place], axis=1) == 0)).size:
        place[flat] = rng.integers(len(x), size=(flat.size, len(x)))
    slope, intercept = _lines(x[place], y[place], fit)
    first, second = (_redrawn(p, n, resamples, rng) for p, n in zip((clean, own), samples, strict=True))
    if samples[0] and transform != "linear":  # a draw without a single right or wrong image has no logit
        first = np.clip(first, 0.5 / samples[0], 1 - 0.5 / samples[0])
    rho = second - _back(intercept + slope * _forth(first, transform), transform)
    value = own - predicted
    if len(np.unique(np.stack([x, y], 1), axis=0)) < _FEWEST:
        found = Figure(value, own - 1, own, len(x), f"all that there can be: fewer than {_FEWEST} baseline models")
        return EffectiveRobustness(found, predicted, line)
    found = bootstrap_figure(value, rho, len(x), level=level, ends=(value, value))
    return EffectiveRobustness(found, predicted, line)


def _redrawn(accuracy: float, n: int, resamples: int, rng: np.random.Generator) -> Numbers:
    """The accuracy on images that are drawn again with replacement, `[B]`; as it is where their number is not known."""
    return rng.binomial(n, accuracy, resamples) / n if n else np.full(resamples, accuracy, np.float64)


def _points(clean: ArrayLike, shifted: ArrayLike, transform: Transform) -> tuple[Numbers, Numbers]:
    x = numbers("clean accuracies", clean, low=0, high=1)
    y = numbers("shifted accuracies", shifted, low=0, high=1)
    same_length(clean=x, shifted=y)
    x, y = _forth(x, transform), _forth(y, transform)
    if np.ptp(x) == 0:
        raise ParameterError("a line needs baseline models of at least two different clean accuracies, not 1")
    return x, y


def _forth(accuracy: Numbers, transform: Transform) -> Numbers:
    if transform == "linear":
        return accuracy
    if transform not in ("logit", "probit"):
        raise ParameterError(f"transform {transform!r} is not one of ['linear', 'logit', 'probit']")
    if ((accuracy <= 0) | (accuracy >= 1)).any():
        raise ParameterError(f"an accuracy of 0 or 1 has no {transform}: leave that model out, or use 'linear'")
    return np.asarray(special.logit(accuracy) if transform == "logit" else scipy.stats.norm.ppf(accuracy), np.float64)


def _back(value: Numbers, transform: Transform) -> Numbers:
    if transform == "linear":
        return value
    return np.asarray(special.expit(value) if transform == "logit" else scipy.stats.norm.cdf(value), np.float64)


def _lines(x: Numbers, y: Numbers, fit: Fit) -> tuple[Numbers, Numbers]:
    """Slope and intercept of each row of `[B, M]` points."""
    if fit == "huber":
        return huber_lines(x, y)
    if fit != "least-squares":
        raise ParameterError(f"fit {fit!r} is not one of ['huber', 'least-squares']")
    mx, my = x.mean(1), y.mean(1)
    dx = x - mx[:, None]
    slope = (dx * (y - my[:, None])).sum(1) / (dx**2).sum(1)
    return slope, my - slope * mx


EPSILON = 1.35
"""Residuals beyond this number of scales count by size and not by square: 95 % efficiency for normal errors."""
_ROUNDS, _SCALES = 400, 10
_SAME = 1e-10


def huber_lines(x: Numbers, y: Numbers, *, epsilon: float = EPSILON) -> tuple[Numbers, Numbers]:
    """Slope and intercept of each row of points, without a penalty.

    The least of `sum_i sigma + H((y_i - a - b x_i) / sigma) sigma` over a, b and the scale sigma, where `H(z)` is `z^2`
    up to epsilon and `2 epsilon |z| - epsilon^2` beyond. Slope and intercept are found by reweighted least squares, the
    scale by `sum_i min(r_i^2 / sigma^2, epsilon^2) = n`, in turns; the objective is convex in all three. Where more
    points lie on one line than the others can move, the scale falls to 0, and the line is the one of least absolute
    deviations; scikit-learn's solver stops a little before.

    Args:
        x: `[B, M]`, each row with two values at least.
        y: `[B, M]`.
        epsilon: at least 1.

    Returns:
        `[B]` and `[B]`.

    Raises:
        ParameterError: epsilon is below 1.

    Source: Huber 1981, Robust Statistics, section 7.8; Owen 2007, Contemporary Mathematics 443.
    """
    if not epsilon >= 1:
        raise ParameterError(f"epsilon={epsilon} must be at least 1; 1.35 is usual")
    slope, intercept = _weighted(x, y, np.ones_like(x))
    scale = np.sqrt(((y - intercept[:, None] - slope[:, None] * x) ** 2).mean(1))
    moving = np.arange(len(x))  # rows that still change
    for _ in range(_ROUNDS):
        px, py, before = x[moving], y[moving], slope[moving]
        size = np.abs(py - intercept[moving, None] - before[:, None] * px)
        scale[moving] = _scales(size, scale[moving], epsilon)
        bound = np.maximum(epsilon * scale[moving, None], 1e-300)  # both may fall to 0 together
        slope[moving], intercept[moving] = _weighted(px, py, bound / np.maximum(size, bound))
        moving = moving[np.abs(slope[moving] - before) > _SAME * (1 + np.abs(before))]
        if not len(moving):
            break
    return slope, intercept


def _weighted(x: Numbers, y: Numbers, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Weighted least squares of each row."""
    total = weights.sum(1)
    mx, my = (weights * x).sum(1) / total, (weights * y).sum(1) / total
    dx = x - mx[:, None]
    spread = (weights * dx**2).sum(1)
    slope = (weights * dx * (y - my[:, None])).sum(1) / np.where(spread > 0, spread, 1.0)
    return slope, my - slope * mx


def _scales(size: Numbers, scale: Numbers, epsilon: float) -> Numbers:
    """The scale that goes with residuals of these sizes."""
    n = size.shape[1]
    for _ in range(_SCALES):
        far = size > epsilon * scale[:, None]
        left = n - epsilon**2 * far.sum(1)
        near = np.where(far, 0.0, size**2).sum(1)
        following = np.where(left > 0, np.sqrt(near / np.where(left > 0, left, 1.0)), scale)
        if np.all(np.abs(following - scale) <= 1e-13 * (scale + 1e-300)):
            break
        scale = following
    return np.asarray(scale, np.float64)
