"""How many labels are wrong: the interval from a stratified review covers the truth."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.labels.engine.review_sample import STRATA, ReviewSample, _even, draw_review, usable_beginning
from unshaken.measure import clopper_pearson
from unshaken.measure.statistics.intervals import stratified_share


def labels_wrong(rng, n, rate, skill):
    """Which of n labels are wrong, and a score that knows it more or less."""
    wrong = rng.random(n) < rate
    return wrong, rng.normal(0, 1, n) - skill * wrong


@pytest.mark.parametrize(("rate", "skill"), [(0.0, 0), (0.003, 3), (0.02, 2), (0.1, 0), (0.4, 1)])
def test_the_interval_covers(rate, skill):
    rng = np.random.default_rng(7)
    repeats, covered, widths = 80, 0, []
    for seed in range(repeats):
        wrong, score = labels_wrong(rng, 3000, rate, skill)
        sample = draw_review(score, 240, seed=seed)
        figure = sample.share_wrong(wrong[sample.indices])
        covered += figure.low <= wrong.mean() <= figure.high
        widths.append(figure.high - figure.low)
    assert covered >= 0.95 * repeats - 2 * (repeats * 0.05 * 0.95) ** 0.5
    assert np.mean(widths) < 0.25


@pytest.mark.parametrize("reviewed", [1, 4, 15, 60])
def test_every_beginning_of_a_review_is_a_sample(reviewed):
    rng = np.random.default_rng(3)
    repeats, covered, widths = 60, 0, []
    for seed in range(repeats):
        wrong, score = labels_wrong(rng, 2000, 0.15, 2)
        sample = draw_review(score, 60, seed=seed).first(reviewed)
        figure = sample.share_wrong(wrong[sample.indices])
        covered += figure.low <= wrong.mean() <= figure.high
        widths.append(figure.high - figure.low)
    assert covered >= 0.95 * repeats - 2 * (repeats * 0.05 * 0.95) ** 0.5
    assert figure.n == reviewed
    assert np.mean(widths) < {1: 1.01, 4: 0.97, 15: 0.75, 60: 0.4}[reviewed]


def test_a_stratum_that_nobody_has_reviewed_may_hold_anything():
    """Half of the set is known to be right, of the other half nothing is known."""
    figure = stratified_share([0, 0], [50, 0], [50, 50])
    assert (figure.low, figure.value, figure.high) == pytest.approx((0, 0, 0.5))


@pytest.mark.parametrize(
    ("answered", "usable"),
    [("111000", 3), ("110111", 6), ("000111", 0), ("010101", 0), ("100001", 1), ("111111", 6), ("0", 0), ("", 0)],
)
def test_the_usable_beginning_of_a_review(answered, usable):
    assert usable_beginning(np.array([letter == "1" for letter in answered], bool)) == usable


def test_the_share_so_far_by_hand():
    """Four of four are read, one is wrong and one unclear: 1/4 to 2/4; of one read of a thousand 0 to 0.975 is left."""
    whole = ReviewSample(np.arange(4), np.zeros(4, int), np.array([4]))
    found = whole.share_so_far(["right", "unclear", "wrong", "right"])
    assert (found.low, found.value, found.high, found.n) == (0.25, 0.375, 0.5, 4)
    one = ReviewSample(np.arange(40), np.zeros(40, int), np.array([1000]))
    assert one.share_so_far([None] * 40) is None
    first = one.share_so_far(["right", *[None] * 39])
    assert (first.low, first.value, first.n) == (0, 0, 1)
    assert first.high == pytest.approx(0.975, abs=1e-3)  # 1 - 0.025 ** (1 / 1) by Clopper and Pearson


@pytest.mark.parametrize("hard", ["right", "wrong"])
def test_the_share_so_far_covers_whatever_the_unclear_and_the_passed_over_are(hard):
    """Items that people cannot tell are all right ones, or all wrong ones; others are passed over."""
    rng = np.random.default_rng(5)
    repeats, covered = 150, 0
    for seed in range(repeats):
        wrong, score = labels_wrong(rng, 2000, 0.15, 2)
        sample = draw_review(score, 90, seed=seed)
        words = ["wrong" if bad else "right" for bad in wrong[sample.indices]]
        words = ["unclear" if word == hard and rng.random() < 0.3 else word for word in words]
        words = [None if i >= 40 or (word == hard and rng.random() < 0.2) else word for i, word in enumerate(words)]
        figure = sample.share_so_far(words)
        covered += figure.low <= wrong.mean() <= figure.high
    assert covered >= 0.95 * repeats - 2 * (repeats * 0.05 * 0.95) ** 0.5


def test_suspicion_narrows_the_interval():
    rng = np.random.default_rng(0)
    wrong, score = labels_wrong(rng, 20_000, 0.02, 4)
    sample, blind = draw_review(score, 300), draw_review(rng.random(20_000), 300)
    by_score, at_random = (s.share_wrong(wrong[s.indices]) for s in (sample, blind))
    assert by_score.high - by_score.low < 0.75 * (at_random.high - at_random.low)


def test_one_stratum_is_clopper_and_pearson():
    figure = stratified_share([3], [40], [1000])
    low, high = clopper_pearson(3, 40)
    assert (figure.low, figure.high) == pytest.approx((float(low), float(high)), abs=2e-3)


def test_what_was_reviewed_whole_is_known():
    figure = stratified_share([5, 0], [10, 30], [10, 30])
    assert figure.low == figure.value == figure.high == 5 / 40


def test_every_sample_is_drawn_once_and_strata_are_even():
    sample = draw_review(np.arange(1000.0), 120)
    assert len(set(sample.indices.tolist())) == 120
    assert np.bincount(sample.strata).tolist() == [16, 21, 21, 21, 21, 20]
    assert sample.sizes.sum() == 1000
    assert len(sample.sizes) == STRATA
    edges = np.concatenate([[0], np.cumsum(sample.sizes)])
    assert all(edges[s] <= i < edges[s + 1] for i, s in zip(sample.indices, sample.strata, strict=True))


def test_shares_fill_small_strata_first():
    assert _even(10, [1, 9, 9]) == [1, 5, 4]
    assert _even(19, [1, 9, 9]) == [1, 9, 9]


def test_bad_use():
    with pytest.raises(ParameterError, match="a review of 3 samples is not possible: choose 6 to 100"):
        draw_review(np.arange(100.0), 3)
    with pytest.raises(ParameterError, match="2 verdicts for 12 samples"):
        draw_review(np.arange(100.0), 12).share_wrong(np.zeros(2, bool))
    for hits, reviewed, size in (([1], [5], [4]), ([0, 0], [0, 0], [4, 4])):
        with pytest.raises(ParameterError, match=r"reviewed in 0\.\.size, 1 in all"):
            stratified_share(hits, reviewed, size)
