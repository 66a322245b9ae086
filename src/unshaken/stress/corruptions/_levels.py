"""Corruptions that end on 8-bit levels by themselves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from unshaken.core.rng import SampleRng
from unshaken.data.decode import through_jpeg
from unshaken.stress.engine.base import Corruption
from unshaken.stress.engine.jpeg import jpeg_compression


class LevelCorruption(Corruption):
    """A corruption whose result lies on the 256 levels of 8 bits: nothing is left to clip or cut."""

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        result = self.corrupt(images, self.strength(min(images.shape[2:]), severity), rng)
        if self.jpeg_roundtrip:
            result = jpeg_compression(result, 85)
        return result

    @override
    def run_pixels(self, pixels: NDArray[np.uint8], severity: int, rng: Callable[[], SampleRng]) -> NDArray[np.uint8]:
        result = self.corrupt_pixels(pixels, self.strength(min(pixels.shape[:2]), severity))
        if self.jpeg_roundtrip:
            result = through_jpeg(result, 85)
        return result

    @abstractmethod
    def corrupt_pixels(self, pixels: NDArray[np.uint8], c: Any) -> NDArray[np.uint8]:
        """A picture `[H, W, C]` of 8 bits at one strength: equal to `corrupt`, to the bit."""
