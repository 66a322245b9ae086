"""Colour cast of an image."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from unshaken.data.decode import Pixels
from unshaken.data.properties.base import ImageProperty, image_property


@image_property("colour_cast")
class ColourCast(ImageProperty):
    """Largest less smallest mean of red, green and blue, which are from 0 to 1; 0 where they balance (grey world).

    Source: Buchsbaum 1980, J. Franklin Institute 310(1).
    """

    @override
    def measure(self, image: Pixels) -> float:
        return float(np.ptp([image[..., k].mean() for k in range(3)])) / 255  # far faster than mean((0, 1))
