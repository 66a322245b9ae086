"""Images as 8-bit RGB pixels: gray ones three times the same, and other channels refused."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.pictures import rgb_pixels


def forward(anatomy, images):
    return ForwardPass(anatomy, torch.zeros(len(images), 2), images=images)


def test_gray_and_rgb_images_become_height_width_colour(anatomy):
    gray = torch.tensor([[0.0, 1.0], [0.2, 0.4]]).view(1, 1, 2, 2)
    (found,) = rgb_pixels(forward(anatomy, gray))
    assert found.tolist() == [[[0] * 3, [255] * 3], [[51] * 3, [102] * 3]]
    colour = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1).expand(2, 3, 1, 2)
    assert [p.tolist() for p in rgb_pixels(forward(anatomy, colour))] == [[[[51, 102, 153]] * 2]] * 2


def test_two_channels_are_refused(anatomy):
    with pytest.raises(DataError, match="images of 2 channels are neither gray nor RGB"):
        list(rgb_pixels(forward(anatomy, torch.zeros(1, 2, 4, 4))))
