"""Overlaps and scores at their bounds, by hand."""

import math

import pytest
import torch

from unshaken.attack.detection.overlap import (
    fits,
    is_there,
    log_absence,
    log_score,
    of_same_class,
    overlap,
    with_a_row,
)

OBJECT = torch.tensor([[[0.0, 0, 10, 10, 0, 0, 100]]])
EMPTY = [0.0, 0, 0, 0, -1, 0]


def boxes(*rows):
    return torch.tensor([list(rows)])


def test_a_half_fits_and_less_does_not():
    found = boxes([0.0, 0, 10, 5, 1, 0.9], [0.0, 0, 10, 4.9, 0, 0.9], [20.0, 20, 30, 30, 0, 0.9], EMPTY)
    assert overlap(found, OBJECT).flatten().tolist() == pytest.approx([0.5, 0.49, 0, 0])
    assert fits(found, OBJECT).flatten().tolist() == [True, False, False, False]
    assert of_same_class(found, OBJECT).flatten().tolist() == [False, True, True, False]


def test_empty_rows_overlap_nothing_whatever_their_corners():
    gone = boxes([0.0, 0, 10, 10, -1, 0.9])
    assert overlap(gone, OBJECT).item() == 0
    assert overlap(boxes([0.0, 0, 10, 10, 0, 0.9]), torch.tensor([[[0.0, 0, 10, 10, -1, 0, 0]]])).item() == 0
    assert overlap(boxes([5.0, 5, 5, 5, 0, 0.9]), torch.tensor([[[5.0, 5, 5, 5, 0, 0, 0]]])).item() == 0
    assert is_there(boxes([0.0, 0, 1, 1, 0, 1], EMPTY)).tolist() == [[True, False]]


def test_scores_are_those_above_a_thousandth():
    found = boxes([0.0, 0, 1, 1, 0, 1.0], [0.0, 0, 1, 1, 0, 0.01], [0.0, 0, 1, 1, 0, 5e-4], [0.0, 0, 1, 1, -1, 1.0])
    assert log_score(found)[0].tolist() == pytest.approx([math.log(1000), math.log(10), 0, 0], abs=1e-5)
    absent = log_absence(found)[0].tolist()
    assert absent[1:] == pytest.approx([math.log(0.99), math.log(1 - 5e-4), 0], abs=1e-4)
    assert absent[0] == pytest.approx(math.log(1e-6), abs=0.1)  # finite


def test_images_without_objects_get_an_empty_one():
    assert with_a_row(OBJECT) is OBJECT
    padded = with_a_row(torch.zeros(2, 0, 7))
    assert padded.shape == (2, 1, 7)
    assert not bool(is_there(padded).any())
