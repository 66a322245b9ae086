"""Prediction sets: scores by hand and by a slow reference, thresholds by simulation, and what is refused."""

import math

import numpy as np
import pytest
from scipy import stats

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.conformal import conformal_threshold
from unshaken.measure.prediction_sets import (
    box_margin,
    effective_samples,
    group_thresholds,
    missed_shares,
    own_scores,
    risk_threshold,
    set_figures,
    set_scores,
    weighted_thresholds,
)

P = np.array([[0.5, 0.1, 0.1, 0.3], [0.25, 0.25, 0.25, 0.25]])


def probabilities(n, k, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(k, 0.4), n)


def test_scores_by_hand():
    np.testing.assert_allclose(set_scores(P, "lac"), 1 - P)
    np.testing.assert_allclose(set_scores(P, "aps"), [[0.5, 0.9, 1.0, 0.8], [0.25, 0.5, 0.75, 1.0]])
    half = set_scores(P, "aps", draws=[0.5, 1.0])
    np.testing.assert_allclose(half, [[0.25, 0.85, 0.95, 0.65], [0, 0.25, 0.5, 0.75]])
    raps = set_scores(P, "raps", draws=[0, 0], penalty=0.2, free=2)
    np.testing.assert_allclose(raps, [[0.5, 1.1, 1.4, 0.8], [0.25, 0.5, 0.95, 1.4]])


@pytest.mark.parametrize("score", ["aps", "raps"])
def test_scores_are_those_of_a_loop_over_classes(score):
    p, u = probabilities(40, 7), np.random.default_rng(1).random(40)
    found = set_scores(p, score, draws=u, penalty=0.03, free=2)
    for i, row in enumerate(p.tolist()):
        for k, own in enumerate(row):
            above = [v for v in row if v > own]
            expected = math.fsum(above) + own - u[i] * own
            expected += 0.03 * max(0, len(above) + 1 - 2) if score == "raps" else 0
            assert found[i, k] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("score", ["lac", "aps", "raps"])
def test_coverage_of_one_calibration_follows_its_beta_law(score):
    """True labels are drawn from the probabilities: the coverage of each calibration is Beta(k, n + 1 - k)."""
    rng, n, k, rounds = np.random.default_rng(3), 39, 5, 400
    table = probabilities(rounds * n + 20_000, k, 4)
    labels = (table.cumsum(1) > rng.random((len(table), 1))).argmax(1)
    own = own_scores(set_scores(table, score, draws=rng.random(len(table)), free=1), labels)
    later = np.sort(own[rounds * n :])
    thresholds = np.array([conformal_threshold(part, 0.9).value for part in own[: rounds * n].reshape(rounds, n)])
    covered = np.searchsorted(later, thresholds, side="right") / len(later)
    assert stats.kstest(covered, stats.beta(36, 4).cdf).pvalue > 0.001
    assert abs(covered.mean() - 0.9) < 4 * stats.beta(36, 4).std() / math.sqrt(rounds) + 4 * 0.3 / math.sqrt(20_000)


def test_each_group_keeps_the_promise_where_one_threshold_does_not():
    rng = np.random.default_rng(0)
    groups = rng.integers(2, size=40_000)
    scores = rng.random(40_000) * (1 + groups)  # those of group 1 are twice as large
    common = conformal_threshold(scores[:20_000], 0.9).value
    found = group_thresholds(scores[:20_000], groups[:20_000].tolist(), 0.9)
    later, where = scores[20_000:], groups[20_000:]
    assert (later[where == 1] <= common).mean() < 0.85
    for g in (0, 1):
        assert found[g].value == conformal_threshold(scores[:20_000][groups[:20_000] == g], 0.9).value
        assert abs((later[where == g] <= found[g].value).mean() - 0.9) < 0.015


def test_weighted_thresholds_are_those_of_a_plain_search():
    rng = np.random.default_rng(5)
    scores, w, new = rng.integers(0, 20, 60).astype(float), rng.exponential(size=60), rng.exponential(size=9) * 5
    found = weighted_thresholds(scores, w, new, 0.8)
    for value, own in zip(found, new, strict=True):
        enough = [s for s in sorted(scores) if w[scores <= s].sum() >= 0.8 * (w.sum() + own)]
        assert value == (enough[0] if enough else math.inf)


@pytest.mark.parametrize("n", [4, 9, 19, 57])
@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_equal_weights_give_the_plain_threshold(n, coverage):
    scores = np.random.default_rng(n).permutation(n).astype(float)
    expected = conformal_threshold(scores, coverage).value
    for size in (1.0, 0.1, 1e-300, 1e300):
        assert weighted_thresholds(scores, np.full(n, size), [size], coverage).tolist() == [expected]


