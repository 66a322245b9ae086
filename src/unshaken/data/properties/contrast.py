"""Contrast of an image."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from unshaken.data.decode import Pixels
from unshaken.data.properties.base import ImageProperty, grey_shades, image_property


@image_property("contrast")
class Contrast(ImageProperty):
    """Standard deviation of the shades of grey, which are from 0 to 1 (RMS contrast).

    Source: Peli 1990, JOSA A 7(10).
    """

    high: ClassVar[float] = 0.5

    @override
    def measure(self, image: Pixels) -> float:
        return float(grey_shades(image).std()) / 255
