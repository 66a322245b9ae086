"""Aspect of an image."""

from __future__ import annotations

import math
from typing import ClassVar

from typing_extensions import override

from unshaken.data.decode import Pixels
from unshaken.data.properties.base import ImageProperty, image_property


@image_property("aspect")
class Aspect(ImageProperty):
    """Width divided by height: above 1 for an image that lies, below 1 for one that stands."""

    high: ClassVar[float] = math.inf

    @override
    def measure(self, image: Pixels) -> float:
        return float(image.shape[1] / image.shape[0])
