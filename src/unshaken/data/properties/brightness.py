"""Brightness of an image."""

from __future__ import annotations

from typing_extensions import override

from unshaken.data.decode import Pixels
from unshaken.data.properties.base import ImageProperty, grey_shades, image_property


@image_property("brightness")
class Brightness(ImageProperty):
    """Mean shade of grey, from 0 (black) to 1 (white)."""

    @override
    def measure(self, image: Pixels) -> float:
        return float(grey_shades(image).mean()) / 255
