"""Images that are much larger or smaller than most."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import Check, Issues, Measurements, Quantities
from unshaken.inspect.engine.sample import DecodedSample


@register("odd-size", reference="cleanvision 0.3.7, https://github.com/cleanlab/cleanvision; Tukey 1977")
class OddSize(Check):
    """Find images whose size is far from those of most: beyond the quartiles by several interquartile ranges.

    The size is `sqrt(W H)`. Where the quartiles are equal, every image of another size is far.
    """

    title = "Images of an odd size"
    ranges: float = Field(default=3.0, description="interquartile ranges beyond the quartiles", gt=0)

    @override
    def measure(self, sample: DecodedSample) -> Quantities:
        width, height = sample.image.size
        return {"size": math.sqrt(width) * math.sqrt(height), "width": float(width), "height": float(height)}

    @override
    def find(self, measured: Measurements) -> Issues:
        own = np.flatnonzero((measured.set_of == 0) & measured.readable)
        if not len(own):
            return Issues(own, np.zeros(0), 0)
        size = measured.quantities["size"][own]
        first, third = np.percentile(size, [25, 75])
        middle, gap = (first + third) / 2, (third - first) * (1 + 2 * self.ranges)
        distance = np.abs(size - middle) / (gap or middle)  # 0.5 at the fences
        flagged = np.flatnonzero(distance > (0.5 if gap else 0))
        order = flagged[np.argsort(-distance[flagged], kind="stable")]
        rows = own[order]
        sides = zip(*(measured.quantities[k][rows].astype(int).tolist() for k in ("width", "height")), strict=True)
        return Issues(rows, 1 - np.minimum(distance[order], 1), len(own), notes=[f"{w} x {h} pixels" for w, h in sides])
