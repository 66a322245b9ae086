import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from unshaken.core.errors import ParameterError
from unshaken.measure import brier, calibration_error, nll, softmax, top_label

SUBNORMAL = sys.float_info.min / 2 > 0
"""Whether this process has them: a processor may be set to flush them to 0."""
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
FAST = {"resamples": 20, "simulations": 20}


@pytest.mark.parametrize(
    ("bins", "ece", "largest", "average"),
    [(5, 0.33, 0.495, 0.335833), (10, 0.33, 0.56, 0.326429), (15, 0.33, 0.56, 0.326429)],
)
def test_eight_samples_by_hand(bins, ece, largest, average):
    # 5 bins: (.2,.4] .38 wrong; (.4,.6] .43 .56 wrong; (.6,.8] .63 .66 .71 right; (.8,1] .82 .91 right
    # gaps .38, .495, 1 - 2/3 = .3333, 1 - .865 = .135; ECE = (.38 + .99 + 1.0 + .27) / 8 = .33
    e = calibration_error(*top_label(P, Y), bins=bins, **FAST)
    assert e.ece.value == pytest.approx(ece)
    assert e.max_gap == pytest.approx(largest)
    assert e.average_gap == pytest.approx(average, abs=5e-7)
    assert e.signed_gap == pytest.approx(0.625 - 0.6375)


def test_equal_mass_by_hand():
    # pairs of ascending confidence .38 .43 | .56 .63 | .66 .71 | .82 .91, correct 0 0 | 0 1 | 1 1 | 1 1
    # gaps .405, |.5 - .595| = .095, .315, .135; their mean .2375
    e = calibration_error(*top_label(P, Y), bins=4, binning="equal-mass", **FAST)
    assert e.ece.value == pytest.approx(0.2375)
    assert [(b.low, b.high) for b in e.bins] == [(0.38, 0.43), (0.43, 0.63), (0.63, 0.71), (0.71, 0.91)]


def test_classwise_by_hand():
    found = [calibration_error(P[:, k], k == Y, bins=5, **FAST).ece.value for k in range(3)]
    assert found == pytest.approx([0.195, 0.18375, 0.16875])


def test_confidences_on_an_edge_belong_to_the_bin_below():
    edges = [(0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.25, 0.35, 0.4), (0.55, 0.3, 0.15)]
    edges += [(0.05, 0.05, 0.9), (0.6, 0.3, 0.1), (0.2, 0.65, 0.15), (0.33, 0.34, 0.33)]
    # (.333,.4] .34 .4 wrong; (.533,.6] .55 wrong .6 right; .65 right; .7 right; (.733,.8] .8 right; .9 right
    # (.74 + |1 - 1.15| + .35 + .3 + .2 + .1) / 8 = 1.84 / 8
    assert calibration_error(*top_label(edges, Y), **FAST).ece.value == pytest.approx(0.23)
    assert calibration_error([0.0, 1.0], [0, 1], **FAST).ece.value == 0


@pytest.mark.parametrize(("binning", "strategy"), [("equal-width", "uniform"), ("equal-mass", "quantile")])
def test_the_table_agrees_with_scikit_learn(binning, strategy):
    rng = np.random.default_rng(3)
    confidence = rng.beta(3, 1.5, 600)
    correct = rng.random(600) < confidence**1.5
    e = calibration_error(confidence, correct, bins=10, binning=binning, **FAST)
    true, predicted = calibration_curve(correct, confidence, n_bins=10, strategy=strategy)
    assert [b.accuracy.value for b in e.bins] == pytest.approx(true)
    assert [b.confidence for b in e.bins] == pytest.approx(predicted)
    assert sum(b.accuracy.n for b in e.bins) == 600


def test_equal_confidences_are_not_torn_apart():
    # half of the samples right at confidence 1/2: calibrated, in one bin, whatever the number asked for
    e = calibration_error([0.5] * 10, [1, 0] * 5, bins=5, binning="equal-mass", **FAST)
    assert len(e.bins) == 1
    assert e.ece.value == 0
    # ranks 1-3 and 4-5 of five: the three equal ones stay together
    e = calibration_error([0.2, 0.2, 0.2, 0.6, 0.7], [0, 0, 1, 1, 1], bins=3, binning="equal-mass", **FAST)
    assert [b.accuracy.n for b in e.bins] == [3, 1, 1]


