"""Probes against scikit-learn and by hand, frozen features, copies, places, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import unshaken
from unshaken.core.errors import DataError, ParameterError
from unshaken.tasks.features import (
    choose_probe_c,
    fit_knn_probe,
    fit_linear_probe,
    frozen_features,
    layer_features,
    linear_svm,
)

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
FEATURES = np.eye(3)[LABELS] @ RNG.normal(size=(3, 8)) + 0.6 * RNG.normal(size=(60, 8))


def test_the_linear_probe_is_scikit_learns_on_standardised_features():
    probe = fit_linear_probe(FEATURES[:40], LABELS[:40], c=0.3)
    mean, spread = FEATURES[:40].mean(0), FEATURES[:40].std(0)
    plain = LogisticRegression(C=0.3, max_iter=2000).fit((FEATURES[:40] - mean) / spread, LABELS[:40])
    wanted = plain.predict_proba((FEATURES[40:] - mean) / spread)
    assert np.allclose(probe.probabilities(FEATURES[40:]), wanted, atol=1e-6)
    assert (probe.predict(FEATURES[40:]) == wanted.argmax(1)).all()


def test_the_best_c_is_chosen_on_a_part():
    noise = np.concatenate([FEATURES, 3 * RNG.normal(size=(60, 40))], 1)
    assert choose_probe_c(noise, LABELS) in (0.01, 0.1, 1.0, 10.0, 100.0)
    with pytest.raises(DataError, match="cannot be split"):
        choose_probe_c(FEATURES[:4], np.array([0, 0, 0, 1]))


def test_neighbours_vote_by_hand():
    train, labels = np.array([[1.0, 0], [2, 1], [0, 1], [1, 2]]), np.array([0, 0, 1, 1])
    probe = fit_knn_probe(train, labels, k=3, temperature=0.5)
    asked = np.array([[3.0, 1.0]])
    cosines = (asked / np.sqrt(10)) @ (train / np.linalg.norm(train, axis=1, keepdims=True)).T
    near = np.argsort(-cosines[0])[:3]
    votes = np.bincount(labels[near], np.exp(cosines[0][near] / 0.5))
    assert probe.probabilities(asked)[0] == pytest.approx(votes / votes.sum())
    assert fit_knn_probe(train, labels, k=100).predict(train).tolist() == labels.tolist()


def test_frozen_features_are_what_goes_into_the_head():
    model = unshaken.load_model("demo")
    images = torch.randint(0, 256, (3, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = frozen_features(model, images, cache=False)
    head = [m for m in model.net.modules() if isinstance(m, torch.nn.Linear)][-1]
    logits = found @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    assert np.allclose(logits, model(images.float() / 255).detach().numpy(), atol=1e-3)
    named = frozen_features(model, images, "body.1", cache=False)
    assert np.array_equal(named, layer_features(model, images, ["body.1"], cache=False)["body.1"].numpy())


NAN = np.where(np.arange(60)[:, None] == 5, np.nan, FEATURES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_linear_probe(NAN, LABELS), "1 of 60 images have features that are not finite, the first is row 5"),
        (lambda: fit_knn_probe(NAN, LABELS), "not finite"),
        (lambda: fit_linear_probe(FEATURES, LABELS).predict(NAN), "not finite"),
        (lambda: fit_linear_probe(FEATURES[:, 0], LABELS), r"features must be \[N, D\]"),
        (lambda: fit_linear_probe(FEATURES, LABELS[:3]), r"labels must be whole numbers \[60\]"),
        (lambda: fit_linear_probe(FEATURES, LABELS / 2), "labels must be whole numbers"),
        (lambda: fit_linear_probe(FEATURES, LABELS - 1), "20 of 60 images have no label"),
        (lambda: fit_linear_probe(FEATURES, 0 * LABELS), "two classes at least"),
        (lambda: fit_linear_probe(FEATURES, LABELS, c=0), "c must be above 0, not 0"),
        (lambda: fit_knn_probe(FEATURES, LABELS, k=0), "k must be at least 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((DataError, ParameterError), match=message):
        call()


def test_five_powers_of_ten_are_tried():
    assert tuple(pytest.approx(10.0**k) for k in range(-2, 3)) == linear_svm.GRID
