"""Intervals over episodes: by hand, and their coverage where classes differ."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.few_shot import episode_accuracy, episode_difference, over_episodes


def test_the_usual_interval_by_hand():
    figure = over_episodes([0.4, 0.6])
    assert (figure.value, figure.high - figure.value) == (pytest.approx(0.5), pytest.approx(0.1386, abs=5e-5))


def test_queries_classes_and_episodes_are_averaged():
    correct = np.array([[[1, 1], [1, 0]], [[0, 0], [1, 0]]], bool)
    figure = episode_accuracy(correct, [[0, 1], [1, 2]])
    assert (figure.value, figure.n) == (0.5, 2)
    assert figure.value == over_episodes(correct).value


def made(rng, pool):
    """300 episodes of five of the classes of a pool, each class with an accuracy of its own."""
    classes = np.array([rng.choice(len(pool), 5, replace=False) for _ in range(300)])
    return rng.random((300, 5, 5)) < pool[classes][:, :, None], classes


def test_other_classes_would_have_given_another_mean_and_the_interval_says_so():
    """Accuracies of classes are uniform on [0.3, 0.9], mean 0.6; the pool has 20 of them."""
    rng, held, held_over_episodes = np.random.default_rng(0), 0, 0
    for _ in range(40):
        correct, classes = made(rng, rng.uniform(0.3, 0.9, 20))
        figure, usual = episode_accuracy(correct, classes, resamples=200), over_episodes(correct)
        held += figure.low <= 0.6 <= figure.high
        held_over_episodes += usual.low <= 0.6 <= usual.high
    assert held >= 35  # 95 % of 40 is 38; fewer than 35 come once in 30 times at that rate
    assert held_over_episodes < 25


def test_a_difference_is_paired():
    rng = np.random.default_rng(0)
    correct, classes = made(rng, rng.uniform(0.3, 0.9, 20))
    better = correct | (rng.random(correct.shape) < 0.1)
    figure = episode_difference(correct, better, classes)
    assert 0 < figure.low < figure.value < figure.high < 0.1
    assert figure.value == pytest.approx(better.mean() - correct.mean())


@pytest.mark.parametrize("classes", [[[0]], [[0, 1]] * 3, []])
def test_shapes_that_do_not_fit_are_refused(classes):
    with pytest.raises(ParameterError, match="must both be"):
        episode_accuracy(np.ones((2, 2, 3), bool), classes)
