"""Sharpness of an image."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from typing_extensions import override

from unshaken.data.decode import Pixels
from unshaken.data.properties.base import ImageProperty, grey_shades, image_property


@image_property("sharpness")
class Sharpness(ImageProperty):
    """Standard deviation of the Laplacian of the shades of grey, which are from 0 to 1; low for a blurred image.

    The Laplacian is the sum of a pixel's four neighbours less four times the pixel, inside the border; an image with
    fewer than 3 rows or columns has 0. It is measured in the image's own size: an enlarged image is less sharp.

    Source: Pech-Pacheco et al. 2000, ICPR (variance of the Laplacian).
    """

    high: ClassVar[float] = 4.0

    @override
    def measure(self, image: Pixels) -> float:
        x = grey_shades(image).astype(np.int16)
        if min(x.shape) < 3:
            return 0.0
        laplacian = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * x[1:-1, 1:-1]
        return float(laplacian.std()) / 255
