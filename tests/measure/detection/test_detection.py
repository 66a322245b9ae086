import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.detection import (
    aupr,
    detection,
    detection_accuracy,
    fpr95_id_accept,
    fpr95_ood_recall,
    paired_bootstrap,
)
from unshaken.measure.detection.operating_points import levels, resampled, statistics_at
from unshaken.measure.detection.ranking import compare_auroc

# confidences of the field's worked example (higher is more normal), and the abnormality scores that they mean
NORMAL_CONFIDENCE = np.array([0.95, 0.90, 0.85, 0.80, 0.70, 0.60, 0.55, 0.40, 0.35, 0.20])
ABNORMAL_CONFIDENCE = np.array([0.75, 0.65, 0.50, 0.30, 0.10])
NORMAL, ABNORMAL = -NORMAL_CONFIDENCE, -ABNORMAL_CONFIDENCE
SCORES = st.lists(st.integers(-4, 4), min_size=1, max_size=30)  # nine values: many ties
MEASURES = ("auroc", "aupr_normal", "aupr_abnormal", "fpr95_id_accept", "fpr95_ood_recall", "detection_accuracy")


def values(d):
    figures = d.auroc, d.aupr_normal.figure, d.aupr_abnormal.figure
    return np.array([f.value for f in (*figures, d.fpr95_id_accept, d.fpr95_ood_recall, d.detection_accuracy)])


def by_confidence(a, o, at):
    """The figures as the definitions have them, over confidences and all thresholds, one at a time."""
    grid = np.unique(np.r_[a, o])
    t_accept = max(t for t in grid if (a >= t).mean() >= at - 1e-12)
    t_recall = min(t for t in grid if (o <= t).mean() >= at - 1e-12)
    best = max(0.5 * ((a >= t).mean() + (o < t).mean()) for t in np.r_[grid, np.inf])
    labels, confidence = np.r_[np.ones(len(a)), np.zeros(len(o))], np.r_[a, o]
    return np.array([
        roc_auc_score(labels, confidence),
        average_precision_score(labels, confidence),
        average_precision_score(1 - labels, -confidence),
        (o >= t_accept).mean(),
        (a <= t_recall).mean(),
        best,
    ])  # fmt: skip


def test_the_worked_example():
    d = detection(NORMAL, ABNORMAL)
    assert d.auroc.value == pytest.approx(0.7)
    assert d.aupr_normal.figure.value == pytest.approx(0.855267, abs=5e-7)
    assert d.aupr_abnormal.figure.value == pytest.approx(0.613131, abs=5e-7)
    assert (d.aupr_normal.baseline, d.aupr_abnormal.baseline) == pytest.approx((2 / 3, 1 / 3))
    assert d.fpr95_id_accept.value == pytest.approx(0.8)
    assert d.fpr95_ood_recall.value == pytest.approx(0.6)
    assert d.detection_accuracy.value == pytest.approx(0.7)
    assert (d.n_normal, d.n_abnormal, d.at) == (10, 5, 0.95)


def test_the_worked_example_at_another_share():
    assert fpr95_id_accept(NORMAL, ABNORMAL, at=0.8).value == pytest.approx(0.6)
    assert fpr95_ood_recall(NORMAL, ABNORMAL, at=0.8).value == pytest.approx(0.5)


def test_a_share_of_whole_samples_is_not_lost_to_rounding():
    assert 0.07 * 100 > 7  # in float64; yet 7 of 100 samples, scores 0 to 6, are 7%
    assert fpr95_id_accept(range(100), [6, 6.5], at=0.07, resamples=5).value == 0.5


def test_the_thresholds_of_the_worked_example():
    # confidence .20 accepts all normal, .75 flags all abnormal; at 80%: .40 and .65; the best accuracy is at .80
    assert (ABNORMAL <= -0.20).mean() == fpr95_id_accept(NORMAL, ABNORMAL).value
    assert (NORMAL >= -0.75).mean() == fpr95_ood_recall(NORMAL, ABNORMAL).value
    assert (ABNORMAL <= -0.40).mean() == fpr95_id_accept(NORMAL, ABNORMAL, at=0.8).value
    assert (NORMAL >= -0.65).mean() == fpr95_ood_recall(NORMAL, ABNORMAL, at=0.8).value
    best = ((NORMAL <= -0.80).mean() + (ABNORMAL > -0.80).mean()) / 2
    assert best == pytest.approx(detection_accuracy(NORMAL, ABNORMAL).value)


