import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from unshaken.core.errors import ParameterError
from unshaken.measure import brier, nll, softmax, top_label

P = np.array(
    [
        [0.71, 0.19, 0.10],
        [0.09, 0.82, 0.09],
        [0.25, 0.32, 0.43],
        [0.56, 0.31, 0.13],
        [0.04, 0.05, 0.91],
        [0.63, 0.28, 0.09],
        [0.21, 0.66, 0.13],
        [0.33, 0.38, 0.29],
    ]
)
Y = np.array([0, 1, 1, 1, 2, 0, 1, 0])


def test_eight_samples_have_the_known_scores():
    assert brier(P, Y).value == pytest.approx(0.348100)
    assert nll(np.log(P), Y).value == pytest.approx(0.616510, abs=5e-7)
    assert nll(np.log(P) / 2, Y).value == pytest.approx(0.779611, abs=5e-7)  # temperature 2


def test_scikit_learn_agrees():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(200, 4)), rng.integers(0, 4, 200)
    assert nll(z, y).value == pytest.approx(log_loss(y, softmax(z)))
    p = rng.random(200)
    assert brier(np.stack([1 - p, p], 1), y % 2).value == pytest.approx(2 * brier_score_loss(y % 2, p))


def test_simple_cases_by_hand():
    certain = np.eye(3)[[0, 1, 2]]
    assert brier(certain, [0, 1, 2]).value == 0
    assert brier(certain, [1, 2, 0]).value == 2  # (0 - 1)^2 + (1 - 0)^2
    assert nll(np.zeros((2, 5)), [0, 4]).value == pytest.approx(np.log(5))
    prior = np.array([0.5, 0.25, 0.25])  # the class shares as a constant prediction: 1 - sum of squares
    assert brier(np.tile(prior, (4, 1)), [0, 0, 1, 2]).value == pytest.approx(1 - (prior**2).sum())


def test_far_logits_stay_exact():
    assert nll([[1000.0, 0.0]], [1]).value == 1000
    assert softmax(np.array([[1000.0, 0.0]], np.float16)).tolist() == [[1, 0]]


def test_the_interval_has_the_width_of_the_standard_error():
    p = np.tile([[0.8, 0.2]], (500, 1))
    y = np.repeat([0, 1], [400, 100])  # .08 for 80%, 1.28 for 20%: mean .32, standard deviation 1.2 sqrt(.16)
    figure = brier(p, y)
    assert figure.value == pytest.approx(0.32)
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * 1.2 * 0.4 / np.sqrt(500), rel=0.06)
    order = np.random.default_rng(0).permutation(500)
    assert brier(p[order], y[order]) == figure


def test_the_top_label():
    confidence, correct = top_label(P, Y)
    assert confidence.tolist() == [0.71, 0.82, 0.43, 0.56, 0.91, 0.63, 0.66, 0.38]
    assert correct.tolist() == [True, True, False, False, True, True, True, False]
    assert top_label([[0.5, 0.5]], [0])[1].tolist() == [True]  # the first of tied classes


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: brier([[2.0, -1.0]], [0]), "apply softmax to logits first"),
        (lambda: top_label([[3.0, 1.0]], [0]), "apply softmax"),
        (lambda: brier([[0.5, np.nan]], [0]), "1 in 1 samples are not finite"),
        (lambda: nll([[0.5, np.inf]], [0]), "not finite"),
        (lambda: nll(np.zeros((0, 3)), []), "at least one row"),
        (lambda: nll(np.zeros(3), [0]), r"shape \(3,\)"),
        (lambda: nll(np.zeros((2, 3)), [0]), "1 labels came with 2 rows"),
        (lambda: nll(np.zeros((2, 3)), [0, 3]), r"labels run from 0 to 3, but 3 classes allow 0\.\.2"),
        (lambda: nll(np.zeros((2, 3)), [-1, 2]), "labels run from -1"),
        (lambda: nll(np.zeros((1, 3)), [0.5]), "whole numbers"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
