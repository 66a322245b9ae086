"""Dawid and Skene's estimate: by hand, by its promise, and on readers whose care is known."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.dawid_skene import dawid_skene


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
def test_what_is_no_table_of_answers_is_refused(answers):
    with pytest.raises(ParameterError, match="answers are -1 or 0 to 2"):
        dawid_skene(answers, 3)


def test_a_reader_without_an_answer_may_say_anything_and_steps_end():
    found = dawid_skene(np.array([[0, 1, 2], [-1, -1, -1]]), 3)
    assert found.confusions[1] == pytest.approx(np.full((3, 3), 1 / 3))
    assert found.confusions[0] == pytest.approx(np.eye(3))
    assert len(found.log_likelihood) == 2  # the second step finds nothing to better
    assert found.accuracy == pytest.approx([1, 1 / 3])