@settings(deadline=None, max_examples=80)
@given(SCORES, SCORES, st.sampled_from([0.05, 0.5, 0.8, 0.95, 1.0]))
def test_every_figure_agrees_with_its_definition_over_confidences(normal, abnormal, at):
    d = detection(normal, abnormal, at=at, resamples=3)
    assert values(d) == pytest.approx(by_confidence(-np.array(normal), -np.array(abnormal), at), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(SCORES, SCORES)
def test_swapped_groups_and_negated_scores_swap_the_twins(normal, abnormal):
    there = values(detection(normal, abnormal, resamples=3))
    back = values(detection(-np.array(abnormal), -np.array(normal), resamples=3))
    assert back == pytest.approx(there[[0, 2, 1, 4, 3, 5]], abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(SCORES)
def test_identical_groups_are_chance(scores):
    d = detection(scores, scores, at=1, resamples=3)
    assert values(d)[[0, 3, 4, 5]] == pytest.approx([0.5, 1, 1, 0.5])
    # precision is the prevalence, 1/2, at every threshold
    assert values(d)[1:3] == pytest.approx([0.5, 0.5])
    assert d.aupr_normal.baseline == 0.5


def test_each_figure_by_itself_is_that_of_all_at_once():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 20, 70), rng.integers(5, 30, 40)
    d = detection(x, y, at=0.9, resamples=200, seed=3)
    assert fpr95_id_accept(x, y, at=0.9, resamples=200, seed=3) == d.fpr95_id_accept
    assert fpr95_ood_recall(x, y, at=0.9, resamples=200, seed=3) == d.fpr95_ood_recall
    assert detection_accuracy(x, y, resamples=200, seed=3) == d.detection_accuracy
    assert aupr(x, y, positive="normal", resamples=200, seed=3) == d.aupr_normal
    assert aupr(x, y, resamples=200, seed=3) == d.aupr_abnormal


def test_the_order_of_samples_does_not_matter_and_infinity_is_a_rank():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=50), rng.normal(1, size=40)
    there = detection(x, y, resamples=100)
    assert detection(x[::-1], rng.permutation(y), resamples=100) == there
    x[x.argmin()], y[y.argmax()] = -np.inf, np.inf
    assert values(detection(x, y, resamples=100)) == pytest.approx(values(there))


def test_draws_are_the_figures_of_samples_drawn_with_replacement():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 15, 60), rng.integers(4, 20, 50)
    statistic = statistics_at(0.9)
    fast = np.concatenate(
        [
            np.stack([statistic[m](points) for m in MEASURES], 1)
            for (points,) in resampled(levels(x, y), resamples=1500, seed=0)
        ]
    )
    slow = np.array([by_confidence(-rng.choice(x, 60), -rng.choice(y, 50), 0.9) for _ in range(400)])
    for j, name in enumerate(MEASURES):
        assert stats.ks_2samp(fast[:, j], slow[:, j]).pvalue > 1e-3, name


@pytest.mark.parametrize("n", [100, 400])
def test_the_intervals_cover(n):
    rng, shift, hits = np.random.default_rng(11), 1.5, np.zeros(4)
    truth = [stats.norm.cdf(stats.norm.ppf(0.95) - shift)] * 2 + [stats.norm.cdf(shift / 2)]
    recall = (np.arange(20_000) + 0.5) / 20_000
    truth.append(np.mean(recall / (recall + stats.norm.sf(stats.norm.isf(recall) + shift))))  # prevalence 1/2
    for seed in range(150):
        d = detection(rng.normal(size=n), rng.normal(shift, size=n), resamples=150, seed=seed)
        for j, figure in enumerate(
            (d.fpr95_id_accept, d.fpr95_ood_recall, d.detection_accuracy, d.aupr_abnormal.figure)
        ):
            hits[j] += figure.low <= truth[j] <= figure.high
    assert (hits / 150 >= 0.89).all(), hits / 150


