import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.selective import accuracy_at_coverage, aurc, excess_aurc, risk_coverage

ROWS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=40)


def naive_aurc(correct):
    """Mean risk over all prefixes of an order."""
    wrong = 1 - np.asarray(correct, float)
    return (wrong.cumsum() / np.arange(1, len(wrong) + 1)).mean()


def test_aurc_by_hand():
    # risks 0, 1/2, 1/3, 1/2; the best order has 0, 0, 1/3, 1/2; the worst 1, 1, 2/3, 1/2
    score, correct = [1, 2, 3, 4], [1, 0, 1, 0]
    assert aurc(score, correct).value == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert excess_aurc(score, correct).value == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4 - (1 / 3 + 1 / 2) / 4)
    assert aurc([1, 2, 3, 4], [0, 0, 1, 1]).value == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)
    assert excess_aurc([1, 2, 3, 4], [1, 1, 0, 0]).value == pytest.approx(0, abs=1e-15)


def test_tied_samples_are_averaged_over_all_their_orders():
    score, correct = np.array([1, 2, 2, 2, 2, 3, 3]), np.array([1, 1, 0, 0, 1, 0, 1])
    orders = [
        [0, *first, *second]
        for first in itertools.permutations([1, 2, 3, 4])
        for second in itertools.permutations([5, 6])
    ]
    assert aurc(score, correct).value == pytest.approx(np.mean([naive_aurc(correct[list(o)]) for o in orders]))
    for coverage in (1 / 7, 0.3, 0.5, 0.8, 1.0):
        i = int(np.ceil(coverage * 7))
        mean = np.mean([correct[list(o)][:i].mean() for o in orders])
        assert accuracy_at_coverage(score, correct, coverage).value == pytest.approx(mean)


@settings(deadline=None, max_examples=60)
@given(ROWS, st.randoms(), st.floats(0.01, 1))
def test_no_figure_depends_on_the_order_of_rows(rows, random, coverage):
    def figures(rows):
        score, correct = zip(*rows, strict=True)
        given = {"resamples": 5}
        return aurc(score, correct, **given), accuracy_at_coverage(score, correct, coverage, **given)

    there = figures(rows)
    random.shuffle(rows)
    assert figures(rows) == there


@settings(deadline=None, max_examples=60)
@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_without_ties_the_area_is_the_mean_of_all_risks(correct):
    score = np.arange(len(correct))
    figure, excess = aurc(score, correct, resamples=5), excess_aurc(score, correct, resamples=5)
    assert figure.value == pytest.approx(naive_aurc(correct))
    assert excess.value == pytest.approx(naive_aurc(correct) - naive_aurc(sorted(correct, reverse=True)), abs=1e-12)
    assert 0 <= excess.low <= excess.value


def test_a_score_without_information_has_the_error_as_its_area():
    # all tied: the risk at every coverage is the error rate
    correct = [1] * 30 + [0] * 10
    assert aurc(np.zeros(40), correct).value == pytest.approx(0.25)
    assert accuracy_at_coverage(np.zeros(40), correct, 0.3).value == pytest.approx(0.75)


def test_the_curve_by_hand_and_its_end_is_the_error():
    curve = risk_coverage([0.5, 0.1, 0.5, 0.9, 0.5], [1, 1, 0, 0, 1])
    assert curve.thresholds.tolist() == [0.1, 0.5, 0.9]
    assert curve.coverage == pytest.approx([0.2, 0.8, 1])
    assert curve.risk == pytest.approx([0, 1 / 4, 2 / 5])


def test_draws_are_those_of_samples_drawn_with_replacement():
    rng = np.random.default_rng(0)
    score = rng.integers(0, 8, 90)
    correct = rng.random(90) > score / 12
    slow = []
    for _ in range(1500):
        i = rng.integers(90, size=90)
        slow.append(
            (
                aurc(score[i], correct[i], resamples=1).value,
                accuracy_at_coverage(score[i], correct[i], 0.5, resamples=1).value,
            )
        )
    ends = np.quantile(slow, [0.025, 0.975], axis=0).T
    figure, accuracy = aurc(score, correct, resamples=4000), accuracy_at_coverage(score, correct, 0.5, resamples=4000)
    assert (figure.low, figure.high) == pytest.approx(ends[0], abs=0.01)
    assert accuracy.low <= ends[1, 0] + 0.015
    assert accuracy.high >= ends[1, 1] - 0.015


def test_the_intervals_cover():
    # score uniform, wrong with probability equal to it: risk at coverage c is c/2, so the area is 1/4
    rng, hits = np.random.default_rng(1), np.zeros(2)
    for seed in range(150):
        score = rng.random(300)
        correct = rng.random(300) > score
        area = aurc(score, correct, resamples=150, seed=seed)
        accuracy = accuracy_at_coverage(score, correct, 0.4, resamples=150, seed=seed)
        hits += area.low <= 0.25 <= area.high, accuracy.low <= 0.8 <= accuracy.high
    assert (hits / 150 >= 0.89).all(), hits / 150


def test_no_error_seen_is_not_certainty():
    n = 50
    u = 1 - 0.025 ** (1 / n)  # the error rate may be this, and all of it answered first: risk 1 up to u, then u/c
    figure = aurc(np.arange(n), np.ones(n))
    assert (figure.value, figure.low) == (0, 0)
    assert figure.high == pytest.approx(u * (1 + np.log(1 / u)), rel=0.15)  # the limit of many samples
    assert excess_aurc(np.arange(n), np.ones(n)).high > u
    assert accuracy_at_coverage(np.arange(n), np.ones(n), 0.5).low == pytest.approx(1 - u / 0.5, abs=0.01)
    assert aurc(np.arange(n), np.zeros(n)).low < 1
    assert excess_aurc(np.arange(20), np.arange(20) < 15).high > 0.1  # the best order in every resample


def test_ten_thousand_samples_take_seconds():
    rng, start = np.random.default_rng(0), time.process_time()
    aurc(rng.normal(size=10_000), rng.random(10_000) > 0.2)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aurc([], []), "score is empty"),
        (lambda: aurc([np.nan], [1]), "score has 1 missing"),
        (lambda: excess_aurc([1, 2], [1]), "score 2, correct 1"),
        (lambda: risk_coverage([1], [2]), "correct must be true or false"),
        (lambda: aurc([1], [1], resamples=0), "resamples"),
        (lambda: aurc([1], [1], level=0), "level"),
        (lambda: accuracy_at_coverage([1], [1], 0), "coverage"),
        (lambda: accuracy_at_coverage([1], [1], 80), "coverage"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
