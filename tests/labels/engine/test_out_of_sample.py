"""Folds, and the linear classifier of frozen features whose penalty is chosen on the first of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from unshaken.core.errors import DataError, ParameterError
from unshaken.labels.engine.out_of_sample import PENALTIES, probe_probabilities, stratified_folds


def features_with_flips(seed=0, n=400, width=200):
    """Three classes in a few of many features, of which a fifth have the label of another class."""
    rng = np.random.default_rng(seed)
    true = np.arange(n) % 3
    features = rng.normal(size=(n, width))
    features[:, :3] += 3 * np.eye(3)[true]
    given = np.where(rng.random(n) < 0.2, (true + rng.integers(1, 3, n)) % 3, true)
    return features, given, true


def test_the_chosen_penalty_withstands_wrong_labels():
    features, given, true = features_with_flips()
    fold = stratified_folds(given, 4)
    right, loss = {}, {}
    for penalty in (None, *PENALTIES):
        p = probe_probabilities(features, given, fold, 3, penalty=penalty)
        right[penalty] = np.mean(p.argmax(1) == true)
        loss[penalty] = -np.log(p[np.arange(len(given)), given]).mean()
    assert right[None] > right[0.001] + 0.04
    assert loss[None] < loss[0.001] / 2
    assert loss[None] < min(loss.values()) + 0.05


def test_probabilities_are_those_of_scikit_learn():
    """Its C is 1 / (penalty n); columns are standardised by the samples learned from."""
    features, given, _ = features_with_flips(width=6)
    fold = stratified_folds(given, 3)
    found = probe_probabilities(features, given, fold, 3, penalty=0.1)
    for part in range(3):
        learned = features[fold != part]
        mean, deviation = learned.mean(0), learned.std(0, ddof=1)
        peer = LogisticRegression(C=1 / (0.1 * len(learned)), tol=1e-8, max_iter=1000)
        peer.fit((learned - mean) / deviation, given[fold != part])
        wanted = peer.predict_proba((features[fold == part] - mean) / deviation)
        assert found[fold == part] == pytest.approx(wanted, abs=2e-3)


def test_folds_are_even_and_refused_where_they_cannot_be_filled():
    labels = np.array([0] * 7 + [1] * 5)
    fold = stratified_folds(labels, 3)
    assert np.bincount(fold).tolist() == [4, 4, 4]
    assert sorted(np.bincount(fold[labels == 0])) == [2, 2, 3]
    assert sorted(stratified_folds(labels, 12)) == list(range(12))
    with pytest.raises(ParameterError, match="folds=13 must be 12 or less, the number of samples"):
        stratified_folds(labels, 13)
    with pytest.raises(DataError, match="class 1 has a single sample"):
        stratified_folds(np.array([0, 0, 1]), 2)
