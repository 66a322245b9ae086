"""8-bit pictures and float images, by hand."""

import numpy as np
import torch

from unshaken.stress.engine.pixels import to_pixels, to_planes


def test_planes_and_pixels_by_hand():
    pixels = np.array([[[0, 51, 255], [102, 153, 204]]], np.uint8)
    planes = to_planes(pixels)
    assert torch.allclose(planes, torch.tensor([[[0.0, 0.4]], [[0.2, 0.6]], [[1.0, 0.8]]]))
    assert np.array_equal(to_pixels(planes), pixels)
    assert to_pixels(torch.tensor([[[0.49 / 255, 0.51 / 255, 254.4 / 255, 254.6 / 255]]])).ravel().tolist() == [
        0, 1, 254, 255
    ]  # fmt: skip
