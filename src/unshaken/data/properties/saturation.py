"""Saturation of an image's colours."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from unshaken.data.decode import Pixels
from unshaken.data.properties.base import ImageProperty, image_property


@image_property("saturation")
class Saturation(ImageProperty):
    """Mean saturation of the pixels in HSV, (max - min) / max of their channels; 0 for grey and for black."""

    @override
    def measure(self, image: Pixels) -> float:
        red, green, blue = image[..., 0], image[..., 1], image[..., 2]  # far faster than max(2) of 3 values
        most = np.maximum(np.maximum(red, green), blue)
        spread = (most - np.minimum(np.minimum(red, green), blue)).astype(np.float32)
        return float((spread / np.maximum(most, 1)).mean(dtype=np.float64))
