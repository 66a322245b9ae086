"""Classes in another order than the model's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from unshaken.run.flags import check_order_of_classes, exchanged_classes

RNG = np.random.default_rng(0)


def confused(order, n=20, right=0.9):
    """Labels, and predictions that mostly are `order[label]`, else any class."""
    labels = np.repeat(np.arange(len(order)), n)
    return labels, np.where(
        RNG.random(len(labels)) < right, np.array(order)[labels], RNG.integers(0, len(order), len(labels))
    )


@pytest.mark.parametrize("order", [[1, 2, 3, 4, 0], [1, 0, 2, 3, 4], [9, 3, 2, 7, 8, 5, 6, 1, 4, 0]])
def test_a_permutation_is_found(order):
    assert exchanged_classes(*confused(order)) == {k: v for k, v in enumerate(order) if k != v}


def test_positions_in_a_larger_order_are_found():
    """Five folders, two photos each, whose labels are 0 to 4 and whose classes are elsewhere."""
    labels = np.repeat(np.arange(5), 2)
    assert exchanged_classes(labels, labels * 3 + 250) == {k: 3 * k + 250 for k in range(5)}


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [
        confused(range(10)),
        confused([0] * 10),  # one class for all
        confused([1, 1, 2, 3]),  # class 0 is taken for class 1, which stands where it should
        confused([1, 0, 2, 3], right=0.4),  # often, not mostly
        ([0, 0, 1, 1], [1, 1, 0, 0]),  # too few to say
        (np.repeat(np.arange(500), 2), np.repeat(np.r_[1, 0, 3, 2, 5, 4, 7, 6, 8:500], 2)),  # chance among many classes
        ([0] * 20, [-1] * 20),
    ],
)
def test_other_mistakes_are_no_permutation(labels, predictions):
    assert exchanged_classes(labels, predictions) == {}


def test_the_flag_names_the_permutation():
    labels = [0] * 10 + [1] * 10
    columns = {"condition": ["clean"] * 20, "label": labels, "prediction": [1 - k for k in labels]}
    (flag,) = check_order_of_classes(pa.table(columns), ["cat", "dog"])
    assert flag.name == "permuted-classes"
    assert flag.detail == (
        "'cat' is predicted as 'dog', 'dog' is predicted as 'cat'; exchanged so, 100.0% of the predictions are right, "
        "not 0.0%"
    )
