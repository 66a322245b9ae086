"""`DecodedSample`: an image with what several checks read of it, each computed once."""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unshaken.data.decode import Pixels

LUMA = (241, 691, 68)
"""Weights of red, green and blue in thousandths of the HSP model of perceived brightness (Finley 2006)."""
BRIGHTNESS_SHARES = (0.01, 0.05, 0.10, 0.15, 0.90, 0.95, 0.99)
"""Quantiles of an image's brightness that are measured."""


class DecodedSample:
    """A decoded image, and what checks share of it.

    Args:
        image: upright, of mode `L` or `RGB`.
        file: the bytes that it was decoded from; None where it comes from pixels.
    """

    def __init__(self, image: Image.Image, file: bytes | None = None) -> None:
        self.image, self.file = image, file

    @cached_property
    def pixels(self) -> Pixels:
        """The pixels, uint8 `[H, W]` or `[H, W, 3]`."""
        return np.asarray(self.image)

    @cached_property
    def grey(self) -> Image.Image:
        """The image in shades of grey, by Pillow's weights (ITU-R 601-2)."""
        return self.image if self.image.mode == "L" else self.image.convert("L")

    @cached_property
    def histogram(self) -> NDArray[np.int64]:
        """Number of pixels of each shade of grey, `[256]`."""
        return np.asarray(self.grey.histogram(), np.int64)

    @cached_property
    def is_grey(self) -> bool:
        """Whether all pixels have equal channels."""
        if self.image.mode == "L":
            return True
        red, green, blue = np.moveaxis(self.pixels, 2, 0)
        probe = self.pixels[:: max(1, len(red) // 16)]  # most photos in colour are told from a few rows
        if (probe[..., 0] != probe[..., 1]).any():
            return False
        return bool((red == green).all() and (green == blue).all())

    @cached_property
    def brightness(self) -> NDArray[np.float64]:
        """The quantiles `BRIGHTNESS_SHARES` of `sqrt(0.241 R^2 + 0.691 G^2 + 0.068 B^2) / 255` over the pixels.

        A grey image's brightness is its shade / 255. Quantiles between two pixels are interpolated.
        """
        if self.image.mode == "L":
            counts, values = self.histogram, np.arange(256) / 255
        else:
            counts, values = _perceived(self.pixels)
        places = np.asarray(BRIGHTNESS_SHARES) * (counts.sum() - 1)
        below, ends = np.floor(places).astype(np.int64), np.cumsum(counts)
        low, high = (values[np.searchsorted(ends, k, side="right")] for k in (below, np.ceil(places).astype(np.int64)))
        return np.asarray(low + (high - low) * (places - below))

    @cached_property
    def pixel_hash(self) -> str:
        """Hash of mode, size and pixels, 32 hexadecimal digits."""
        state = hashlib.blake2b(f"{self.image.mode}{self.image.size}".encode(), digest_size=16)
        state.update(np.ascontiguousarray(self.pixels).data)
        return state.hexdigest()

    @cached_property
    def file_hash(self) -> str:
        """Hash of the file's bytes, 32 hexadecimal digits; empty where there is no file."""
        return "" if self.file is None else hashlib.blake2b(self.file, digest_size=16).hexdigest()


_SQUARES = [(weight * np.arange(256, dtype=np.int64) ** 2).astype(np.int32) for weight in LUMA]


def _perceived(pixels: Pixels) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Number of pixels of each perceived brightness, and that brightness in [0, 1], rising, from whole numbers."""
    total = _SQUARES[0][pixels[..., 0]]
    total += _SQUARES[1][pixels[..., 1]]
    total += _SQUARES[2][pixels[..., 2]]
    total = np.sort(total, axis=None)
    starts = np.flatnonzero(np.concatenate(([True], total[1:] != total[:-1])))
    counts = np.diff(np.append(starts, len(total)))
    return counts, np.sqrt(total[starts] / 1000) / 255
