"""Corruptions that end on 8-bit levels by themselves."""

from __future__ import annotations

from torch import Tensor

from unshaken.core.rng import SampleRng
from unshaken.stress.base import Corruption


class LevelCorruption(Corruption):
    """A corruption whose result lies on the 256 levels of 8 bits: nothing is left to clip or cut."""

    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        """Pick the strength and corrupt, without the passes over memory that others need."""
        result = self.corrupt(images, self.strength(images, severity), rng)
        if self.jpeg_roundtrip:
            from unshaken.stress.jpeg_compression import jpeg_compression

            result = jpeg_compression(result, 85)
        return result
