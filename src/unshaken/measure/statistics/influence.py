"""Columns by sample whose mean is a statistic that is no mean itself: an AUROC, a ratio, a correlation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers, finite_numbers, numbers

_STEP = 1e-4
"""Of the differences that give a gradient, in deviations of a column."""


def influence(columns: ArrayLike, statistic: Callable[[Numbers], float]) -> Numbers:
    """A smooth function of means of columns as a column of its own: `f(m) + (x_n - m) f'(m)`, whose mean is `f(m)`.

    Its variance over samples is that of the statistic by the delta method. Under several seeds that saw the same
    samples these columns give one interval: `over_seeds_and_samples(..., influence=True)`.

    Args:
        columns: `[N, C]` finite numbers, such as accuracy under two conditions.
        statistic: f, from the means `[C]` to a number; smooth near them.

    Returns:
        `[N]`.

    Raises:
        ParameterError: another shape, or the statistic is not finite near the means.

    >>> influence([[1.0, 1.0], [0.0, 1.0]], lambda means: means[0] / means[1]).round(6).tolist()
    [1.0, 0.0]
    """
    table = np.asarray(columns, np.float64)
    if table.ndim != 2:
        raise ParameterError(f"columns must be [N, C], not of shape {list(table.shape)}")
    finite_numbers("columns", table.ravel())
    means, steps = table.mean(0), _STEP * np.diag(table.std(0))
    sizes = 2 * np.diag(steps)
    rises = np.array([float(statistic(means + step)) - float(statistic(means - step)) for step in steps])
    gradient = np.divide(rises, sizes, out=np.zeros(len(sizes)), where=sizes > 0)
    found: Numbers = float(statistic(means)) + (table - means) @ gradient
    return finite_numbers("the statistic near the means", found)


def auroc_influence(normal: ArrayLike, *abnormal: ArrayLike) -> Numbers:
    """The mean AUROC of several abnormal sets against the same normal one, as a column whose mean it is.

    By DeLong, an AUROC is the mean of the share of normal scores below each abnormal one, and of that of abnormal ones
    above each normal one. Each sample's distance from it counts by the number of samples over that of its set.

    Args:
        normal: scores `[N]`, the smaller the more normal.
        abnormal: scores of each set, `[M_k]`.

    Returns:
        `[N + M_1 + ... + M_K]`: normal samples first.

    Raises:
        ParameterError: a set is empty, or a score is missing; no abnormal set is given.

    Source: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44(3).

    >>> float(auroc_influence([0.0, 1.0], [1.0, 2.0]).mean())
    0.875
    """
    own, others = numbers("normal", normal), [numbers("abnormal", scores) for scores in abnormal]
    if not others:
        raise ParameterError("an AUROC needs abnormal samples: give their scores behind the normal ones")
    above, below = np.zeros(len(own)), list[Numbers]()
    for scores in others:
        above += (1 - share_below(own, scores)) / len(others)
        below.append(share_below(scores, own))
    mean, every = float(above.mean()), len(own) + sum(map(len, others))
    parts = [every / len(own) * (above - mean)]
    parts += [every / len(here) / len(others) * (here - here.mean()) for here in below]
    found: Numbers = mean + np.concatenate(parts)
    return found


def share_below(values: Numbers, others: Numbers) -> Numbers:
    """For each value the share of the other numbers that lie below it, an equal one half: DeLong's component.

    >>> share_below(np.array([0.0, 1.0]), np.array([1.0, 2.0])).tolist()
    [0.0, 0.25]
    """
    ordered = np.sort(others)
    twice = ordered.searchsorted(values) + ordered.searchsorted(values, "right")
    return np.asarray(twice / 2 / len(others), np.float64)


def by_sample(values: ArrayLike, ids: Sequence[str], samples: Sequence[str]) -> Numbers:
    """A column as one of all samples, with the same mean: changed copies of a sample count together, absent ones not.

    It aligns the columns of several statistics, or of several seeds, whose values are not of the same samples. That
    independent samples share an id by chance does no harm: their sum varies as much.

    Args:
        values: of some samples, `[N]`.
        ids: of the sample that each value comes from.
        samples: ids of all, each once.

    Returns:
        One value for each of `samples`.

    >>> by_sample([1.0, 2.0, 3.0], ["a", "b", "b"], ["a", "b", "c"]).tolist()
    [1.0, 3.0, 2.0]
    """
    column, place = finite_numbers("values", values), {name: i for i, name in enumerate(samples)}
    mean = column.mean()
    found: Numbers = np.full(len(samples), mean)
    np.add.at(found, [place[name] for name in ids], len(samples) / len(column) * (column - mean))
    return found
