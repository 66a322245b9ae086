"""Interval of a gap: the largest of several rates less the smallest, which is above 0 by chance alone."""

from __future__ import annotations

from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import centred_figure, no_spread


def gap_figure(
    value: float, draws: Numbers, even: Numbers, n: int, *, level: float = 0.95, ends: tuple[float, float] | None = None
) -> Figure:
    """A gap, or another measure of spread that is 0 for equal rates, with an interval that knows of its bias.

    The extremes of noisy rates lie too far apart, and those of resamples once more, by as much as the mean of the draws
    exceeds the value: the lower end is taken that much lower. It is 0 where equal rates would often show as much.

    Args:
        value: the gap on the samples themselves, at least 0.
        draws: `[B]`, the gap on each resample.
        even: `[B]`, the gap on each resample if all rates were equal.
        n: samples.
        level: coverage, approximately.
        ends: the interval where no draw differs from another; default 0 to 1.
    """
    figure = centred_figure(value, draws, n, level=level, low=0.0, ends=ends)
    low = figure.low - max(0.0, float(draws.mean()) - value)
    if not no_spread(draws) and (even >= value - 1e-12).mean() > 1 - level:
        low = 0.0
    return Figure(value, max(0.0, low), figure.high, n, figure.interval)