def test_perfect_groups_have_bounds_and_not_certainty():
    n = 100
    d = detection(np.arange(n), np.arange(n) + n)
    assert values(d).tolist() == pytest.approx([1, 1, 1, 0, 0, 1])
    held = 0.0125 ** (1 / n)  # at least this share of each group lies where all n were seen, both with 97.5%
    assert d.detection_accuracy.low == pytest.approx(held)
    assert d.fpr95_id_accept.high == pytest.approx(1 - held)  # the threshold stays below the abnormal: held > 0.95
    assert d.fpr95_ood_recall.high == pytest.approx(1 - held)
    # the rest of the normal comes before all abnormal: precision r/(r + 1 - held) up to recall held, in steps of held/n
    r = held * np.arange(1, n + 1) / n
    low = (held / n * r / (r + 1 - held)).sum() + (1 - held) / 2  # the abnormal at the bottom: precision 1/2
    assert d.aupr_abnormal.figure.low == pytest.approx(low)
    assert d.aupr_normal.figure.low == pytest.approx(low)
    assert d.detection_accuracy.interval == "extreme populations 95%"
    few = detection(np.arange(20), np.arange(20) + 20)
    assert few.fpr95_id_accept.high == 1  # 20 samples do not bound the 95% quantile of the normal


def test_reversed_and_equal_scores_have_width():
    for normal, abnormal in ((np.arange(9) + 9, np.arange(9)), (np.ones(9), np.ones(9)), ([1], [2])):
        d = detection(normal, abnormal, resamples=20)
        for figure in (d.aupr_normal.figure, d.aupr_abnormal.figure, d.detection_accuracy):
            assert figure.high - figure.low > 0.04


@pytest.mark.parametrize("measure", MEASURES)
def test_the_paired_difference_is_antisymmetric_and_zero_for_the_same_ranks(measure):
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=80), rng.normal(1, size=60)
    a, b = (x, y), (x + rng.normal(size=80), y + rng.normal(size=60))
    there, back = paired_bootstrap(measure, *a, *b), paired_bootstrap(measure, *b, *a)
    assert there.value == -back.value
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=0.03)  # of other draws
    assert there.value == pytest.approx(np.subtract(*(values(detection(*d))[MEASURES.index(measure)] for d in (b, a))))
    same = paired_bootstrap(measure, *a, np.exp(x), np.exp(y))
    assert same.value == 0
    assert same.low < 0 < same.high  # no draw differs, and that is not certainty


def test_the_paired_difference_agrees_with_delong_s():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=300), rng.normal(1, size=200)
    pair = x, y, x + rng.normal(0, 0.5, 300), y + rng.normal(0, 0.5, 200)
    ours, delong = paired_bootstrap("auroc", *pair, resamples=4000), compare_auroc(*pair).difference
    assert ours.value == pytest.approx(delong.value)
    assert (ours.low, ours.high) == pytest.approx((delong.low, delong.high), abs=0.003)


def test_the_paired_difference_does_not_depend_on_the_order_of_samples_but_on_their_pairs():
    rng = np.random.default_rng(7)
    xa, xb, ya, yb = (rng.integers(0, 9, 50) for _ in range(4))
    i, j = rng.permutation(50), rng.permutation(50)
    there = paired_bootstrap("fpr95_id_accept", xa, ya, xb, yb, at=0.7)
    assert paired_bootstrap("fpr95_id_accept", xa[i], ya[j], xb[i], yb[j], at=0.7) == there
    near = paired_bootstrap("auroc", xa, ya, xa + 0.1 * (xb > 4), ya)
    assert near.high - near.low < 0.5 * (there.high - there.low)


def test_twenty_thousand_scores_take_seconds():
    rng = np.random.default_rng(0)
    x, y, start = rng.normal(size=10_000), rng.normal(1, size=10_000), time.process_time()
    detection(x, y, resamples=1000)
    assert time.process_time() - start < 5  # 0.7 s


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: detection([], [1]), "normal is empty"),
        (lambda: detection([1], [np.nan, 2]), "abnormal has 1 missing"),
        (lambda: detection([1], [2], at=0), "at must lie"),
        (lambda: fpr95_id_accept([1], [2], at=95), "at must lie"),
        (lambda: fpr95_ood_recall([1, 2], [2], resamples=0), "resamples"),
        (lambda: detection([1, 2], [2], level=95), "level"),
        (lambda: aupr([1], [2], positive="in"), "positive 'in'"),
        (lambda: paired_bootstrap("auc", [1], [2], [1], [2]), "did you mean 'auroc'"),
        (lambda: paired_bootstrap("auroc", [1], [2], [1, 2], [2]), "normal_a 1, normal_b 2"),
        (lambda: paired_bootstrap("auroc", [1], [2], [1], [2], level=2), "inside \\(0, 1\\), not 2"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
