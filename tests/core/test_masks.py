"""Masks: the loss and the counts of pixels, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.core.errors import ModelError
from unshaken.core.masks import classes_last, cross_entropy, overlap_counts

LOGITS = torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])  # probabilities 1/4, 3/4 and 4/5, 1/5


def test_classes_and_probabilities_of_images():
    assert float(cross_entropy(LOGITS, torch.tensor([1, 1]))) == pytest.approx(-math.log(0.75 * 0.2) / 2, rel=1e-5)
    soft = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    expected = -(0.5 * math.log(0.25) + 0.5 * math.log(0.75) + math.log(0.8)) / 2
    assert float(cross_entropy(LOGITS, soft)) == pytest.approx(expected, rel=1e-5)
    smooth = -(0.95 * math.log(0.75) + 0.05 * math.log(0.25) + 0.95 * math.log(0.2) + 0.05 * math.log(0.8)) / 2
    assert float(cross_entropy(LOGITS, torch.tensor([1, 1]), smoothing=0.1)) == pytest.approx(smooth, rel=1e-5)


def test_class_255_of_images_counts():
    assert float(cross_entropy(torch.zeros(1, 300), torch.tensor([255]))) == pytest.approx(math.log(300), rel=1e-5)


def test_ignored_pixels_count_for_nothing():
    logits = LOGITS.T.reshape(1, 2, 1, 2)  # the two rows as pixels beside each other
    assert float(cross_entropy(logits, torch.tensor([[[1, 1]]]))) == pytest.approx(-math.log(0.75 * 0.2) / 2, rel=1e-5)
    assert float(cross_entropy(logits, torch.tensor([[[1, 255]]]))) == pytest.approx(-math.log(0.75), rel=1e-5)


def test_logits_of_another_kind_are_refused():
    with pytest.raises(ModelError, match=r"gives a class for each pixel \(logits \(1, 2, 3, 3\)\), .* one an image"):
        cross_entropy(torch.zeros(1, 2, 3, 3), torch.tensor([1]))
    with pytest.raises(ModelError, match=r"gives one class \(logits \(1, 2\)\), the labels are masks \(1, 3, 3\)"):
        cross_entropy(torch.zeros(1, 2), torch.zeros(1, 3, 3, dtype=torch.int64))


def test_classes_move_to_the_last_place():
    assert classes_last(torch.zeros(1, 2, 3, 4)).shape == (1, 3, 4, 2)
    assert classes_last(LOGITS) is LOGITS


def test_pixels_that_agree():
    predicted, labels = torch.tensor([[0, 1, 1], [1, 5, 2]]), torch.tensor([[0, 0, 1], [255, 2, 2]])
    counts = overlap_counts(predicted, labels, 3)
    assert counts.dtype == torch.int64
    assert counts.tolist() == [[1, 1, 1], [1, 2, 1], [2, 1, 2]]  # a class beyond the three is no class
