"""Agreement of readers, by published examples and other programs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.agreement import alpha_figure, cohen_kappa, kappa_figure, krippendorff_alpha

KRIPPENDORFF = """
    1 2 3 3 2 1 4 1 2 . . .
    1 2 3 3 2 2 4 1 2 5 . 3
    . 3 3 3 2 3 4 2 2 5 1 .
    1 2 3 3 2 4 4 1 2 5 1 .
"""
"""Section C of Krippendorff's "Computing Krippendorff's Alpha-Reliability" (2011): four observers, twelve units."""


def krippendorffs_table():
    lines = [line.split() for line in KRIPPENDORFF.strip().splitlines()]
    return np.array([[-1 if word == "." else int(word) for word in line] for line in lines])


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    first = draw.integers(0, 4, 60)
    second = np.where(draw.random(60) < 0.6, first, draw.integers(0, 4, 60))
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_items_that_one_reader_left_out_do_not_count():
    first, second = np.array([0, 1, -1, 1, 0]), np.array([0, 1, 1, 0, -1])
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score([0, 1, 1], [0, 1, 0]))


def test_alpha_of_krippendorffs_own_example():
    assert krippendorff_alpha(krippendorffs_table()) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_two_readers_by_hand():
    # ten pairs of answers, 0 and 1 given 14 and 6 times, four pairs differ: D_o = 8/20, D_e = 2 * 14 * 6 / (20 * 19)
    first, second = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1, 0]), np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0])
    assert krippendorff_alpha(np.stack([first, second])) == pytest.approx(1 - (8 / 20) / (168 / 380))


@pytest.mark.parametrize(
    "answers",
    [[[0, 0], [0, 0]], [[0, 1, -1], [-1, -1, 1]], [[-1], [-1]], [[0, 1]]],
    ids=["same", "apart", "none", "one"],
)
def test_without_anything_to_agree_on_there_is_no_value(answers):
    answers = np.array(answers)
    assert krippendorff_alpha(answers) is None
    assert alpha_figure(answers) is None
    if len(answers) == 2:
        assert cohen_kappa(*answers) is None
        assert kappa_figure(*answers) is None


def test_full_agreement_is_one():
    answers = np.tile(np.array([0, 1, 2, 2]), (3, 1))
    assert krippendorff_alpha(answers) == 1
    figure = alpha_figure(answers)
    assert (figure.value, figure.high, figure.n) == (1, 1, 4)
    assert 0 < figure.low < 1 - 0.6  # of four items 60 % may be missed: 1 - 0.025^(1/4)


def test_the_interval_is_that_of_resampled_items():
    draw = np.random.default_rng(0)
    first = draw.integers(0, 3, 80)
    second = np.where(draw.random(80) < 0.7, first, draw.integers(0, 3, 80))
    resampled = []
    for _ in range(800):
        rows = draw.integers(0, 80, 80)
        resampled.append(
            (cohen_kappa(first[rows], second[rows]), krippendorff_alpha(np.stack([first, second])[:, rows]))
        )
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    for figure, i in ((kappa_figure(first, second), 0), (alpha_figure(np.stack([first, second])), 1)):
        assert (figure.low, figure.high) == pytest.approx((low[i], high[i]), abs=0.03)
        assert figure.n == 80


@pytest.mark.parametrize("answers", [np.array([0, 1]), np.array([[0.5]]), np.array([[-2]])])
def test_what_is_no_table_of_answers_is_refused(answers):
    with pytest.raises(ParameterError, match="whole numbers from 0, or -1"):
        krippendorff_alpha(answers)


def test_draws_in_which_all_answers_are_the_same_count_as_full_agreement():
    """Of five items, three are alike: 8 % of the resamples hold these alone."""
    first, second = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 0])
    for figure in (kappa_figure(first, second), alpha_figure(np.stack([first, second]))):
        assert figure.value < 0
        assert figure.high == 1
