"""Images in shades of grey among images in colour."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import Check, Issues, Measured, Quantities
from unshaken.inspect.engine.sample import DecodedSample


@register("grey-images", reference="cleanvision 0.3.7, https://github.com/cleanlab/cleanvision")
class GreyImages(Check):
    """Find images without colour, stored as grey or with equal channels, in data that is mostly in colour."""

    title = "Grey images among coloured ones"

    @override
    def measure(self, sample: DecodedSample) -> Quantities:
        return {"colour": 0.0 if sample.is_grey else 1.0}

    @override
    def find(self, measured: Measured) -> Issues:
        own = np.flatnonzero((measured.set_of == 0) & measured.readable)
        grey = own[measured.quantities["colour"][own] == 0]
        if 2 * len(grey) > len(own):
            remark = f"{len(grey):,} of {len(own):,} images are grey: the data is grey, and none is pointed at for it."
            return Issues(grey[:0], np.zeros(0), len(own), remarks=(remark,))
        return Issues(grey, np.zeros(len(grey)), len(own), notes=["grey"] * len(grey))
