"""From the bytes of an image file to 8-bit pixels: one image at a time, whatever is wrong with it a reason.

What comes out is upright (EXIF orientation applied) and either grayscale or RGB:

| in | out |
|---|---|
| 1 bit, grayscale | `L` |
| 16-bit grayscale | `L`: the high byte, as Pillow does for 16-bit colour |
| palette, CMYK, YCbCr, HSV | `RGB` |
| transparency of any kind | laid over black: what is hidden stays hidden |
| animation | its first frame |
| 32-bit integers beyond 16 bits, floats, Lab | refused: their range is a guess |

Only the formats of `FORMATS` are opened: other readers of Pillow start programs (Ghostscript, for a PostScript file
named `.png`) or are little tested. Large images are decoded one at a time.
"""

from __future__ import annotations

import io
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from unshaken.core.classifier import PADDING, View
from unshaken.data.modes import GREY, SIDEWAYS, as_array, grey_or_rgb
from unshaken.data.modes import BadImage as BadImage
from unshaken.data.modes import Pixels as Pixels
from unshaken.data.spec import reason_of
from unshaken.data.view_geometry import place_photo

Source = bytes | Path | Image.Image | Pixels

MAX_PIXELS = 89_478_485
"""The limit of Pillow for one image, here an error and not a warning: 256 MiB at three bytes a pixel."""

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM")
"""Pillow's names of the formats that are opened; JPEG stands for MPO too."""
MOST_BYTES = 256 << 20
"""Bytes of one image file, and of what is read of a packed one."""
LARGE = 1 << 24
"""Pixels above which images are decoded one at a time."""

_ORIENTATION = 0x0112
_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


_one_large = threading.Lock()


def open_image(source: Source) -> Image.Image:
    """Decode one image.

    Args:
        source: an image file's path or bytes, a Pillow image, or uint8 pixels `[H, W]` or `[H, W, C]`.

    Returns:
        An upright image of mode `L` or `RGB`.

    Raises:
        BadImage: it cannot be read; the reason is one line.
    """
    try:
        image, own = _open(source), not isinstance(source, Image.Image)
        del source
        if image.width * image.height > MAX_PIXELS:
            raise BadImage(f"{image.width} x {image.height} pixels are more than the limit of {MAX_PIXELS}")
        if 0 in image.size:
            raise BadImage(f"the image has no pixels ({image.width} x {image.height})")
        with _one_large if image.width * image.height > LARGE else nullcontext():
            image.load()
            return grey_or_rgb(image, image.getexif().get(_ORIENTATION, 1), close=own)
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"the image has more pixels than the limit of {MAX_PIXELS}") from error
    except FileNotFoundError as error:
        raise BadImage("the file does not exist") from error
    except PermissionError as error:
        raise BadImage("permission to read the file is denied") from error
    except Exception as error:  # Pillow's readers raise almost anything on a damaged file; the reason is kept
        text = reason_of(error)
        if "truncated" in text.lower():
            raise BadImage(f"the image is truncated: {text}") from error
        raise BadImage(f"the image cannot be decoded: {text}") from error


def form_of(source: Source) -> tuple[str, tuple[int, int]]:
    """Mode (`L` or `RGB`) and upright (width, height) in pixels of an image, from its header: no pixel is decoded.

    Args:
        source: as for `open_image`.

    Raises:
        BadImage: there is no readable header.
    """
    try:
        image = _open(source)
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) in SIDEWAYS:
            width, height = height, width
        return ("L" if image.mode in GREY or image.mode.startswith("I") else "RGB"), (width, height)
    except BadImage:
        raise
    except Exception as error:  # as in `open_image`
        raise BadImage(f"the image cannot be read: {reason_of(error)}") from error


