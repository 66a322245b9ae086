"""Nearest neighbours, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from unshaken.labels.engine.nearest import nearest


def test_neighbours_are_those_of_scikit_learn(monkeypatch):
    features = np.random.default_rng(1).normal(0, 1, (300, 8)).astype(np.float32)
    monkeypatch.setattr("unshaken.labels.engine.nearest._SCORES", 300 * 70)
    near, cosine = nearest(features, 5)
    theirs = NearestNeighbors(n_neighbors=6, metric="cosine").fit(features).kneighbors(features)
    assert [set(row) for row in near.tolist()] == [set(row[1:]) for row in theirs[1].tolist()]
    assert np.sort(1 - cosine, 1) == pytest.approx(theirs[0][:, 1:], abs=1e-5)
