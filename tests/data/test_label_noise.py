"""Label noise: transitions by hand, rates as drawn, and the same draw for a sample in any company."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.label_noise import CONFUSED, MODELS, asymmetric, drawn_labels, pair, symmetric, uniform
from unshaken.data.named import CIFAR10


@pytest.mark.parametrize("name", MODELS)
def test_rows_of_transitions_sum_to_one(name):
    transition = MODELS[name](0.3, CIFAR10)
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
