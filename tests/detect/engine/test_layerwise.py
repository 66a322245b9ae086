"""Layers as a parameter names them, FGSM examples, scales by hand, and logistic regression against scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unshaken.core.errors import DataError, ModelError
from unshaken.core.query import Answer, Features, Gradient
from unshaken.core.rng import SampleRng
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.layerwise import fgsm_examples, logistic_regression, named_layers, spread
from unshaken.measure.detection.ranking import auroc


def test_layers_by_name(anatomy):
    assert named_layers(anatomy, ("penultimate",)) == ("head:in",)
    assert named_layers(anatomy, ("stages",)) == ("stem", "body", "head:in")
    assert named_layers(anatomy, ("a", "b", "a")) == ("a", "b")
    headless = replace(anatomy, head=None)
    assert named_layers(headless, ("stages",)) == ("stem", "body")
    with pytest.raises(ModelError, match="has no recognisable stages"):
        named_layers(replace(headless, stages=()), ("stages",))


def examples(anatomy, fooled, unsteady=0):
    """Seven images of class 0 as the model sees them: `fooled` of them by the step, the last ones by noise already."""
    ids, images = [str(i) for i in range(7)], torch.full((7, 1, 2, 2), 0.5)
    right, wrong = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    forward = ForwardPass(
        anatomy, right.expand(7, 2), {"a": torch.arange(7.0)[:, None]}, images, SampleRng.of(0, "t", ids),
        torch.zeros(7, dtype=torch.int64),
    )  # fmt: skip
    asked = fgsm_examples(forward, ["a"], 0.1, "lid")
    query = next(asked)
    assert isinstance(query, Gradient)
    gradient = torch.tensor([-3.0, 0.0, 2.0, 1e-9]).view(2, 2).expand(7, 1, 2, 2)
    moved = asked.send(Answer(gradient=gradient))
    assert isinstance(moved, Features)
    assert moved.points[0].flatten().tolist() == pytest.approx([0.4, 0.5, 0.6, 0.6])
    logits = torch.stack([wrong if i < fooled else right for i in range(7)])
    noisy = asked.send(Answer(logits=logits, features={"a": torch.ones(7, 1)}))
    assert 0.05 < float((noisy.points - 0.5).std()) < 0.2
    steady = torch.stack([wrong if i >= 7 - unsteady else right for i in range(7)])
    with pytest.raises(StopIteration) as stop:
        asked.send(Answer(logits=steady, features={"a": torch.zeros(7, 1)}))
    return stop.value.value


def test_images_serve_that_the_step_alone_turns(anatomy):
    clean, noisy, moved = examples(anatomy, 6, unsteady=2)
    assert clean.features["a"].flatten().tolist() == [0, 1, 2, 3, 4]
    assert (len(noisy), len(moved)) == (5, 5)
    assert moved.features["a"].flatten().tolist() == [1] * 5
    assert clean.labels.tolist() == [0] * 5


def test_fewer_than_five_are_too_few(anatomy):
    with pytest.raises(DataError, match="lid: only 4 of 7 held-out images are classified rightly and fooled"):
        examples(anatomy, 4)


def test_spread_refuses_a_constant_column():
    mean, deviation = spread(torch.tensor([[1.0, 5.0], [3.0, 9.0]]).double(), ["a", "b"], "x")
    assert (mean.tolist(), deviation.tolist()) == ([2, 7], [1, 2])
    with pytest.raises(DataError, match="score of b is the same"):
        spread(torch.tensor([[1.0, 5.0], [3.0, 5.0]]).double(), ["a", "b"], "x")


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
