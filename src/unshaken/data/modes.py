"""From any of Pillow's modes to 8-bit grayscale or RGB, and to an array: large images in strips, to save memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
GREY = ("1", "L", "LA", "La")
"""Pillow's modes without colour, but for those of 16 and 32 bits, whose names begin with I."""
STRIP = 1 << 22
"""Pixels that are converted at once."""


class BadImage(Exception):
    """An image that cannot be used, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def grey_or_rgb(image: Image.Image) -> Image.Image:
    """An image of mode `L` or `RGB`; see the table in `unshaken.data.decode`.

    Raises:
        BadImage: its mode has no agreed range of 8 bits.
    """
    if image.mode.startswith("I"):
        return _high_byte(image)
    if image.mode in ("F", "LAB"):
        raise BadImage(f"pixels of mode {image.mode} have no agreed 8-bit range; convert the image to RGB")
    grey = image.mode in GREY
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _over_black(image, "L" if grey else "RGB")
    wanted = "L" if grey else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _over_black(image: Image.Image, mode: str) -> Image.Image:
    """An image with transparency, laid over black."""
    whole = Image.new(mode, image.size)
    for top, strip in _strips(image):
        strip = strip.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", strip.size, (0, 0, 0, 255)), strip)
        whole.paste(flat.convert(mode), (0, top))
    return whole


def _high_byte(image: Image.Image) -> Image.Image:
    whole = Image.new("L", image.size)
    for top, strip in _strips(image):
        values = np.asarray(strip)
        if image.mode == "I" and (values.min() < 0 or values.max() > 0xFFFF):
            raise BadImage("32-bit pixels beyond 16 bits have no agreed 8-bit range; convert the image to 8 or 16 bits")
        whole.paste(Image.fromarray((values >> 8).astype(np.uint8)), (0, top))
    return whole


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image in strips of whole rows, each with the row that it begins at."""
    rows = max(1, STRIP // max(image.width, 1))
    if image.height <= rows:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def as_array(image: Image.Image) -> Pixels:
    """Its pixels; of a large image without the copies that Pillow makes on the way."""
    if image.width * image.height <= STRIP:
        return np.asarray(image)
    pixels = np.empty((image.height, image.width, *([] if image.mode == "L" else [3])), np.uint8)
    for top, strip in _strips(image):
        pixels[top : top + strip.height] = np.asarray(strip)
    return pixels
