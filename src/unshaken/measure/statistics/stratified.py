"""The share of a whole population from samples of its strata, with an interval that holds for rare cases too."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import integers
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import percent

_DRAWS = 1501


def stratified_share(
    successes: ArrayLike, reviewed: ArrayLike, sizes: ArrayLike, *, level: float = 0.95, seed: int = 0
) -> Figure:
    """The share of successes in a population that was sampled stratum by stratum without replacement.

    The value is `sum_h W_h k_h / n_h` with weights `W_h = N_h / N`. The interval is the melded one: its lower end is
    the `(1 - level)/2` quantile of `sum_h W_h B_h` with independent `B_h ~ Beta(k_h, n_h - k_h + 1)`, its upper end
    that of `Beta(k_h + 1, n_h - k_h)` from above. With one stratum it is Clopper and Pearson's. A stratum that was
    reviewed whole is known and adds no width.

    Args:
        successes: k_h, whole numbers `[H]`.
        reviewed: n_h, at least 1 each, `[H]`.
        sizes: N_h, at least n_h, `[H]`.
        level: coverage.
        seed: of the order in which quantiles of the Beta variables are combined (a Latin hypercube).

    Raises:
        ParameterError: counts do not fit one another, or the level is outside (0, 1).

    Source: Fay, Proschan & Brittain 2015, Biometrics 71(1).

    >>> figure = stratified_share([8, 1], [20, 20], [100, 900])
    >>> round(figure.value, 3), figure.low < 0.085 < figure.high
    (0.085, True)
    """
    k, n, size = integers("successes", successes), integers("reviewed", reviewed), integers("sizes", sizes)
    if not len(k) == len(n) == len(size):
        raise ParameterError(f"{len(k)} counts of successes, {len(n)} of reviewed and {len(size)} sizes: give one each")
    if (k < 0).any() or (k > n).any() or (n < 1).any() or (n > size).any():
        raise ParameterError("in every stratum successes must lie in 0..reviewed, and reviewed in 1..size")
    weights = size / size.sum()
    value, tail = float(weights @ (k / n)), (1 - level) / 2
    interval = f"melded {percent(level)}"
    rng = np.random.default_rng(seed)
    grid = (np.arange(_DRAWS) + 0.5) / _DRAWS
    low, high = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for weight, hits, seen, whole in zip(weights, k.tolist(), n.tolist(), (n == size).tolist(), strict=True):
        below, above = rng.permutation(grid), rng.permutation(grid)
        low += weight * (hits / seen if whole or hits == 0 else special.betaincinv(hits, seen - hits + 1, below))
        high += weight * (hits / seen if whole or hits == seen else special.betaincinv(hits + 1, seen - hits, above))
    ends = float(np.quantile(low, tail)), float(np.quantile(high, 1 - tail))
    return Figure(value, min(ends[0], value), max(ends[1], value), int(n.sum()), interval)
