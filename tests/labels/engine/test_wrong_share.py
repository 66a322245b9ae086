"""The share of wrong labels: its interval covers the truth of simulated models and noises, and says when it is wide."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from unshaken.labels.engine.finder import Evidence
from unshaken.labels.engine.probabilities import Probabilities
from unshaken.labels.engine.wrong_share import SURE, WIDEST, estimate_wrong_share
from unshaken.labels.find.confident_learning import ConfidentLearning
from unshaken.measure import clopper_pearson


def transition(kind, classes, rate):
    """Given labels of each true class: symmetric, every class to the next, or every other class to the next."""
    wrong = np.roll(np.eye(classes), 1, 1) if kind != "symmetric" else (1 - np.eye(classes)) / (classes - 1)
    rates = np.full(classes, rate)
    rates[1::2] *= kind != "every other"
    return np.diag(1 - rates) + rates[:, None] * wrong


def simulate(rng, skill, kind, rate, *, classes=10, n=2000, sharpness=1.0):
    """Labels, true labels and the posterior of a network that has learned the noise, easier images and harder ones."""
    true = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), true] += skill * np.exp(rng.normal(0, 0.4, n))
    noise = transition(kind, classes, rate)
    given = (rng.random((n, 1)) > noise[true].cumsum(1)).sum(1).clip(max=classes - 1)
    p = (special.softmax(skill * logits, 1) @ noise) ** sharpness
    return given, true, p / p.sum(1, keepdims=True)


def estimated(given, p):
    evidence = Evidence(given, p.shape[1], Probabilities(p))
    return estimate_wrong_share(evidence.summary(), given), evidence


@pytest.mark.parametrize("skill", [1.0, 2.0, 4.0], ids=["31 % right", "57 % right", "96 % right"])
@pytest.mark.parametrize(
    ("kind", "rate"), [("symmetric", 0.0), ("symmetric", 0.2), ("next", 0.4), ("every other", 0.3)]
)
def test_the_interval_covers(skill, kind, rate):
    covered = []
    for seed in range(4):
        given, true, p = simulate(np.random.default_rng(seed), skill, kind, rate, sharpness=1 + seed)
        found, _ = estimated(given, p)
        wrong = np.mean(given != true)
        covered.append(found.low <= wrong <= found.high)
        if skill == 1:
            assert not found.is_usable
        if skill == 4:
            assert found.is_usable
            assert found.low > 0.6 * wrong - 0.01
    assert sum(covered) >= 3


@pytest.mark.parametrize("classes", [2, 100])
def test_the_interval_covers_with_few_and_many_classes(classes):
    for seed, rate in enumerate((0.0, 0.1, 0.3)):
        given, true, p = simulate(np.random.default_rng(seed), 4, "symmetric", rate, classes=classes)
        found, _ = estimated(given, p)
        assert found.low <= np.mean(given != true) <= found.high


def test_confident_counts_are_no_estimate_of_a_poor_model():
    """What this interval is for: a network that is right about a third of the images, and a fifth of labels wrong."""
    given, true, p = simulate(np.random.default_rng(0), 1.0, "symmetric", 0.2)
    found, evidence = estimated(given, p)
    assert evidence.confident().noise_rate > 2 * np.mean(given != true)
    assert not found.is_usable
    assert found.high - found.low > WIDEST


def test_the_upper_end_holds_for_a_model_that_guesses():
    rng = np.random.default_rng(0)
    given, true, _ = simulate(rng, 1.0, "next", 0.4)
    found, _ = estimated(given, rng.dirichlet(np.ones(10), len(given)))
    assert found.low <= np.mean(given != true) <= found.high


def test_over_confidence_changes_nothing():
    given, _, p = simulate(np.random.default_rng(1), 3.0, "symmetric", 0.2)
    sharp = p**2 / (p**2).sum(1, keepdims=True)  # ranks stay, but for the normalisation
    one, other = estimated(given, p)[0], estimated(given, sharp)[0]
    assert (one.agreement, one.high) == (other.agreement, other.high)
    assert other.low == pytest.approx(one.low, abs=0.03)


def test_a_model_that_agrees_with_all_labels():
    """Nothing disagrees: from no wrong label to Clopper and Pearson's upper end of none in 500."""
    given = np.arange(500) % 5
    found, _ = estimated(given, 0.9 * np.eye(5)[given] + 0.02)
    assert found.low == 0
    assert found.high == pytest.approx(float(clopper_pearson(0, 500)[1]))


def test_a_perfect_model_finds_the_share_from_both_sides():
    """Of a model that is right about 97 % of the images, slips at every rank are wrong labels."""
    rng = np.random.default_rng(0)
    given, true, p = simulate(rng, 5.0, "symmetric", 0.25, n=20_000)
    found, _ = estimated(given, p)
    wrong = np.mean(given != true)
    assert found.low == pytest.approx(1 - (1 - wrong) / SURE, abs=0.02)
    assert wrong < found.high < wrong + 0.04


@pytest.mark.parametrize(("skill", "rate"), [(2.5, 0.1), (2.5, 0.3), (4.0, 0.2)])
def test_the_expected_share_of_right_flags_covers(skill, rate):
    given, true, p = simulate(np.random.default_rng(2), skill, "symmetric", rate)
    found, evidence = estimated(given, p)
    flagged = ConfidentLearning().find(evidence).flagged
    low, high = found.expect_wrong(flagged)
    assert low <= np.mean((given != true)[flagged]) <= high


def test_flags_that_the_model_does_not_share_count_as_right_at_the_lower_end():
    given, _, p = simulate(np.random.default_rng(2), 4.0, "symmetric", 0.2)
    found, _ = estimated(given, p)
    assert found.expect_wrong(~found.disagrees)[0] == 0


@pytest.mark.parametrize("n", [1, 2, 12, 60])
def test_few_samples_have_a_wide_interval(n):
    given = np.arange(n) % 2
    found, _ = estimated(given, np.full((n, 2), 0.5) + 0.1 * (np.eye(2)[given] - 0.5))
    assert (found.low, found.high) == (0.0, pytest.approx(float(clopper_pearson(0, n)[1])))


def test_labels_that_the_model_predicts_are_told_from_the_others():
    given, _, p = simulate(np.random.default_rng(0), 2.0, "symmetric", 0.2)
    found, _ = estimated(given, p)
    assert np.array_equal(found.disagrees, p.argmax(1) != given)
    assert found.expect_wrong(p.argmax(1) == given)[0] == 0  # each of them counts as right at the lower end
    assert found.expect_wrong(p.argmax(1) != given)[0] > 0
