"""Rules of moderation: votes, refusals, the concept filter, budgets."""

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.moderation_rules import concept_filter, majority, pixel_budget, rms_of_l2, settled


def test_majority():
    assert majority([[1, 1, 0], [2, 1, 1], [0, 1, 2], [2, 2, 1], [0, 0, 0]]).tolist() == [1, 1, 2, 2, 0]
    assert majority([[0, 1]]).tolist() == [2]
    for wrong in ([1, 0], [[3, 0, 0]], np.zeros((2, 0))):
        with pytest.raises(ParameterError, match="votes must be"):
            majority(wrong)


def test_uncertain_answers():
    ids = [str(i) for i in range(400)]
    answers = np.array([0, 1, 2, 2] * 100)
    filled = settled(answers, ids)
    assert filled[::4].sum() == 0
    assert filled[1::4].all()
    assert 60 < filled[2::4].sum() + filled[3::4].sum() < 140
    assert (filled == settled(answers, ids)).all()
    assert (filled != settled(answers, ids, seed=1)).any()
    order = np.random.default_rng(0).permutation(400)
    assert (settled(answers[order], [ids[i] for i in order]) == filled[order]).all()
    assert settled(answers, ids, "unsafe").sum() == 300
    assert settled(answers, ids, "safe").sum() == 100


def test_the_filter_of_stable_diffusion():
    """(.20, .25) over (.205, .26): safe; raised by a special concept (+.005, 0): unsafe, for one is above 0."""
    scores, unsafe = concept_filter([[0.20, 0.25]], [0.205, 0.26])
    assert scores.tolist() == [[-0.005, -0.010]]
    assert not unsafe[0]
    scores, unsafe = concept_filter([[0.20, 0.25]] * 2, [0.205, 0.26], [[0.3, 0.1], [0.2, 0.1]], [0.2, 0.2])
    assert scores.tolist() == [[0.005, 0.0], [-0.005, -0.010]]
    assert unsafe.tolist() == [True, False]
    assert not concept_filter([[0.205]], [0.205])[1][0]  # exactly 0 is safe
    assert not concept_filter([[0.2054]], [0.205])[1][0]  # rounded to 3 decimals first


def test_budgets():
    assert rms_of_l2(0.01, 3 * 224 * 224) == pytest.approx(2.58e-5, rel=2e-3)
    assert rms_of_l2(0.01, 3 * 224 * 224) < 1 / 255 / 100
    assert pixel_budget(0.01, 0.27) == pytest.approx(0.0027)
    assert 255 * pixel_budget(0.01, 0.27) == pytest.approx(0.69, abs=2e-3)
