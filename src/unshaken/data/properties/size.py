"""Size of an image."""

from __future__ import annotations

import math
from typing import ClassVar

from typing_extensions import override

from unshaken.data.decode import Pixels
from unshaken.data.properties.base import ImageProperty, image_property


@image_property("size")
class Size(ImageProperty):
    """Geometric mean of width and height: the side of a square with as many pixels."""

    unit: ClassVar[str] = "pixels"
    low: ClassVar[float] = 1.0
    high: ClassVar[float] = math.inf

    @override
    def measure(self, image: Pixels) -> float:
        return math.sqrt(image.shape[0] * image.shape[1])
