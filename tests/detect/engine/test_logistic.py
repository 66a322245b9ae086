"""Logistic regression against scikit-learn, and standardised scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unshaken.detect.engine.logistic import logistic_regression
from unshaken.measure.detection.ranking import auroc


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("apart", [0.0, 1.0, 40.0])  # 40: separable
def test_agrees_with_scikit_learn(c, apart):
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3 == 0
    x = rng.normal(size=(90, 4)) + apart * y[:, None]
    reference = LogisticRegression(C=c, tol=1e-12, max_iter=100_000).fit(x, y)
    w, b = logistic_regression(torch.from_numpy(x), torch.from_numpy(y), c)
    assert w.numpy() == pytest.approx(reference.coef_[0], abs=2e-5)
    assert b.item() == pytest.approx(reference.intercept_[0], abs=1e-3)


def test_one_column_keeps_the_ranking_or_turns_it():
    rng = np.random.default_rng(1)
    normal, abnormal = rng.normal(size=50), rng.normal(0.7, size=40)
    x = torch.from_numpy(np.concatenate([normal, abnormal]))[:, None]
    plain = auroc(normal, abnormal).value
    for turned in (False, True):
        y = (torch.arange(90) >= 50) ^ turned
        w, _ = logistic_regression(x, y)
        score = (x @ w).numpy()
        assert auroc(score[:50], score[50:]).value == pytest.approx(1 - plain if turned else plain)
