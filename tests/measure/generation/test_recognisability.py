"""Macro-F1 and diversity by the numbers of the specification."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import diversity, recognisability

LABELS, SAID = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 0]


def test_macro_f1():
    found = recognisability(LABELS, SAID)
    assert list(found.classes.values()) == pytest.approx([0.75, 4 / 7, 2 / 3])
    assert found.mean == pytest.approx(0.662698, abs=5e-7)
    assert recognisability([*LABELS, *LABELS], [*SAID, *SAID]) == found
    assert recognisability([0, 1], [1, 0]).mean == 0


def test_diversity_is_the_population_deviation_and_scales():
    points = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2]])
    assert diversity(points, [0] * 4).mean == 1  # 1.1547 over N - 1, 1.4142 as root of the summed variances
    assert diversity(3 * points + 7, [0] * 4).mean == pytest.approx(3)
    assert diversity(np.concatenate([points, points]), [0] * 8).mean == 1
    assert diversity(points, [0, 0, 1, 1]).classes == {0: 0.5, 1: 0.5}


def test_bad_input():
    with pytest.raises(ParameterError, match="labels 2, predictions 1"):
        recognisability([0, 1], [0])
    with pytest.raises(ParameterError, match="labels must be classes from 0, not -1"):
        diversity([[1.0]], [-1])
