"""Two normal components on a line, fitted by expectation and maximisation."""

from __future__ import annotations

import numpy as np

from unshaken.measure.statistics.columns import Numbers

STEPS = 10
TOLERANCE = 1e-2
SPREAD = 5e-4
"""Added to each variance, of values in [0, 1]."""


def posterior_of_low(values: Numbers) -> Numbers:
    """The probability that each value is of the component with the lower mean.

    Values are brought to [0, 1] first. The fit begins at the lower and the upper half, and ends after ten steps or when
    the mean log-likelihood gains less than a hundredth, as DivideMix sets its own.

    Args:
        values: `[N]`; all equal ones are all of the lower component.
    """
    span = values.max() - values.min()
    if span == 0:
        return np.ones(len(values))
    x = (values - values.min()) / span
    low: Numbers = (x <= np.median(x)).astype(np.float64)
    before = -np.inf
    for _ in range(STEPS):
        weight = np.stack([low, 1 - low])
        total = weight.sum(1) + 1e-12
        mean = weight @ x / total
        variance = (weight * (x - mean[:, None]) ** 2).sum(1) / total + SPREAD
        log = -0.5 * ((x - mean[:, None]) ** 2 / variance[:, None] + np.log(2 * np.pi * variance[:, None]))
        log += np.log(total / len(x))[:, None]
        both = np.logaddexp(*log)
        low = np.exp(log[int(mean.argmin())] - both)
        if abs(both.mean() - before) < TOLERANCE:
            break
        before = both.mean()
    return low
