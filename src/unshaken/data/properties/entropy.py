"""Entropy of an image's shades."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from typing_extensions import override

from unshaken.data.decode import Pixels
from unshaken.data.properties.base import ImageProperty, grey_shades, image_property


@image_property("entropy")
class Entropy(ImageProperty):
    """Shannon's entropy of the 256 shades of grey; 0 for one colour, 8 where all shades are equally frequent."""

    unit: ClassVar[str] = "bits"
    high: ClassVar[float] = 8.0

    @override
    def measure(self, image: Pixels) -> float:
        counts = np.bincount(grey_shades(image).ravel(), minlength=256)
        shares = counts[counts > 0] / counts.sum()
        return max(0.0, -float(shares @ np.log2(shares)))
