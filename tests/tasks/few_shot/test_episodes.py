"""Episodes: which samples they take, and classifiers whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import DataError, ParameterError
from unshaken.tasks.few_shot import (
    draw_episodes,
    knn_scores,
    prototype_scores,
    run_episodes,
)
from unshaken.tasks.few_shot.episodes import run_pair_episodes

LABELS = np.arange(60) % 6
SMALL = {"ways": 3, "shots": 2, "queries": 4, "episodes": 7}


def test_examples_and_queries_are_apart_and_of_their_classes():
    drawn = draw_episodes(LABELS, **SMALL)
    assert (drawn.support.shape, drawn.queries.shape) == ((7, 3, 2), (7, 3, 4))
    assert (LABELS[drawn.support] == drawn.classes[:, :, None]).all()
    assert (LABELS[drawn.queries] == drawn.classes[:, :, None]).all()
    for support, queries, classes in zip(drawn.support, drawn.queries, drawn.classes, strict=True):
        rows = [*support.flatten(), *queries.flatten()]
        assert len({*rows}) == len(rows)
        assert len({*classes}) == 3


def test_the_first_episodes_do_not_depend_on_their_number():
    few, many = draw_episodes(LABELS, **SMALL), draw_episodes(LABELS, **{**SMALL, "episodes": 20})
    assert (many.support[:7] == few.support).all()
    other = draw_episodes(LABELS, **SMALL, seed=1)
    assert (other.support != few.support).any()


def test_queries_may_come_from_another_pool():
    harder = np.repeat(np.arange(6), 5)
    drawn = draw_episodes(LABELS, **{**SMALL, "shots": 10}, query_labels=harder)
    assert (harder[drawn.queries] == drawn.classes[:, :, None]).all()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"ways": 7}, DataError, "6 classes have 2 examples and 4 queries, and an episode needs 7"),
        ({"shots": 7}, DataError, "0 classes have 7 examples and 4 queries.*10 samples"),
        ({"ways": 1}, ParameterError, "ways 1"),
        ({"shots": 0}, ParameterError, "shots 0"),
        ({"queries": 0}, ParameterError, "queries 0"),
        ({"episodes": 0}, ParameterError, "episodes 0"),
        ({"ways": 2.5}, ParameterError, "ways 2.5"),
        ({"query_labels": [9] * 20}, DataError, "0 classes"),
        ({"query_labels": [-1, *LABELS]}, DataError, "1 of 61 samples have no label"),
    ],
)
def test_episodes_that_cannot_be_drawn_are_refused(changed, error, message):
    with pytest.raises(error, match=message):
        draw_episodes(LABELS, **{**SMALL, **changed})


@pytest.mark.parametrize("scores", [prototype_scores, knn_scores])
def test_features_that_are_the_class_are_always_right(scores):
    drawn = draw_episodes(LABELS, **SMALL)
    assert run_episodes(drawn, torch.eye(6)[LABELS], scores).all()


def test_prototypes_average_unit_vectors():
    support = torch.tensor([[[[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [1.0, 0.0]]]])
    found = prototype_scores(support, torch.tensor([[[2.0, 0.0]]]))
    torch.testing.assert_close(found, torch.tensor([[[0.5**0.5, 1.0]]]))


def test_neighbours_vote_by_nearness():
    support = F.normalize(torch.tensor([[[[1.0, 0.0], [0.0, 1.0]], [[0.8, 0.6], [0.6, 0.8]]]]), dim=-1)
    query = torch.tensor([[[1.0, 0.0]]])
    assert knn_scores(support, query, k=1).tolist()[0][0][0] == pytest.approx(1)
    three = knn_scores(support, query, k=3, temperature=1.0)
    torch.testing.assert_close(three, torch.tensor([[[1.0, np.exp(-0.2) + np.exp(-0.4)]]], dtype=torch.float32))
    with pytest.raises(ParameterError, match="k must"):
        knn_scores(support, query, k=0)


def test_what_is_not_finite_is_refused():
    drawn, features, pairs = draw_episodes(LABELS, **SMALL), torch.eye(6)[LABELS], torch.zeros(60, 60)
    features[3, 1], pairs[3, 1] = torch.nan, torch.inf
    for call in (
        lambda: run_episodes(drawn, features),
        lambda: run_episodes(drawn, torch.eye(6)[LABELS], query_features=features),
        lambda: run_pair_episodes(drawn, pairs),
    ):
        with pytest.raises(DataError, match="of 1 of 60 samples are not finite, the first is row 3"):
            call()


def test_a_constant_scorer_is_at_chance():
    """It names the first class, which is right for one query in N."""
    drawn = draw_episodes(LABELS, **SMALL)
    assert run_pair_episodes(drawn, torch.zeros(60, 60)).mean() == pytest.approx(1 / 3)


def test_scores_of_pairs_are_those_of_prototypes_with_one_example():
    features = F.normalize(torch.randn(60, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    drawn = draw_episodes(LABELS, **{**SMALL, "shots": 1})
    assert (run_pair_episodes(drawn, features @ features.T) == run_episodes(drawn, features)).all()
    with pytest.raises(ParameterError, match="do not cover"):
        run_pair_episodes(drawn, torch.zeros(10, 10))
