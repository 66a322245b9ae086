"""Label sharpness: values by hand, against all distances, in blocks, and bad input."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from unshaken.core.errors import DataError, ParameterError
from unshaken.explain.geometry.neighbours import closest_pairs, count_pairs
from unshaken.explain.geometry.sharpness import class_matrix, label_sharpness

POINTS = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0], [3.0, 4.5]])
LABELS = torch.tensor([0, 0, 1, 1])


def value(points, labels=LABELS, **options):
    found = label_sharpness(points, labels, draws=5, **options)
    return found.largest.value


def test_four_points_by_hand():
    found = label_sharpness(POINTS, LABELS, draws=5)
    assert found.largest.value == 2.0
    assert sorted(found.pair) == [1, 3]
    assert found.total == 4
    assert value(POINTS) != pytest.approx(0.216930, abs=1e-3)  # what equal labels in the numerator would give


def test_scale_padding_channels_and_permuted_labels():
    assert value(255 * POINTS) == pytest.approx(2.0 / 255, rel=1e-12)
    assert value(torch.cat([POINTS, torch.zeros(4, 5)], 1)) == 2.0
    assert value(POINTS.repeat(1, 3)) == pytest.approx(2 / math.sqrt(3))
    assert value(POINTS, 1 - LABELS) == 2.0


def test_more_samples_never_lower_it():
    points = torch.rand(60, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 3
    values = [value(points[:n], labels[:n]) for n in range(4, 61, 8)]
    assert all(later >= (1 - 1e-12) * earlier for earlier, later in pairwise(values))
    assert values[-1] > 1.5 * values[0]


def test_equal_images_with_two_labels_are_named_and_have_no_number():
    points = torch.cat([POINTS, POINTS[:1]])
    found = label_sharpness(points, torch.tensor([0, 0, 1, 1, 1]), draws=5)
    assert found.largest is None
    assert sorted(found.pair) == [0, 4]
    assert found.identical == 1


@pytest.mark.parametrize("block", [13, 50, 1000])
def test_all_pairs_are_compared_whatever_the_blocks(block):
    points = torch.rand(120, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(120) % 4
    whole = cdist(points.double(), points.double())
    upper = np.triu(labels[:, None].numpy() != labels[None].numpy(), 1)
    exact = np.sort(whole[upper])
    found = closest_pairs(points, labels, 300, block=block)
    assert found.total == len(exact) == count_pairs(labels)
    assert np.allclose(found.distances, exact[:300], rtol=1e-12)
    assert (labels[found.first] != labels[found.second]).all()
    assert found.sharpness(0.99) == pytest.approx(1 / exact[math.ceil(0.01 * len(exact)) - 1])


def test_near_equal_images_keep_their_digits():
    points = torch.rand(40, 3072, generator=torch.Generator().manual_seed(0)).double() + 1000
    points[1] = points[0]
    points[1, 0] += 1e-7
    labels = torch.arange(40) % 2
    assert value(points, labels) == pytest.approx(1 / (points[1, 0] - points[0, 0]).item(), rel=1e-12)


def test_intervals_hold_their_values_and_the_maximum_is_open_above():
    points = torch.rand(300, 3, generator=torch.Generator().manual_seed(2))
    found = label_sharpness(points, torch.arange(300) % 2, quantile=0.99, draws=40)
    assert 0 < found.largest.low < found.largest.value
    assert found.largest.high == math.inf
    assert 0 < found.quantile.low < found.quantile.value < found.quantile.high < found.largest.value


def test_the_interval_of_the_quantile_has_the_spread_of_new_data_or_is_wider():
    drawn = []
    for seed in range(25):
        points = torch.rand(200, 2, generator=torch.Generator().manual_seed(seed))
        drawn.append(label_sharpness(points, torch.arange(200) % 2, quantile=0.99, draws=25).quantile)
    deviation = np.std([f.value for f in drawn], ddof=1)
    assert 0.8 < np.mean([f.high - f.value for f in drawn]) / 1.96 / deviation < 2.6


def test_the_matrix_of_classes():
    points = torch.tensor([[0.0], [1.0], [3.0]])
    found = class_matrix(points, torch.tensor([0, 1, 2]), 4)
    assert found[0, 1] == 1
    assert found[1, 2] == found[2, 1] == 0.5
    assert found[0, 2] == pytest.approx(1 / 3)
    assert np.isnan(found.diagonal()).all()
    assert np.isnan(found[3]).all()


def test_bad_input_is_one_clear_line():
    with pytest.raises(DataError, match="4 samples of one class"):
        label_sharpness(POINTS, torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ParameterError, match="quantile=0"):
        label_sharpness(POINTS, LABELS, quantile=0)
    with pytest.raises(DataError, match="infinite or not a number"):
        label_sharpness(POINTS / 0, LABELS)
