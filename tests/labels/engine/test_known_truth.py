"""Shares of memorised, corrected and other predictions, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unshaken.labels.engine.known_truth import memorisation


def test_shares_by_hand():
    truth = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    given = np.array([1, 1, 2, 1, 1, 1, 1, 2])
    predicted = np.array([1, 0, 2, 2, 1, 1, 0, 2])
    found = memorisation(predicted, given, truth)
    assert (found.memorised, found.corrected) == (0.5, 0.25)
    assert found.neither == pytest.approx(0.25)
    assert found.fitted == 0.75


def test_without_wrong_labels_there_is_nothing_to_memorise():
    found = memorisation(np.array([0, 1]), np.array([0, 0]), np.array([0, 0]))
    assert math.isnan(found.memorised)
    assert found.fitted == 0.5
