"""Power laws of a loss in the number of training images, `L(D) = L_inf + a D^(-k)`: fits, crossings, intervals.

Intervals come from the bootstrap over test images; of repeated trainings, from these and the repetitions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.calibration.temperature import fit_temperature
from unshaken.measure.statistics.columns import Numbers, numbers, same_length
from unshaken.measure.statistics.intervals import Figure, bootstrap_figure, bootstrap_means, percent


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """A fitted law `L(D) = floor + factor D^(-exponent)`.

    Args:
        exponent: k, the scaling ability; above 0 where the loss falls.
        factor: a, in the unit of the loss.
        floor: L_inf, the loss that no amount of data removes; 0 where none was fitted.
        exponent_error: standard error of k; infinite where there are no more points than parameters.
        factor_error: relative standard error of a, that of its logarithm.
        floor_error: standard error of L_inf; 0 where none was fitted.
        residuals: logarithm of each loss less that of the law.
        sizes: smallest and largest D that was fitted. Exponents of different ranges cannot be compared.
    """

    exponent: float
    factor: float
    floor: float
    exponent_error: float
    factor_error: float
    floor_error: float
    residuals: tuple[float, ...]
    sizes: tuple[float, float]

    def predict(self, size: float) -> float:
        """The loss at a number of training images."""
        return float(self.floor + self.factor * size**-self.exponent)

    def size_for(self, loss: float) -> float:
        """Training images that give a loss: infinite at the floor or below it, or where the loss does not fall.

        With the law of real images this is the data equivalence of a loss that generated images reached.

        >>> round(fit_power_law([100, 400], [2.0, 1.0]).size_for(0.5))
        1600
        """
        if loss <= self.floor or self.exponent <= 0:
            return math.inf
        return float((self.factor / (loss - self.floor)) ** (1 / self.exponent))


def fit_power_law(
    sizes: ArrayLike, losses: ArrayLike, *, floor: bool = False, weights: ArrayLike | None = None
) -> PowerLaw:
    """Fit a power law by least squares of the logarithm of the loss.

    Args:
        sizes: unique training images D `[S]`, above 0, at least two different ones (three with a floor).
        losses: the loss at each, above 0, always on the same real images.
        floor: fit L_inf too. Without it, a loss that has a floor gives an exponent that is too small.
        weights: of the points, such as one over the variance of each log loss; None for equal ones.

    Raises:
        ParameterError: a number is not above 0, lengths differ, or there are too few different sizes.

    Source: Fan et al. 2023, arXiv:2312.04567.

    >>> law = fit_power_law([1e5, 2e5, 4e5], [2, 2 * 2**-0.25, 2 * 4**-0.25])
    >>> round(law.exponent, 9)
    0.25
    """
    d, loss = _positive("sizes", sizes), _positive("losses", losses)
    w = np.ones(len(d)) if weights is None else _positive("weights", weights)
    same_length(sizes=d, losses=loss, weights=w)
    free = 3 if floor else 2
    if (found := len(np.unique(d))) < free:
        raise ParameterError(f"a power law {'with' if floor else 'without'} a floor needs {free} sizes, not {found}")
    scale = float(np.exp(np.log(d).mean()))  # at D / scale, a and k are almost independent
    x, y, root = np.log(d / scale), np.log(loss), np.sqrt(w)
    line = np.stack([np.ones_like(x), -x], 1)
    start = np.linalg.lstsq(line * root[:, None], y * root, rcond=None)[0]
    if floor:
        theta, jacobian = _with_floor(x, y, root, start, float(loss.min()))
    else:
        theta, jacobian = np.array([*start, 0.0]), line * root[:, None]
    log_a, k, low = (float(v) for v in theta)
    residuals = y - np.log(low + np.exp(log_a - k * x))
    errors = np.zeros(3)
    errors[:free] = _errors(jacobian, residuals * root, len(d) - free, math.log(scale))
    sizes_fitted = (float(d.min()), float(d.max()))
    factor = math.exp(log_a + k * math.log(scale))
    return PowerLaw(k, factor, low, errors[1], errors[0], errors[2], tuple(residuals.tolist()), sizes_fitted)


def exponents(sizes: Numbers, losses: Numbers) -> tuple[Numbers, Numbers]:
    """Exponent and log factor of many curves at once, without a floor and with equal weights.

    Args:
        sizes: D `[S]`.
        losses: `[B, S]`, above 0.

    Returns:
        k `[B]`, and log a `[B]`.
    """
    x, y = np.log(sizes), np.log(losses)
    dx = x - x.mean()
    slope = (y * dx).sum(1) / (dx**2).sum()
    return -slope, y.mean(1) - slope * x.mean()


def crossing(one: PowerLaw, other: PowerLaw) -> float | None:
    """The number of training images at which two laws give the same loss.

    Args:
        one: a law.
        other: another law.

    Returns:
        D, in the unit of the sizes, wherever the laws are fitted: compare it with their `sizes`, for outside of both it
        is an extrapolation. Laws with floors may cross twice: then the smallest D between one image and 10^12 times
        the largest size. None where they never cross.
    """
    if one.floor == other.floor:
        if one.exponent == other.exponent:
            return None
        log = (math.log(one.factor) - math.log(other.factor)) / (one.exponent - other.exponent)
        return math.exp(log) if abs(log) < 700 else None
    grid = np.linspace(0, math.log(1e12 * max(one.sizes[1], other.sizes[1])), 4000)

    def gap(log: float) -> float:
        return one.predict(math.exp(log)) - other.predict(math.exp(log))

    signs = np.sign([gap(float(v)) for v in grid])
    turns = np.flatnonzero(signs[1:] != signs[:-1])
    if not len(turns):
        return None
    return math.exp(scipy.optimize.brentq(gap, grid[turns[0]], grid[turns[0] + 1]))


def _with_floor(x: Numbers, y: Numbers, root: Numbers, start: Numbers, least: float) -> tuple[Numbers, Numbers]:
    """Log a, k and L_inf by least squares from several starts, and the weighted Jacobian there."""

    def gap(theta: Numbers) -> Numbers:
        return np.asarray(root * (np.log(theta[2] + np.exp(theta[0] - theta[1] * x)) - y))

    tries = []
    for share in (0.0, 0.3, 0.6, 0.9):
        low = share * least
        line = np.polyfit(x, np.log(np.exp(y) - low), 1)
        first = [line[1], -line[0], low] if share else [*start, 0.0]
        found = scipy.optimize.least_squares(
            gap, first, bounds=([-np.inf, -np.inf, 0], [np.inf, np.inf, least]), x_scale=[1, 1, least],
            xtol=1e-15, ftol=1e-15, gtol=1e-15,
        )  # fmt: skip
        tries.append(found)
    best = min(tries, key=lambda found: float(found.cost))
    return np.asarray(best.x, np.float64), np.asarray(best.jac, np.float64)


def _errors(jacobian: Numbers, residuals: Numbers, spare: int, shift: float) -> Numbers:
    """Standard errors of log a (of sizes in their own unit), k, and L_inf where there is a third column."""
    if spare < 1:
        return np.full(jacobian.shape[1], np.inf)
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * float(residuals @ residuals) / spare
    back = np.eye(len(covariance))
    back[0, 1] = shift  # log a = log a' + k log scale
    return np.asarray(np.sqrt(np.diag(back @ covariance @ back.T)), np.float64)


def _positive(name: str, values: ArrayLike) -> Numbers:
    return numbers(name, values, low=float(np.finfo(np.float64).tiny), high=float(np.finfo(np.float64).max))


def exponent_figure(
    sizes: ArrayLike, losses: ArrayLike, *, floor: bool = False, level: float = 0.95, resamples: int = 2000,
    seed: int = 0,
) -> Figure:  # fmt: skip
    """The exponent of a scaling curve, with its interval over test images; the same images at every size.

    Args:
        sizes: unique training images D `[S]`.
        losses: loss of each test image at each size `[S, N]`, 0 or more.
        floor: fit a floor too, once for each resample: some hundred `resamples` are enough then.
        level: coverage.
        resamples: bootstrap draws of test images.
        seed: of the draws.

    Returns:
        The figure; its n counts test images. Differences between training runs are not in the interval: take
        `over_seeds` of the exponents of several seeds for them.

    Raises:
        ParameterError: as `fit_power_law`; or losses are not `[S, N]`.
    """
    d, columns = _curve(sizes, losses)
    law = fit_power_law(d, columns.mean(0), floor=floor)
    means = bootstrap_means(columns, resamples=resamples, seed=seed)
    slow = [fit_power_law(d, row, floor=True).exponent for row in means] if floor else []
    draws = np.array(slow) if floor else exponents(d, means)[0]
    return bootstrap_figure(law.exponent, draws, len(columns), level=level, ends=_ends(law.exponent, columns))


def crossing_figure(
    sizes: ArrayLike, one: ArrayLike, other: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Figure | None:
    """Training images at which two curves without a floor give the same loss, with the interval over test images.

    Args:
        sizes: `[S]`.
        one: losses `[S, N]`.
        other: losses of the same test images `[S, N]`.
        level: as in `exponent_figure`.
        resamples: as in `exponent_figure`.
        seed: as in `exponent_figure`.

    Returns:
        The figure; an end may be infinite where the curves are nearly parallel. None where they are parallel.

    Raises:
        ParameterError: as `exponent_figure`; or the two have different shapes.
    """
    laws, draws, n = _both(sizes, one, other, resamples, seed)
    value = crossing(*laws)
    if value is None:
        return None
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        at = np.exp((draws[0][1] - draws[1][1]) / (draws[0][0] - draws[1][0]))
    tail = (1 - level) / 2
    low, high = np.quantile(np.nan_to_num(at, nan=np.inf, posinf=np.inf), [tail, 1 - tail], method="inverted_cdf")
    if low == high and _are_alike(np.concatenate([_curve(sizes, c)[1] for c in (one, other)], 1)):
        low, high = 0.0, np.inf
    method = f"bootstrap {percent(level)} ({len(at)})"
    return Figure(value, float(min(low, value)), float(max(high, value)), n, method)


LEAST = 1e-12
"""Smallest loss and probability that is fitted: a power law has no logarithm of 0."""


def tempered_losses(logits: ArrayLike, labels: ArrayLike, other_logits: ArrayLike, other_labels: ArrayLike) -> Numbers:
    """Cross-entropy of each sample after one temperature that is fitted on other samples, at least `LEAST`.

    A network that learned few images is too sure of itself, so that its raw losses make every curve too steep. Where no
    temperature is best on the other samples, such as where all of them are classified correctly, there is none, and
    the loss is the network's own.

    Args:
        logits: finite `[N, K]`.
        labels: int `[N]`.
        other_logits: finite `[M, K]`, of the samples that choose the temperature.
        other_labels: int `[M]`.

    Returns:
        `[N]`, in nats.

    Raises:
        ParameterError: as `fit_temperature`.
    """
    fitted = fit_temperature(other_logits, other_labels)
    z = np.asarray(logits, np.float64) / (fitted.value if fitted.inside else 1.0)
    chosen = np.take_along_axis(special.log_softmax(z, axis=1), np.asarray(labels)[:, None], 1)[:, 0]
    return np.asarray(np.clip(-chosen, LEAST, -math.log(LEAST)), np.float64)


@dataclass(frozen=True, slots=True)
class RepeatedCurve:
    """The scaling curve of one source, measured in several trainings on the same test images.

    The law is that of the mean loss. Its intervals are Student's, of the variance over repetitions and the variance
    over test images (bootstrap) together; of one repetition, the variance over test images is all that is known.

    Args:
        sizes: unique training images `[S]`.
        losses: `[R, S, N]`: of each repetition, size and test image, above 0.
        resamples: bootstrap draws of test images.
        seed: of the draws.

    Raises:
        ParameterError: shapes do not fit, or a loss is not above 0.
    """

    sizes: Numbers
    losses: Numbers
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.losses.ndim != 3 or self.losses.shape[1] != len(self.sizes) or not self.losses.size:
            raise ParameterError(
                f"losses must be [R, S, N] for {len(self.sizes)} sizes [S], not of shape {self.losses.shape}"
            )
        _positive("losses", self.losses.reshape(-1))

    @property
    def law(self) -> PowerLaw:
        """The law of the mean loss over repetitions and test images."""
        return fit_power_law(self.sizes, self.losses.mean((0, 2)))

    def parameters(self) -> tuple[Numbers, Numbers]:
        """Exponent and log factor of each repetition, `[R, 2]`, and of each draw of test images, `[B, 2]`."""
        own = np.stack(exponents(self.sizes, self.losses.mean(2)), 1)
        means = bootstrap_means(self.losses.mean(0).T, resamples=self.resamples, seed=self.seed)
        return own, np.stack(exponents(self.sizes, means), 1)

    def exponent(self, *, level: float = 0.95) -> Figure:
        """The exponent with its interval; n counts repetitions."""
        own, drawn = self.parameters()
        return repeated_figure(self.law.exponent, own[:, 0], drawn[:, 0], level=level)

    def exponent_above(self, other: RepeatedCurve, *, level: float = 0.95) -> Figure:
        """This exponent less that of another curve over the same sizes, repetitions and test images, paired.

        Raises:
            ParameterError: the curves have different shapes.
        """
        (own, drawn), (theirs, others) = self._paired(other)
        value = self.law.exponent - other.law.exponent
        return repeated_figure(value, own[:, 0] - theirs[:, 0], drawn[:, 0] - others[:, 0], level=level)

    def worth(self, real: RepeatedCurve, size: float, *, level: float = 0.95) -> Figure | None:
        """How many images of this source one real image is worth: those that give the loss of `size` real ones, by it.

        The interval holds every number of images at which the two laws cannot be distinguished (Fieller's interval); it
        has no upper end where this law may not fall at all.

        Args:
            real: the curve of real images over the same sizes, repetitions and test images.
            size: real images.
            level: coverage.

        Returns:
            The figure, an extrapolation where `size` times its value lies outside of the sizes; None where no number
            up to 10^12 images reaches that loss.

        Raises:
            ParameterError: the curves have different shapes.
        """
        (own, drawn), (theirs, others) = self._paired(real)
        value = self.law.size_for(real.law.predict(size)) / size
        if not 1 <= value * size <= MOST_IMAGES:
            return None
        at = np.linspace(0, math.log(MOST_IMAGES), 4000)

        def gaps(mine: Numbers, other: Numbers) -> Numbers:
            return (mine[:, 1:] - mine[:, :1] * at) - (other[:, 1:] - other[:, :1] * math.log(size))

        middle = gaps(np.array([_line(self.law)]), np.array([_line(real.law)]))[0]
        alike = np.abs(middle) <= _student(gaps(own, theirs), gaps(drawn, others), level)
        inside = np.exp(at[alike])
        low, high = (inside[0], inside[-1]) if len(inside) else (value * size, value * size)
        low, high = (0.0 if low <= 1 else low / size), (math.inf if high >= MOST_IMAGES * 0.999 else high / size)
        return Figure(value, min(low, value), max(high, value), len(own), _method(len(own), level))

    def _paired(self, other: RepeatedCurve) -> tuple[tuple[Numbers, Numbers], tuple[Numbers, Numbers]]:
        if self.losses.shape != other.losses.shape or (self.sizes != other.sizes).any():
            raise ParameterError(
                f"paired curves need the same sizes, repetitions and test images: {self.losses.shape} and "
                f"{other.losses.shape} are given"
            )
        return self.parameters(), other.parameters()


MOST_IMAGES = 1e12
"""Images beyond which no law is asked."""


def repeated_figure(value: float, repetitions: Numbers, draws: Numbers, *, level: float = 0.95) -> Figure:
    """A figure with the interval of two sources of chance: repetitions of the training, and the test images.

    Args:
        value: the estimate from all.
        repetitions: the estimate of each repetition `[R]`.
        draws: the estimate of each bootstrap draw of test images `[B]`.
        level: coverage; Student's quantile has `R - 1` degrees of freedom.

    Returns:
        The figure; n counts repetitions.
    """
    half = float(_student(repetitions[:, None], draws[:, None], level)[0])
    return Figure(value, value - half, value + half, len(repetitions), _method(len(repetitions), level))


def _student(repetitions: Numbers, draws: Numbers, level: float) -> Numbers:
    """Half the width of the interval of each column, `[M]`, of estimates `[R, M]` and `[B, M]`."""
    n, variance = len(repetitions), draws.var(0, ddof=1)
    if n == 1:
        return np.asarray(special.ndtri((1 + level) / 2) * np.sqrt(variance))
    variance = variance + repetitions.var(0, ddof=1) / n
    return np.asarray(special.stdtrit(n - 1, (1 + level) / 2) * np.sqrt(variance))


def _method(repetitions: int, level: float) -> str:
    over = "test images" if repetitions == 1 else "repetitions and test images"
    return f"student {percent(level)} over {over}"


def _line(law: PowerLaw) -> tuple[float, float]:
    return law.exponent, math.log(law.factor)


def _ends(value: float, columns: Numbers) -> tuple[float, float]:
    """The interval where no resample differs: of images that are all alike, or of one, nothing is known of others."""
    return (-np.inf, np.inf) if _are_alike(columns) else (value, value)


def _are_alike(columns: Numbers) -> bool:
    return bool((columns == columns[0]).all())


_Fits = tuple[tuple[PowerLaw, PowerLaw], list[tuple[Numbers, Numbers]], int]


def _both(sizes: ArrayLike, one: ArrayLike, other: ArrayLike, resamples: int, seed: int) -> _Fits:
    """Both laws, exponents and log factors of the draws of each, and the number of test images."""
    (d, first), (_, second) = _curve(sizes, one), _curve(sizes, other)
    if first.shape != second.shape:
        raise ParameterError(
            f"paired curves need the same test images: {len(first)} and {len(second)} are given; match them by id"
        )
    means = bootstrap_means(np.concatenate([first, second], 1), resamples=resamples, seed=seed)
    laws = fit_power_law(d, first.mean(0)), fit_power_law(d, second.mean(0))
    return laws, [exponents(d, half) for half in np.split(means, 2, axis=1)], len(first)


def _curve(sizes: ArrayLike, losses: ArrayLike) -> tuple[Numbers, Numbers]:
    d, values = np.asarray(sizes, np.float64), np.asarray(losses, np.float64)
    if d.ndim != 1 or values.ndim != 2 or len(values) != len(d) or not values.size:
        raise ParameterError(f"losses must be [S, N] for {d.size} sizes [S], not of shape {values.shape}")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ParameterError("losses must be finite and 0 or more: leave out the samples that have none")
    return d, values.T
