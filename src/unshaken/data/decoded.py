"""`DecodedImages`: images of a data set that were decoded once, for several models to share."""

from __future__ import annotations

import threading

import numpy as np
from PIL import Image

from unshaken.data.decode import Pixels


class DecodedImages:
    """Upright pixels of samples as they were decoded, before any resizing. Threads may use it at once.

    Once it is full, further samples are decoded whenever they are wanted, so the samples that it holds stay the same.

    Args:
        most: bytes that it holds at most.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0
        self._pixels: dict[int, Pixels] = {}
        self._adding = threading.Lock()

    def get(self, index: int) -> Pixels | None:
        """The pixels of a sample, uint8 `[H, W]` or `[H, W, 3]`; None where they are not held."""
        return self._pixels.get(index)

    def add(self, index: int, image: Image.Image) -> None:
        """Hold a sample's pixels, if there is room."""
        size = image.width * image.height * len(image.getbands())
        with self._adding:
            if index in self._pixels or self.held + size > self.most:
                return
            self.held += size
        self._pixels[index] = np.asarray(image)
