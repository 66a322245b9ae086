"""The detector around a learned watermark: the central square that it works on, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.watermark.learned_watermark import (
    PIXELS,
    CentralSquare,
    LearnedWatermark,
    LearnedWatermarkDetector,
    WatermarkSettings,
    central,
)
from unshaken.detect.watermark.watermark import random_key


def test_the_central_square_by_hand():
    images = torch.arange(35.0).view(1, 1, 5, 7)
    assert central(images, 3).tolist() == [[[[9, 10, 11], [16, 17, 18], [23, 24, 25]]]]


def test_the_rest_of_an_image_stays_as_it_is():
    settings = WatermarkSettings(image=(1, 8, 8), n_bits=4, width=4)
    mark = CentralSquare(LearnedWatermark(settings, random_key(4, 0)).eval(), 8)
    images = torch.rand(2, 1, 10, 13, generator=torch.Generator().manual_seed(0))
    change = mark.encode(images) - images
    assert bool((central(change, 8) != 0).any())
    central(change, 8).zero_()
    assert not bool(change.any())
    assert torch.equal(mark.bits(images), mark.watermark.bits(central(images, 8)))
    assert torch.equal(mark.score(images), mark.watermark.score(central(images, 8)))


def test_a_fit_keeps_the_largest_square_whose_side_is_a_multiple_of_4(anatomy):
    detector = LearnedWatermarkDetector()
    images = torch.full((2, 3, 11, 14), 0.2)
    rows = detector.rows(ForwardPass(anatomy, torch.zeros(2, 2), images=images))
    assert rows[PIXELS].shape == (2, 3, 8, 8)
    assert set(rows[PIXELS].unique().tolist()) == {51}
    smallest = detector.rows(ForwardPass(anatomy, torch.zeros(2, 2), images=images[:, :, :4, :9]))
    assert smallest[PIXELS].shape == (2, 3, 4, 4)
    with pytest.raises(DataError, match="images of 3 x 9 pixels are too small for a learned watermark: 4 at least"):
        detector.rows(ForwardPass(anatomy, torch.zeros(2, 2), images=images[:, :, :3, :9]))


def test_it_must_be_fitted_before_it_marks():
    with pytest.raises(ParameterError, match="its networks must be trained first: unshaken detect fit"):
        LearnedWatermarkDetector().mark(torch.zeros(1, 1, 8, 8))
