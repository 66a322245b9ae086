"""Label noise: transitions by hand, rates as drawn, and the same draw for a sample in any company."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.label_noise import (
    CONFUSED,
    MODELS,
    asymmetric,
    class_frequency,
    drawn_labels,
    pair,
    symmetric,
    uniform,
)
from unshaken.data.named import CIFAR10
from unshaken.data.selection import tail_counts


@pytest.mark.parametrize("name", MODELS)
def test_rows_of_transitions_sum_to_one(name):
    transition = MODELS[name](0.3, CIFAR10, range(1, 11))
    assert transition.sum(1).tolist() == pytest.approx([1.0] * 10)
    assert transition.min() >= 0


def test_transitions_of_four_classes():
    assert symmetric(0.3, "abcd")[1].tolist() == pytest.approx([0.1, 0.7, 0.1, 0.1])
    assert uniform(0.3, "abcd")[1].tolist() == pytest.approx([0.075, 0.775, 0.075, 0.075])
    assert pair(0.3, "abcd")[3].tolist() == pytest.approx([0.3, 0, 0, 0.7])


def test_asymmetric_noise_halves_over_cifar10():
    transition = asymmetric(0.4, CIFAR10)
    assert 1 - np.trace(transition) / 10 == pytest.approx(0.2)
    assert transition[CIFAR10.index("cat"), CIFAR10.index("dog")] == 0.4
    assert sum(row.max() < 1 for row in transition) == len(CONFUSED)


def test_class_frequency_noise_of_a_long_tail():
    """Cifar-10 at an imbalance of 100: rows of the transition, and how many of each class's labels are then right."""
    counts = np.array(tail_counts(5000, 10, 100))
    found = class_frequency(0.4, CIFAR10, counts)
    first = [0.6, 0.1619, 0.0970, 0.0582, 0.0348, 0.0209, 0.0125, 0.0075, 0.0045, 0.0027]
    assert found[0].tolist() == pytest.approx(first, abs=6e-5)
    last = [0.1619, 0.0970, 0.0581, 0.0349, 0.0209, 0.0125, 0.0075, 0.0045, 0.0027, 0.6]
    assert found[9].tolist() == pytest.approx(last, abs=6e-5)
    given = counts @ found
    assert given.round().tolist() == [4422, 3078, 1952, 1202, 730, 442, 266, 160, 96, 58]
    right = [0.678, 0.584, 0.552, 0.537, 0.530, 0.526, 0.523, 0.522, 0.521, 0.520]
    assert (0.6 * counts / given).tolist() == pytest.approx(right, abs=6e-4)
    with pytest.raises(DataError, match="needs samples of two classes"):
        class_frequency(0.4, "ab", [5, 0])


def test_the_realised_rate_is_stored_and_near_the_stated_one():
    clean, noisy = load_data("demo"), load_data("demo?noise=symmetric:0.4")
    assert noisy.realised_noise == np.mean(clean.labels != noisy.labels)
    assert noisy.realised_noise == pytest.approx(0.4, abs=0.06)
    assert clean.realised_noise is None
    assert clean.fingerprint != noisy.fingerprint
    assert load_data("demo?noise=uniform:0.4").realised_noise == pytest.approx(0.36, abs=0.06)
    assert np.array_equal(noisy.read(5), clean.read(5))


def test_a_draw_follows_from_seed_and_id_alone():
    ids, labels = [f"s{i}" for i in range(50)], np.arange(50) % 4
    transition = symmetric(0.5, "abcd")
    whole = drawn_labels(labels, transition, ids, 3)
    part = drawn_labels(labels[10:20], transition, ids[10:20], 3)
    assert np.array_equal(whole[10:20], part)
    assert not np.array_equal(whole, drawn_labels(labels, transition, ids, 4))
    assert drawn_labels(np.array([-1, 2]), transition, ["a", "b"])[0] == -1


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ("symetric:0.4", "no noise 'symetric'; did you mean 'symmetric'"),
        ("symmetric", r"noise=symmetric is not of the form MODEL:RATE\[:SEED\]"),
        ("symmetric:1.2", "not of the form"),
        ("symmetric:nan", "not of the form"),
        ("symmetric:0.4:-1", "not of the form"),
        ("asymmetric:0.4", "defined for the classes of CIFAR-10"),
    ],
)
def test_wrong_noise_is_told(noise, message):
    with pytest.raises(DataError, match=message):
        load_data(f"demo?noise={noise}")
