"""Agreement of readers, by published examples and other programs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.agreement import (
    alpha_figure,
    dawid_skene,
    kappa_figure,
)

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
    assert kappa_figure(first, second).value == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_items_that_one_reader_left_out_do_not_count():
    first, second = np.array([0, 1, -1, 1, 0]), np.array([0, 1, 1, 0, -1])
    assert kappa_figure(first, second).value == pytest.approx(cohen_kappa_score([0, 1, 1], [0, 1, 0]))


def test_alpha_of_krippendorffs_own_example():
    assert alpha_figure(krippendorffs_table()).value == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_two_readers_by_hand():
    # ten pairs of answers, 0 and 1 given 14 and 6 times, four pairs differ: D_o = 8/20, D_e = 2 * 14 * 6 / (20 * 19)
    first, second = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1, 0]), np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0])
    assert alpha_figure(np.stack([first, second])).value == pytest.approx(1 - (8 / 20) / (168 / 380))


@pytest.mark.parametrize(
    "answers",
    [[[0, 0], [0, 0]], [[0, 1, -1], [-1, -1, 1]], [[-1], [-1]], [[0, 1]]],
    ids=["same", "apart", "none", "one"],
)
def test_without_anything_to_agree_on_there_is_no_value(answers):
    answers = np.array(answers)
    assert alpha_figure(answers) is None
    if len(answers) == 2:
        assert kappa_figure(*answers) is None


def test_full_agreement_is_one():
    answers = np.tile(np.array([0, 1, 2, 2]), (3, 1))
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
            (
                kappa_figure(first[rows], second[rows], resamples=1).value,
                alpha_figure(np.stack([first, second])[:, rows], resamples=1).value,
            )
        )
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    for figure, i in ((kappa_figure(first, second), 0), (alpha_figure(np.stack([first, second])), 1)):
        assert (figure.low, figure.high) == pytest.approx((low[i], high[i]), abs=0.03)
        assert figure.n == 80


@pytest.mark.parametrize("answers", [np.array([0, 1]), np.array([[0.5]]), np.array([[-2]])])
def test_what_is_no_table_of_answers_is_refused(answers):
    with pytest.raises(ParameterError, match="whole numbers from 0, or -1"):
        alpha_figure(answers)


def test_draws_in_which_all_answers_are_the_same_count_as_full_agreement():
    """Of five items, three are alike: 8 % of the resamples hold these alone."""
    first, second = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 0])
    for figure in (kappa_figure(first, second), alpha_figure(np.stack([first, second]))):
        assert figure.value < 0
        assert figure.high == 1


def readers(accuracies, n=2000, classes=3, seed=0):
    """True categories, and answers of readers who are right with these probabilities."""
    draw = np.random.default_rng(seed)
    truth = draw.choice(classes, n, p=[0.5, 0.3, 0.2])
    wrong = (truth + draw.integers(1, classes, (len(accuracies), n))) % classes
    return truth, np.where(draw.random((len(accuracies), n)) < np.array(accuracies)[:, None], truth, wrong)


def test_care_of_the_readers_and_true_answers_are_found():
    truth, answers = readers([0.95, 0.9, 0.6, 0.55, 0.5])
    found = dawid_skene(answers, 3)
    assert found.accuracy == pytest.approx([0.95, 0.9, 0.6, 0.55, 0.5], abs=0.04)
    assert found.shares == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
    votes = (answers[..., None] == np.arange(3)).sum(0).argmax(1)
    assert (found.posterior.argmax(1) == truth).mean() > (votes == truth).mean() + 0.05


def test_the_likelihood_rises_at_each_step():
    _, answers = readers([0.8, 0.6, 0.5], n=200)
    answers[0, :50] = -1
    likelihood = np.array(dawid_skene(answers, 3).log_likelihood)
    assert len(likelihood) > 5
    assert (np.diff(likelihood) > -1e-9).all()


def test_one_step_by_hand():
    # Items 1 and 2: both say 0 and both say 1; item 3: they differ. Shares of votes: (1, 0), (0, 1), (1/2, 1/2).
    answers = np.array([[0, 1, 0], [0, 1, 1]])
    found = dawid_skene(answers, 2, steps=1)
    assert found.shares == pytest.approx([0.5, 0.5])
    assert found.confusions[0] == pytest.approx(np.array([[1, 0], [1 / 3, 2 / 3]]))
    # item 3 by the first step: p(0) ~ 1/2 * 1 * 1/3, p(1) ~ 1/2 * 1/3 * 1
    assert found.posterior[2] == pytest.approx([0.5, 0.5])
    assert found.posterior[0] == pytest.approx([1, 0])  # 1/2 * 1 * 2/3 against 1/2 * 1/3 * 0


def test_items_without_an_answer_have_the_shares():
    found = dawid_skene(np.array([[0, 0, 1, -1]]), 2)
    assert found.posterior[3] == pytest.approx(found.shares)
    assert found.shares == pytest.approx([2 / 3, 1 / 3])


@pytest.mark.parametrize("answers", [np.array([[-1]]), np.array([[3]]), np.array([[-2, 0]]), np.array([0])])
def test_readers_without_a_table_of_answers_are_refused(answers):
    with pytest.raises(ParameterError, match="answers are -1 or 0 to 2"):
        dawid_skene(answers, 3)


def test_a_reader_without_an_answer_may_say_anything_and_steps_end():
    found = dawid_skene(np.array([[0, 1, 2], [-1, -1, -1]]), 3)
    assert found.confusions[1] == pytest.approx(np.full((3, 3), 1 / 3))
    assert found.confusions[0] == pytest.approx(np.eye(3))
    assert len(found.log_likelihood) == 2  # the second step finds nothing to better
    assert found.accuracy == pytest.approx([1, 1 / 3])