def test_known_ratios_bring_back_the_coverage_that_a_shift_takes():
    """Scores rise with x; x is uniform at first and has the density 2x later, so that w(x) = 2x."""
    rng = np.random.default_rng(2)
    x, y = rng.random(4000), np.sqrt(rng.random(4000))
    score_x, score_y = x**2 + 0.1 * rng.random(4000), y**2 + 0.1 * rng.random(4000)
    plain = (score_y <= conformal_threshold(score_x, 0.8).value).mean()
    mended = (score_y <= weighted_thresholds(score_x, 2 * x, 2 * y, 0.8)).mean()
    assert plain < 0.7
    assert abs(mended - 0.8) < 0.04
    assert effective_samples(2 * x) == pytest.approx(3000, rel=0.05)  # n (E w)^2 / E w^2 = n 3/4


def test_risk_control_keeps_the_mean_loss_exactly_and_is_not_idle():
    """Losses fall to 0 at a uniform step: the mean over all calibrations is at most the risk, and near it."""
    rng, steps = np.random.default_rng(1), np.arange(200) / 200
    risks = []
    for _ in range(300):
        table = (rng.random((30, 1)) > steps).astype(float)
        t = risk_threshold(table, 0.2)
        risks.append(1 - steps[t])  # true risk of the step: P(U > steps)
    assert 0.2 - 1 / 31 - 0.015 < np.mean(risks) <= 0.2 + 3 * np.std(risks) / math.sqrt(300)


def test_missed_shares_are_counted():
    rng = np.random.default_rng(0)
    p, mask = rng.random((8, 9)).round(1), rng.random((8, 9)) < 0.4
    thresholds = np.linspace(1, 0, 11).round(1)
    expected = [(mask & ~(p >= t)).sum() / mask.sum() for t in thresholds]
    assert missed_shares(p, mask, thresholds).tolist() == pytest.approx(expected, abs=1e-15)
    assert missed_shares(p, np.zeros((8, 9), bool), [0.5]).tolist() == [0]


def test_the_margin_of_boxes_is_that_of_their_worst_side():
    truth = {str(i): [[0, 0, 10, 10], [20, 20, 30, 30]] for i in range(9)}
    boxes = {str(i): [[0, 0, 10, 10], [20 + i, 20, 30, 30]] for i in range(9)}  # side x1 is i too far inside
    assert box_margin(boxes, truth, 0.8).value == 7
    assert math.isinf(box_margin(boxes, truth, 0.95).value)


def test_figures_of_sets_by_hand():
    sets = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]], bool)
    found = set_figures(sets, [0, 0, 2, 0])
    assert {name: one.value for name, one in found.items()} == {
        "coverage": 0.5, "set_size": 1.25, "single": 0.5, "empty": 0.25
    }  # fmt: skip
    assert all(one.n == 4 and one.low < one.value < one.high for one in found.values())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: set_scores([[0.5, 0.6]]), "sum to 1, but 1 of 1 do not, such as number 0 with the sum 1.1"),
        (lambda: set_scores([[float("nan"), 1.0]]), "sum to 1"),
        (lambda: set_scores([0.5, 0.5]), r"\[N, K\]"),
        (lambda: set_scores(P, "top"), "score 'top' is not one of"),
        (lambda: set_scores(P, draws=[0.5]), "differ|2|1"),
        (lambda: set_scores(P, draws=[0.5, 2]), r"draws must lie in \[0, 1\]"),
        (lambda: set_scores(P, "raps", penalty=-1), "penalty=-1"),
        (lambda: own_scores(P, [0, 4]), r"labels must lie in 0..3, but 4"),
        (lambda: group_thresholds([1, 2], ["a"]), "2 calibration scores and 1 groups"),
        (lambda: weighted_thresholds([1], [0], [1]), "weights are all 0"),
        (lambda: weighted_thresholds([1], [-1], [1]), "weights must lie in"),
        (lambda: weighted_thresholds([1], [math.inf], [1]), "weights must lie in"),
        (lambda: weighted_thresholds([1], [1], [1], 1), "coverage must lie inside"),
        (lambda: effective_samples([0.0]), "all 0"),
        (lambda: set_figures([[1, 0]], [0]), "sets must be bool"),
        (lambda: risk_threshold([[0.0, 1.0]], 0.5), "never rise"),
        (lambda: risk_threshold([[2.0]], 0.5), r"\[0, 1\]"),
        (lambda: risk_threshold([[0.5]], 1.5), "risk=1.5"),
        (lambda: risk_threshold([], 0.5), r"\[n, T\]"),
        (lambda: missed_shares([0.5], [1], [0.5]), "a mask must be bool"),
        (lambda: missed_shares([1.5], [True], [0.5]), "probabilities must lie in"),
        (lambda: box_margin({"a": [[0, 0, 1, 1]]}, {"b": [[0, 0, 1, 1]]}), "ids must be the same"),
        (lambda: box_margin({"a": [[0, 0, 1]]}, {"a": [[0, 0, 1]]}), r"must both be \[M, 4\]"),
    ],
)
def test_what_is_wrong_is_said(call, words):
    with pytest.raises(ParameterError, match=words):
        call()
