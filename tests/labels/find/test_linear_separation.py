"""Which losses the line is fitted to, by hand: two groups, and one loss that is far larger than both."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.labels import Evidence, Probabilities
from unshaken.labels.engine.noise_detection import detect_linearly
from unshaken.labels.find.linear_separation import LinearSeparation

LARGE = np.arange(2000) % 4 == 0
"""Which samples have the larger loss, log 5 in the place of log 10/9."""


@pytest.fixture
def evidence():
    own = np.where(LARGE, 0.2, 0.9)
    own[0] = 1e-12
    features = np.random.default_rng(0).normal(0, 1, (2000, 4)) + np.where(LARGE[:, None], 1.0, -1.0)
    return Evidence(np.zeros(2000, int), 2, Probabilities(np.stack([own, 1 - own], 1)), features)


def test_one_huge_loss_does_not_hide_the_larger_group(evidence):
    """Above the quantile 0.999 of 2,000 losses is one: cut, all of the larger group is suspect."""
    found = LinearSeparation().find(evidence)
    wanted = detect_linearly(evidence.features, LARGE)
    assert found.score.tolist() == (1 - wanted.score).tolist()
    assert found.flagged.tolist() == wanted.flagged.tolist()
    assert found.suggested.tolist() == LARGE.astype(int).tolist()


def test_without_a_quantile_the_huge_loss_is_a_group_of_its_own(evidence):
    found = LinearSeparation(clip=1).find(evidence)
    assert found.score.tolist() == (1 - detect_linearly(evidence.features, np.arange(2000) == 0).score).tolist()
