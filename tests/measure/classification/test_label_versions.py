"""Models under two versions of the labels, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.classification.label_versions import compare_versions

BEFORE = np.array([0, 0, 1, 1, 2, 2, -1, 0])
AFTER = np.array([0, 1, 1, 1, 2, 1, 2, -1])
MODELS = {"a": np.array([0, 0, 1, 1, 2, 0, 2, 0]), "b": np.array([0, 1, 1, 0, 2, 1, 2, 0]), "c": np.array([2] * 8)}


def test_accuracy_ranks_swaps_and_moves():
    found = compare_versions(MODELS, BEFORE, AFTER)
    assert (found.samples, found.changed, found.removed) == (6, 2, 1)
    assert {name: (m.before.value, m.after.value) for name, m in found.models.items()} == {
        "b": (3 / 6, 5 / 6),
        "a": (5 / 6, 4 / 6),
        "c": (2 / 6, 1 / 6),
    }
    assert list(found.models) == ["b", "a", "c"]
    assert [(m.rank_before, m.rank_after) for m in found.models.values()] == [(2, 1), (1, 2), (3, 3)]
    (swap,) = found.swaps
    assert (swap.models, swap.before.difference.value, swap.after.difference.value) == (("a", "b"), -2 / 6, 1 / 6)
    assert found.moves == ((0, 1, 1), (2, 1, 1))
    assert found.confusions == ((1, 2, 3, 4), (0, 2, 3, 1), (0, 1, 2, 3))
    assert found.models["b"].change.gained == 2
    assert found.to_json()["models"]["a"]["difference"]["value"] == pytest.approx(-1 / 6)


def test_the_same_labels_change_nothing():
    found = compare_versions(MODELS, BEFORE, BEFORE)
    assert (found.changed, found.removed, found.swaps, found.moves) == (0, 0, (), ())
    assert all(m.change.p_value == 1 for m in found.models.values())


def test_equal_models_share_their_rank():
    found = compare_versions({"a": MODELS["a"], "twin": MODELS["a"]}, BEFORE, AFTER)
    assert [m.rank_after for m in found.models.values()] == [1.5, 1.5]


def test_labels_are_compared_without_a_model():
    found = compare_versions({}, BEFORE, AFTER)
    assert (found.samples, found.changed, found.removed) == (6, 2, 1)
    assert (found.models, found.swaps, found.confusions) == ({}, (), ())


@pytest.mark.parametrize(
    ("models", "after", "why"),
    [
        (MODELS, AFTER[:3], "8 labels before and 3 after"),
        (MODELS, np.full(8, -1), "a label in both versions"),
        ({"a": np.array([1])}, AFTER, "a has 1 predictions for 8 labels"),
    ],
)
def test_wrong_use_is_told(models, after, why):
    with pytest.raises(ParameterError, match=why):
        compare_versions(models, BEFORE, after)
