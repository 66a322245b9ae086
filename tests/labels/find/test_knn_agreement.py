"""Votes of neighbours by hand: unit vectors whose cosines are round numbers."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.labels import Evidence
from unshaken.labels.find.knn_agreement import KNNAgreement

THREE = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, -0.8]])
"""Cosines: 0.8 of the first two, 0.6 of the first and the third, 0 of the second and the third."""


def test_a_vote_weighs_as_much_as_its_cosine():
    found = KNNAgreement(k=2).find(Evidence(np.array([0, 0, 1]), 2, features=3 * THREE))
    assert found.score.tolist() == pytest.approx([0.8 / 1.4, 1, 0], abs=1e-6)
    assert found.suggested.tolist() == [0, 0, 0]
    assert found.flagged.tolist() == [False, False, True]


def test_only_the_k_nearest_vote_and_not_the_sample_itself():
    found = KNNAgreement(k=1).find(Evidence(np.array([0, 1, 0]), 2, features=THREE))
    assert found.score.tolist() == pytest.approx([0, 0, 1], abs=1e-6)
    assert found.suggested.tolist() == [1, 0, 0]
    assert found.flagged.tolist() == [True, True, False]


def test_a_sample_that_points_the_other_way_has_no_vote():
    features = np.array([[1.0, 0.0], [-1.0, 0.0], [0.6, 0.8]])
    found = KNNAgreement(k=9).find(Evidence(np.array([0, 1, 0]), 2, features=features))
    assert found.score[0] == pytest.approx(1, abs=1e-6)


def test_of_equally_strong_votes_none_is_outvoted():
    features = np.array([[1.0, 0.0], [0.6, 0.8], [0.6, -0.8]])
    found = KNNAgreement(k=2).find(Evidence(np.array([0, 0, 1]), 2, features=features))
    assert found.score[0] == pytest.approx(0.5)
    assert not found.flagged[0]