def test_the_bias_by_hand():
    # two samples of confidence 1/2, calibrated: 0, 1, 2 right with chance 1/4, 1/2, 1/4: ECE 1/2, 0, 1/2; mean 1/4
    e = calibration_error([0.5, 0.5], [0, 0], simulations=20_000, resamples=10)
    assert e.bias == pytest.approx(0.25, abs=0.01)
    assert e.p_calibrated == pytest.approx(0.5, abs=0.02)  # an ECE of 1/2 is seen in every second draw
    assert calibration_error([0.5, 0.5], [0, 1], simulations=100, resamples=10).p_calibrated == 1


def test_the_bias_is_what_a_calibrated_model_shows():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 300)
    shown = [calibration_error(confidence, rng.random(300) < confidence, **FAST).ece.value for _ in range(200)]
    e = calibration_error(confidence, rng.random(300) < confidence, resamples=10)
    assert e.bias == pytest.approx(np.mean(shown), rel=0.05)
    assert calibration_error(confidence, rng.random(300) < confidence - 0.2, **FAST).p_calibrated < 0.05


@pytest.mark.parametrize("overconfidence", [0.0, 0.15])
def test_the_interval_covers_the_mean_of_the_estimate(overconfidence):
    # over many data sets: how many of their intervals hold the estimate's mean (87% without centring, at 0)
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.4, 1, 400)
    runs = [
        calibration_error(confidence, rng.random(400) < confidence - overconfidence, resamples=200, simulations=1).ece
        for _ in range(150)
    ]
    truth = np.mean([r.value for r in runs])
    assert np.mean([r.low <= truth <= r.high for r in runs]) >= 0.9
    assert runs[0].interval == "bootstrap 95% (200), centred"


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 1, allow_subnormal=SUBNORMAL), st.booleans()), min_size=1, max_size=40),
    st.sampled_from(["equal-width", "equal-mass"]),
    st.integers(1, 20),
    st.randoms(),
)
def test_properties(samples, binning, bins, random):
    options = {"bins": bins, "binning": binning, **FAST}
    e = calibration_error(*zip(*samples, strict=True), **options)
    assert 0 <= e.ece.low <= e.ece.value <= e.ece.high <= 1
    assert abs(e.signed_gap) <= e.ece.value + 1e-12 <= e.max_gap + 2e-12
    assert sum(b.accuracy.n for b in e.bins) == len(samples)
    assert all(b.low - 1e-12 <= b.confidence <= b.high + 1e-12 for b in e.bins)
    random.shuffle(samples)
    assert calibration_error(*zip(*samples, strict=True), **options) == e


def test_a_constant_confidence_is_off_by_its_distance_from_accuracy():
    assert calibration_error([0.9] * 4, [1, 0, 0, 1], **FAST).ece.value == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("confidence", "correct", "options", "message"),
    [
        ([0.5, np.nan], [1, 0], {}, "missing"),
        ([0.5, 1.2], [1, 0], {}, r"must lie in \[0, 1\]"),
        ([0.5], [1, 0], {}, "lengths"),
        ([], [], {}, "empty"),
        ([0.5], [1], {"bins": 0}, "bins"),
        ([0.5], [1], {"simulations": 0}, "simulations"),
        ([0.5], [1], {"resamples": 0}, "resamples"),
        ([0.5], [1], {"binning": "equal"}, "binning 'equal'"),
    ],
)
def test_bad_input_is_refused(confidence, correct, options, message):
    with pytest.raises(ParameterError, match=message):
        calibration_error(confidence, correct, **options)


PROBABILITIES = np.array(
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
LABELS = np.array([0, 1, 1, 1, 2, 0, 1, 0])


def test_eight_samples_have_the_known_scores():
    assert brier(PROBABILITIES, LABELS).value == pytest.approx(0.348100)
    assert nll(np.log(PROBABILITIES), LABELS).value == pytest.approx(0.616510, abs=5e-7)
    assert nll(np.log(PROBABILITIES) / 2, LABELS).value == pytest.approx(0.779611, abs=5e-7)  # temperature 2


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
    confidence, correct = top_label(PROBABILITIES, LABELS)
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
def test_bad_probabilities_are_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
