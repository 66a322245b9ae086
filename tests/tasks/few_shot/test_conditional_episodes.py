"""Episodes by a conditional head: the regression of the publication, and its limiting case."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tasks.few_shot.test_conditional import head, maps
from unshaken.core.errors import DataError
from unshaken.tasks.few_shot import draw_episodes
from unshaken.tasks.few_shot.conditional_episodes import run_conditional_episodes

__all__ = ["head"]
linear = pytest.importorskip("sklearn.linear_model")
LABELS = np.arange(12) % 3
EPISODES = draw_episodes(LABELS, ways=3, shots=2, queries=2, episodes=2)


def by_hand(episodes, examples, answers):
    """`examples` and `answers` give representations of rows, for a query."""
    found = np.zeros(episodes.queries.shape, bool)
    for e, i, j in np.ndindex(*episodes.queries.shape):
        query, rows = episodes.queries[e, i, j], episodes.support[e].ravel()
        model = linear.LogisticRegression(max_iter=1000).fit(examples(query, rows), np.arange(3).repeat(2))
        found[e, i, j] = model.predict(answers(query, rows)[None])[0] == i
    return found


def test_examples_and_answers_are_those_of_each_query(head):
    s, q = maps(12), maps(12, 1)

    def pairs(query, rows):
        with torch.no_grad():
            return head.represent(s[rows], q[[query] * len(rows)])

    found = run_conditional_episodes(head, EPISODES, s, q)
    expected = by_hand(
        EPISODES, lambda query, rows: pairs(query, rows).support.double().numpy(),
        lambda query, rows: pairs(query, rows).query.double().mean(0).numpy(),
    )  # fmt: skip
    assert (found == expected).all()


def test_without_what_the_head_adds_it_is_the_regression_of_pooled_maps(head):
    with torch.no_grad():
        head.self_attention.last.weight.zero_()
        head.self_attention.last.bias.zero_()
    centres = torch.eye(16)[LABELS][:, :, None, None]
    s, q = maps(12) * 0.3 + centres, maps(12, 1) * 0.3 + centres
    pooled = [(m.mean((2, 3)) / 2).double().numpy() for m in (s, q)]
    found = run_conditional_episodes(head.train(), EPISODES, s, q)
    assert head.training
    assert (found == by_hand(EPISODES, lambda query, rows: pooled[0][rows], lambda query, _: pooled[1][query])).all()
    assert found.mean() > 0.8


def test_what_cannot_be_classified_is_refused(head):
    with pytest.raises(DataError, match="do not cover the episodes"):
        run_conditional_episodes(head, EPISODES, maps(3), maps(12))
    with pytest.raises(DataError, match="not finite"):
        run_conditional_episodes(head, EPISODES, maps(12) * torch.inf, maps(12))
