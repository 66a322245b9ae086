"""Detectors among the samples of a training: by hand, on planted sets, and by their identities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from unshaken.core.errors import ParameterError
from unshaken.labels import Evidence, Probabilities
from unshaken.labels.engine.noise_detection import (
    detect_by_loss,
    detect_by_neighbours,
    detect_linearly,
    guess_weights,
    nearest,
    posterior_of_low,
)
from unshaken.labels.find.linear_separation import LinearSeparation


@pytest.fixture
def clouds():
    """Two clouds on either side of a plane, and which samples are of the second."""
    rng = np.random.default_rng(0)
    second = np.arange(2000) % 4 == 0
    return rng.normal(0, 1, (2000, 16)) + np.where(second[:, None], 1.5, -1.5), second


def test_losses_of_the_larger_group_are_flagged():
    rng = np.random.default_rng(0)
    losses = np.concatenate([rng.normal(0.2, 0.05, 300), rng.normal(2.0, 0.3, 100)])
    found = detect_by_loss(losses)
    assert found.flagged.tolist() == [False] * 300 + [True] * 100
    assert np.array_equal(found.flagged, detect_by_loss(3 + 5 * losses).flagged)
    backwards = detect_by_loss(losses[::-1])  # neither component is the first one by itself
    assert np.array_equal(found.flagged, backwards.flagged[::-1])
    assert not detect_by_loss(np.full(4, 0.7)).flagged.any()


def test_a_share_of_the_largest_losses_is_flagged_whatever_their_groups():
    """Losses of one group, of which no posterior is near 1."""
    losses = np.random.default_rng(0).permutation(np.linspace(1, 2, 200))
    found = detect_by_loss(losses, share=0.4)
    assert found.flagged.sum() == 80
    assert losses[found.flagged].min() > losses[~found.flagged].max()
    assert np.array_equal(found.score, detect_by_loss(losses).score)


def test_a_line_averages_wrong_decisions_out(clouds):
    features, second = clouds
    suspect = second ^ (np.random.default_rng(1).random(2000) < 0.1)
    found = detect_linearly(features, suspect)
    assert (found.flagged == second).mean() > 0.99
    assert np.array_equal(found.flagged, found.score > 0.5)


def test_scales_of_features_do_not_matter(clouds):
    """Rows may be of any length; columns of unit rows of any scale, which standardising takes out."""
    features, second = clouds
    suspect = second ^ (np.random.default_rng(1).random(2000) < 0.1)
    found = detect_linearly(features, suspect)
    lengths = np.random.default_rng(2).uniform(0.5, 2, (2000, 1))
    assert np.allclose(detect_linearly(features * lengths, suspect).score, found.score, atol=1e-3)
    assert np.allclose(detect_linearly(1000 * features, suspect).score, found.score, atol=1e-6)


def test_few_suspects_weigh_as_many():
    """One in fifty suspect: without balanced weights the line would flag hardly any."""
    rng = np.random.default_rng(3)
    few = np.arange(2000) % 50 == 0
    near = rng.normal(0, 1, (2000, 16)) + np.where(few[:, None], 0.5, 0.0)
    assert detect_linearly(near + 3, few).flagged[few].mean() > 0.6


def test_only_what_is_known_of_trusted_samples_counts(clouds):
    features, second = clouds
    trusted = np.random.default_rng(1).random(2000) < 0.1
    told = detect_linearly(features, np.where(trusted, second, False), trusted)  # the others are said to be right
    assert (told.flagged == second).mean() > 0.95


def test_nothing_to_separate():
    features = np.random.default_rng(0).normal(0, 1, (5, 2))
    assert detect_linearly(features, np.arange(5) == 0, np.arange(5) > 0) is None
    assert detect_linearly(features, np.zeros(5, bool)) is None
    assert detect_linearly(features, np.ones(5, bool)) is None


def test_neighbours_by_hand():
    """Three samples, of which the first two are alike: each has its own prediction and its neighbour's."""
    z = np.array([[1.0, 0], [1, 0], [0, 1]])
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    found = detect_by_neighbours(z, p, np.array([0, 1, 1]), k=1, threshold=0.75)
    first = 1 - (0.7 + 0.9) / 2
    second = 1 - (0.1 + 0.3) / 2
    assert found.score[:2].tolist() == pytest.approx([first, second])
    assert found.flagged[:2].tolist() == [False, True]
    both = detect_by_neighbours(z, p, np.array([0, 1, 1]), k=9, tau=0.5)
    e = np.exp(2)
    votes = (e * 0.7 + 0.2) / (e + 1)
    assert both.score[0] == pytest.approx(1 - (votes + 0.9) / 2)


def test_weights_of_guesses():
    losses = np.array([0.1, 0.12, 0.11, 3.0, 3.1, np.inf, 9.0])
    flagged = np.array([True] * 6 + [False])
    found = guess_weights(losses, flagged)
    assert found[:3].min() > 0.99
    assert found[3:6].max() < 0.01
    assert found[6] == 1
    same = np.where(np.isinf(losses), 3.1, losses)
    assert np.array_equal(found, guess_weights(same, flagged))


@pytest.mark.parametrize("losses", [[0.1, 5.0, 9.0], [0.1, np.nan, 5.0]])
def test_weights_stay_where_nothing_can_be_fitted(losses):
    flagged = np.array([True, True, np.isnan(losses).any()])
    assert guess_weights(np.array(losses), flagged).tolist() == [1, 1, 1]


def test_what_has_one_group_only_is_not_separated():
    p = np.full((6, 2), 0.5)
    evidence = Evidence(np.arange(6) % 2, 2, Probabilities(p), np.random.default_rng(0).normal(0, 1, (6, 3)))
    with pytest.raises(ParameterError, match=r"none \(threshold=0.95\) of the losses are suspect, so use small-loss"):
        LinearSeparation().find(evidence)


def test_neighbours_are_those_of_scikit_learn(monkeypatch):
    features = np.random.default_rng(1).normal(0, 1, (300, 8)).astype(np.float32)
    monkeypatch.setattr("unshaken.labels.engine.noise_detection._SCORES", 300 * 70)
    near, cosine = nearest(features, 5)
    theirs = NearestNeighbors(n_neighbors=6, metric="cosine").fit(features).kneighbors(features)
    assert [set(row) for row in near.tolist()] == [set(row[1:]) for row in theirs[1].tolist()]
    assert np.sort(1 - cosine, 1) == pytest.approx(theirs[0][:, 1:], abs=1e-5)


def test_two_groups_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.2, 0.05, 500), rng.normal(0.8, 0.1, 200)])
    x = ((values - values.min()) / np.ptp(values))[:, None]
    model = GaussianMixture(2, max_iter=200, tol=1e-8, reg_covar=5e-4, random_state=0).fit(x)
    theirs = model.predict_proba(x)[:, model.means_.argmin()]
    assert np.mean((posterior_of_low(values) > 0.5) == (theirs > 0.5)) > 0.99
    assert posterior_of_low(np.full(4, 0.3)).tolist() == [1.0] * 4


def test_labels_are_flagged_from_a_score_of_98_per_cent_on():
    p = np.array([[1.0, 0], [1, 0], [0.99, 0.01], [0.95, 0.05]])
    found = detect_by_neighbours(np.eye(4), p, np.ones(4, int), k=1)
    assert (found.score > 0.9).all()
    assert found.flagged.tolist() == (found.score > 0.98).tolist()
    assert 0 < found.flagged.sum() < 4
