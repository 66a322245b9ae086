"""The pieces of HSV against colorsys, and grey by hand."""

from __future__ import annotations

import colorsys

import pytest
import torch

from unshaken.stress.engine.hsv import least, luma, value


def test_value_and_saturation_are_those_of_colorsys():
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    v, low = value(images), least(images)
    assert v.shape == low.shape == (2, 1, 4, 5)
    for pixel, top, bottom in zip(images.permute(0, 2, 3, 1).reshape(-1, 3), v.flatten(), low.flatten(), strict=True):
        _, saturation, expected = colorsys.rgb_to_hsv(*pixel.tolist())
        assert float(top) == expected
        assert float((top - bottom) / top) == pytest.approx(saturation, abs=1e-6)


def test_grey_by_hand():
    image = torch.tensor([0.2, 0.5, 1.0]).view(1, 3, 1, 1)
    assert float(luma(image)) == pytest.approx(0.299 * 0.2 + 0.587 * 0.5 + 0.114, abs=1e-6)
    grey = torch.rand(1, 1, 2, 2)
    assert luma(grey) is grey