def pixels_of(
    image: Image.Image,
    *,
    view: View | None = None,
    size: int | None = None,
    mode: str | None = None,
) -> Pixels:
    """Pixels as they are wanted.

    Args:
        image: of mode `L` or `RGB`.
        view: how the model looks at it; its channels come last, so an image of mode `L` may fill three.
        size: side in pixels of the centre square; takes the place of the view's resize and cut.
        mode: `L` or `RGB`, applied first.

    Returns:
        uint8 `[H, W, C]`.

    Raises:
        BadImage: the image is so long and thin that resizing it passes the limit of pixels.
    """
    if mode is not None and image.mode != mode:
        image = image.convert(mode)
    if size is not None:
        image = cut(image, View(size, size, size, interpolation=view.interpolation if view else "bilinear"))
    elif view is not None:
        image = cut(image, view)
    if view is not None:
        wanted = "L" if view.channels == 1 else "RGB"
        image = image if image.mode == wanted else image.convert(wanted)
    pixels = as_array(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def cut(image: Image.Image, view: View, *, padding: int = PADDING) -> Image.Image:
    """Resize a photo with antialiasing and cut it as a view says; where a cut is larger, the rest is black.

    See `place_photo`.

    Args:
        image: of any mode.
        view: how it is seen.
        padding: what a letterbox is filled with, from 0 to 255.

    Raises:
        BadImage: the resized image would pass the limit of pixels.
    """
    width, height = image.size
    place = place_photo(width, height, view)
    if place.width * place.height > MAX_PIXELS:
        raise BadImage(
            f"{width} x {height} pixels are too long and thin to be resized to a short side of "
            f"{min(place.width, place.height)}"
        )
    if (place.width, place.height) != image.size:
        image = image.resize((place.width, place.height), _FILTERS[view.interpolation])
    if image.size == (view.width, view.height):
        return image
    if view.fit == "letterbox":
        box = Image.new(image.mode, (view.width, view.height), (padding,) * len(image.getbands()))
        box.paste(image, (-place.left, -place.top))
        return box
    return image.crop((place.left, place.top, place.left + view.width, place.top + view.height))


def looks_like(head: bytes) -> str | None:
    """Name the format of a file by its first bytes; None when it is not known.

    >>> looks_like(b"<!DOCTYPE html><html>")
    'an HTML page: a download went wrong'
    """
    if not head:
        return "empty"
    text = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in text:
        return "an HTML page: a download went wrong"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer: fetch the file itself with `git lfs pull`"
    if head.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return "a PostScript program, which is not run"
    if text.startswith((b"<?xml", b"<svg")):
        return "an XML or SVG text, not an image of pixels"
    return None


def _open(source: Source) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray):
        return _from_pixels(source)
    if isinstance(source, Path):
        if not stat.S_ISREG(source.stat().st_mode):
            raise BadImage("it is not a regular file")
        check_bytes(source.stat().st_size)
        source = source.read_bytes()
    if (what := looks_like(source[:512])) is not None:
        raise BadImage("the file is empty (0 bytes)" if what == "empty" else f"the file is {what}")
    try:
        return Image.open(io.BytesIO(source), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise BadImage(f"not an image that Pillow can read; it begins with the bytes {source[:8].hex(' ')}") from error


def check_bytes(size: int) -> None:
    """Refuse an image file that is larger than any image, before it is read.

    Raises:
        BadImage: it is.
    """
    if size > MOST_BYTES:
        raise BadImage(f"the file has {size:,} bytes; {MOST_BYTES:,} are the most for an image")


@contextmanager
def without_ghostscript() -> Iterator[None]:
    """Let no image start Ghostscript, for as long as another package opens images by itself."""
    from PIL import EpsImagePlugin

    before, EpsImagePlugin.gs_binary = EpsImagePlugin.gs_binary, False
    try:
        yield
    finally:
        EpsImagePlugin.gs_binary = before


def _from_pixels(pixels: Pixels) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise BadImage(f"pixels of type {pixels.dtype} and shape {pixels.shape} are not uint8 [H, W] or [H, W, C]")
    if 0 in pixels.shape:
        raise BadImage(f"the image has no pixels (shape {pixels.shape})")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 3 and pixels.shape[2] not in (3, 4):
        raise BadImage(f"{pixels.shape[2]} channels are neither grayscale nor RGB")
    return Image.fromarray(np.ascontiguousarray(pixels))
