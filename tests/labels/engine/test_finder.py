"""What is no evidence, in one line."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.labels import Evidence, Probabilities
from unshaken.labels.find.self_confidence import SelfConfidence


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[2.0, -1.0]], r"row 0 has -1 to 2 and sums to 1; .*are these logits\?"),
        ([[0.5, 0.5], [0.5, float("nan")]], r"row 1 has nan"),
        ([[0.5, 0.2]], "sums to 0.7"),
    ],
)
def test_rows_that_are_no_probabilities(values, message):
    p = np.array(values)
    with pytest.raises(DataError, match=message):
        SelfConfidence().find(Evidence(np.zeros(len(p), int), 2, Probabilities(p)))


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match=r"of shape \(3,\)"):
        Probabilities(np.ones(3))
    with pytest.raises(DataError, match="of type int64"):
        Probabilities(np.ones((3, 2), np.int64))
    with pytest.raises(DataError, match="10 rows of 3 classes, and the data has 2 samples of 3"):
        Evidence(np.array([0, 1]), 3, Probabilities(np.full((10, 3), 1 / 3)))
    with pytest.raises(DataError, match="labels go from 0 to 3, and there are 3 classes"):
        Evidence(np.array([0, 3]), 3)
    with pytest.raises(DataError, match="features are there for 4 samples, labels for 2"):
        Evidence(np.array([0, 1]), 3, features=np.ones((4, 2)))
    with pytest.raises(ParameterError, match="the evidence that this method needs is not there, only labels"):
        SelfConfidence().find(Evidence(np.array([0, 1]), 3))


def test_a_wrong_row_of_a_later_block_has_its_own_number(monkeypatch):
    monkeypatch.setattr("unshaken.labels.engine.probabilities.BLOCK", 6)  # three rows of two classes at a time
    p = np.full((9, 2), 0.5)
    p[5] = [0.5, 0.2]
    with pytest.raises(DataError, match=r"row 5 has 0\.2 to 0\.5"):
        SelfConfidence().find(Evidence(np.zeros(9, int), 2, Probabilities(p)))
