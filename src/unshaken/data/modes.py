"""From any of Pillow's modes to upright 8-bit grayscale or RGB, and to an array: large images in strips.

Pillow keeps four bytes a pixel of a colour image, so that an image of 89 million pixels takes 341 MiB. No step here has
two such copies beside each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
GREY = ("1", "L", "LA", "La")
"""Pillow's modes without colour, but for those of 16 and 32 bits, whose names begin with I."""
TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
STRIP = 1 << 20
"""Pixels that are converted at once."""
SIDEWAYS = (5, 6, 7, 8)
"""Values of EXIF's orientation of images whose stored rows are columns."""
AS_STORED: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""From upright pixels to a view of them in the order in which a file of that EXIF orientation stores them."""


class BadImage(Exception):
    """An image that cannot be used, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def grey_or_rgb(image: Image.Image, orientation: int = 1, *, close: bool = False) -> Image.Image:
    """An upright image of mode `L` or `RGB`; see the table in `unshaken.data.decode`.

    Args:
        image: of any mode, its pixels loaded.
        orientation: of EXIF, from 1 (upright) to 8.
        close: give the image's memory back as soon as its pixels are converted, for it is not needed any more.

    Raises:
        BadImage: its mode has no agreed range of 8 bits.
    """
    if image.mode in ("F", "LAB"):
        raise BadImage(f"pixels of mode {image.mode} have no agreed 8-bit range; convert the image to RGB")
    deep = image.mode.startswith("I")
    mode = "L" if deep or image.mode in GREY else "RGB"
    clear = image.mode in TRANSPARENT or "transparency" in image.info
    if image.mode == mode and not clear and orientation not in AS_STORED:
        return image
    size = image.size if orientation in SIDEWAYS else image.size[::-1]
    pixels = np.empty((*size, 3) if mode == "RGB" else size, np.uint8)
    stored = AS_STORED[orientation](pixels) if orientation in AS_STORED else pixels
    for top, strip in _strips(image):
        flat = _high_byte(strip) if deep else _over_black(strip, mode) if clear else strip.convert(mode)
        stored[top : top + strip.height] = np.asarray(flat)
    if close:
        image.close()
    return Image.fromarray(pixels)


def _over_black(image: Image.Image, mode: str) -> Image.Image:
    """An image with transparency, laid over black."""
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert(mode)


def _high_byte(image: Image.Image) -> Pixels:
    """The high byte of 16 bits."""
    values = np.asarray(image)
    if image.mode == "I" and (values.min() < 0 or values.max() > 0xFFFF):
        raise BadImage("32-bit pixels beyond 16 bits have no agreed 8-bit range; convert the image to 8 or 16 bits")
    return (values >> 8).astype(np.uint8)


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
