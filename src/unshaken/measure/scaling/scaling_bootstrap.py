"""Intervals of exponents and crossings, by the bootstrap over test images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.scaling.power_law import PowerLaw, crossing, exponents, fit_power_law
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import bootstrap_figure, bootstrap_means, percent


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


def exponent_difference(
    sizes: ArrayLike, one: ArrayLike, other: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Figure:
    """The exponent of one curve less that of another over the same sizes and test images, paired.

    Args:
        sizes: `[S]`.
        one: losses `[S, N]`.
        other: losses of the same test images `[S, N]`.
        level: as in `exponent_figure`.
        resamples: as in `exponent_figure`.
        seed: as in `exponent_figure`.

    Raises:
        ParameterError: as `exponent_figure`; or the two have different shapes.
    """
    laws, draws, n = _both(sizes, one, other, resamples, seed)
    value, columns = laws[0].exponent - laws[1].exponent, np.concatenate([_curve(sizes, c)[1] for c in (one, other)], 1)
    return bootstrap_figure(value, draws[0][0] - draws[1][0], n, level=level, ends=_ends(value, columns))


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
        ParameterError: as `exponent_difference`.
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
