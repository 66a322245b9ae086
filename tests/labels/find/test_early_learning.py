"""Early learning: how often networks predicted a label while they learned."""

from __future__ import annotations

import numpy as np

from unshaken.labels import Evidence
from unshaken.labels.find.early_learning import EarlyLearning


def test_early_learning_counts_epochs_and_breaks_ties_by_the_margin():
    nan = np.nan
    margins = np.array([[1, -1, 2, nan, nan], [1, -1, 3, -4, nan], [1, 1, nan, 2, nan], [-1, 1, nan, nan, nan]])
    found = EarlyLearning().find(Evidence(np.arange(5), 5, margins=margins))
    assert found.flagged.tolist() == [False] * 5
    agreed = np.array([0.75, 0.5, 1, 0.5, 0.625])  # the last one was in no training: the median of the others
    assert np.floor((found.score - agreed) * 5).tolist() == [0] * 5
    assert np.argsort(found.score).tolist() == [3, 1, 4, 0, 2]
    assert EarlyLearning().find(Evidence(np.arange(2), 2, margins=-np.ones((3, 2)))).flagged.all()
