"""Fewer levels against Pillow's posterize."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from unshaken.stress.common_3d.color_quant import ColorQuant


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_pillow(peer, severity):
    pixels = peer.photo(40, 56)
    theirs = np.asarray(ImageOps.posterize(Image.fromarray(pixels), 6 - severity))
    assert np.array_equal(ColorQuant().apply_pixels(pixels, severity), theirs)
