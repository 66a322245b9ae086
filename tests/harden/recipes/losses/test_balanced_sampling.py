"""Balanced sampling: weights by hand, and how often classes are drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
from unshaken.data.resident import order
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.recipes.losses.balanced_sampling import BalancedSampling, imbalanced

LABELS = np.repeat([3, 5, 7], 1000)


@pytest.mark.parametrize(("ratio", "counts"), [(1, (1000, 1000)), (5, (1000, 200)), (10, (1000, 100))])
def test_two_classes(ratio, counts):
    rows = imbalanced(LABELS, ratio=ratio, classes=(5, 3))
    assert tuple((LABELS[rows] == c).sum() for c in (5, 3)) == counts
    assert (np.diff(rows) > 0).all()
    smaller = imbalanced(LABELS, ratio=ratio, classes=(5, 3), largest=500, seed=1)
    assert (LABELS[smaller] == 5).sum() == 500


def test_a_profile_over_three_classes():
    rows = imbalanced(LABELS, ratio=100)
    assert [(LABELS[rows] == c).sum() for c in (3, 5, 7)] == [1000, 100, 10]


def test_sets_are_nested_and_seeded():
    few, many = (imbalanced(LABELS, ratio=r, classes=(5, 3), seed=4) for r in (10, 2))
    assert set(few) < set(many)
    assert not np.array_equal(few, imbalanced(LABELS, ratio=10, classes=(5, 3), seed=5))


def test_the_largest_class_gives_way_where_the_smallest_is_short():
    labels = np.repeat([0, 1], [1000, 50])
    rows = imbalanced(labels, ratio=10)
    assert [(labels[rows] == c).sum() for c in (0, 1)] == [504, 50]


def test_a_class_keeps_one_row_at_least():
    rows = imbalanced(LABELS, ratio=5000, classes=(3, 5))
    assert [(LABELS[rows] == c).sum() for c in (3, 5)] == [1000, 1]
    few = imbalanced(LABELS, ratio=100, classes=(3, 5), largest=1)
    assert len(few) == 2


def test_bad_input():
    with pytest.raises(ParameterError, match="a finite number of at least 1, not inf"):
        imbalanced(LABELS, ratio=float("inf"))
    with pytest.raises(ParameterError, match="two or more, each once"):
        imbalanced(LABELS, ratio=2, classes=(3,))
    with pytest.raises(DataError, match="0 of the first class"):
        imbalanced(LABELS, ratio=2, largest=0)
    with pytest.raises(ParameterError, match=r"at least 1, not 0\.5"):
        imbalanced(LABELS, ratio=0.5)
    with pytest.raises(ParameterError, match="two or more, each once"):
        imbalanced(LABELS, ratio=2, classes=(3, 3))
    with pytest.raises(DataError, match="class 9 has no row"):
        imbalanced(LABELS, ratio=2, classes=(3, 9))
    with pytest.raises(DataError, match=r"1\.\.1000"):
        imbalanced(LABELS, ratio=2, classes=(3, 5), largest=2000)


def weights_of(recipe, net, rows, labels, samples):
    images, memory = torch.zeros(len(rows), 1, 8, 8), {}
    evaluate = lambda read: (rows, labels, read(images))  # noqa: E731
    recipe.begin(Setup(net(), images[:2], 3, 0, 1, 1, memory, lambda n: (images[:n], labels[:n]), samples, evaluate))
    return recipe.sampling(memory)


def test_weights_by_hand(net):
    rows, labels = torch.tensor([4, 0, 2, 5]), torch.tensor([1, 1, 1, 0])
    assert weights_of(BalancedSampling(), net, rows, labels, 6).tolist() == pytest.approx(
        [1 / 3, 0, 1 / 3, 0, 1 / 3, 1]
    )
    root = weights_of(BalancedSampling(power=0.5), net, rows, labels, 6)
    assert (root[5] / root[4]).item() == pytest.approx(3**0.5)
    assert weights_of(BalancedSampling(power=0), net, rows, labels, 6).tolist() == [1, 0, 1, 0, 1, 1]


def test_classes_are_drawn_as_often(net):
    labels = torch.tensor([0] * 3600 + [1] * 300 + [2] * 100)
    rows = torch.arange(4000)
    drawn = order(rows.numpy(), 0, 0, "order", weights_of(BalancedSampling(), net, rows, labels, 4000))
    shares = torch.bincount(labels[torch.from_numpy(drawn)], minlength=3) / 4000
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.03)
