"""What of a row of probabilities most rankings use: three numbers a sample, read in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unshaken.labels.engine.probabilities import Probabilities
from unshaken.measure.statistics.columns import Indices, Numbers

TIE = 1e-6
"""The given label counts as predicted if no other class is more probable by this much."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Of each sample.

    Args:
        own: probability of the given label, `[N]`.
        other: the largest of the other classes, `[N]`.
        best: the class that is most probable, int `[N]`.
    """

    own: Numbers
    other: Numbers
    best: Indices

    @property
    def margin(self) -> Numbers:
        """Probability of the given label, less that of the best of the others: `[N]` in [-1, 1]."""
        return self.own - self.other


def summarize(probabilities: Probabilities, labels: Indices) -> Summary:
    """One pass over the probabilities.

    Args:
        probabilities: `[N, K]`.
        labels: int `[N]` in 0..K-1.
    """
    n = len(labels)
    own, other, best = np.empty(n), np.empty(n), np.empty(n, np.int64)
    for part, p in probabilities.blocks():
        rows, given = np.arange(len(p)), labels[part]
        own[part], best[part] = p[rows, given], p.argmax(1)
        p[rows, given] = -1.0
        other[part] = p.max(1)
    return Summary(own, other, best)
