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
named `.png`) or are little tested. Large images are decoded one at a time, and converted in strips: Pillow keeps four
bytes a pixel of a colour image, 341 MiB for one of 89 million pixels, and no step has two such copies at once.
"""

from __future__ import annotations

import io
import math
import numbers
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from unshaken.core.classifier import PADDING, View
from unshaken.data.spec import reason_of

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
        if deep:  # the high byte of 16 bits
            values = np.asarray(strip)
            if strip.mode == "I" and (values.min() < 0 or values.max() > 0xFFFF):
                raise BadImage(
                    "32-bit pixels beyond 16 bits have no agreed 8-bit range; convert the image to 8 or 16 bits"
                )
            flat = (values >> 8).astype(np.uint8)
        elif clear:  # laid over black
            strip = strip.convert("RGBA")
            black = Image.new("RGBA", strip.size, (0, 0, 0, 255))
            flat = np.asarray(Image.alpha_composite(black, strip).convert(mode))
        else:
            flat = np.asarray(strip.convert(mode))
        stored[top : top + len(flat)] = flat
    if close:
        image.close()
    return Image.fromarray(pixels)


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image in strips of whole rows, each with the row that it begins at."""
    rows = max(1, STRIP // max(image.width, 1))
    if image.height <= rows:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


@dataclass(frozen=True, slots=True)
class Placement:
    """How a photo becomes the view: resized, then moved under the view's window.

    Args:
        width: of the resized photo, in pixels.
        height: of the resized photo.
        left: column of the resized photo at the view's left edge; negative where the view is wider.
        top: row of the resized photo at the view's upper edge; negative where the view is higher.
    """

    width: int
    height: int
    left: int
    top: int


def place_photo(width: int, height: int, view: View) -> Placement:
    """Place a photo under the window of a view: its resized sides, and where the window begins.

    The long side and the corner of the cut are rounded as torchvision's `Resize` and `CenterCrop` do.

    Args:
        width: of the photo, in pixels.
        height: of the photo.
        view: how the model looks at it.

    >>> place_photo(400, 300, View(224, 224, resize=256))
    Placement(width=341, height=256, left=58, top=16)
    >>> place_photo(400, 300, View(416, 416, fit="whole"))
    Placement(width=416, height=416, left=0, top=0)
    >>> place_photo(400, 300, View(416, 416, fit="letterbox"))
    Placement(width=416, height=312, left=0, top=-52)
    """
    if view.fit == "whole":
        return Placement(view.width, view.height, 0, 0)
    if view.fit == "letterbox":
        factor = min(view.width / width, view.height / height)
        width, height = (max(1, round(side * factor)) for side in (width, height))
        return Placement(width, height, -((view.width - width) // 2), -((view.height - height) // 2))
    short = view.resize or min(view.height, view.width)
    if min(width, height) != short:
        long = int(short * max(width, height) / min(width, height))
        width, height = (short, long) if width <= height else (long, short)
    left, top = (
        round((max(side, window) - window) / 2) - (max(side, window) - side) // 2
        for side, window in ((width, view.width), (height, view.height))
    )
    return Placement(width, height, left, top)


Source = bytes | Path | Image.Image | Pixels

MAX_PIXELS = 89_478_485
"""The limit of Pillow for one image, here an error and not a warning: 256 MiB at three bytes a pixel."""
MAX_SIDE = 65_535
"""Pixels of a side of an image, as of a JPEG: what is longer is no picture, and takes gigabytes where it is resized."""

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
        if max(image.size) > MAX_SIDE:
            raise BadImage(f"the image has {image.width} x {image.height} pixels; a side may have {MAX_SIDE:,}")
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


def exif_of(source: Source) -> dict[str, str | float]:
    """Words and numbers that a camera wrote into an image file, by the names of EXIF's tags, such as `Model`.

    `Hour` is the hour of the day at which the photo was taken.

    Args:
        source: as for `open_image`; pixels have none, nor has a file that cannot be read.
    """
    if isinstance(source, np.ndarray):
        return {}
    try:
        exif = _open(source).getexif()
        tags = {ExifTags.TAGS.get(key, ""): value for key, value in {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}.items()}
        found = {name: _plain_tag(value) for name, value in tags.items()}
    except Exception:  # as in `open_image`: a damaged file has no tags
        return {}
    taken = str(found.get("DateTimeOriginal") or found.get("DateTime") or "")
    hour = re.fullmatch(r"\d{4}:\d\d:\d\d ([01]\d|2[0-3]):\d\d.*", taken)
    return {name: v for name, v in {**found, "Hour": hour and int(hour[1])}.items() if name and v not in (None, "")}


def exif_tags() -> list[str]:
    """The names that `exif_of` may give."""
    return sorted({*ExifTags.TAGS.values(), "Hour"})


def _plain_tag(value: Any) -> str | float | None:
    """A tag's words or finite number; None for bytes, tuples and what is no number."""
    if isinstance(value, str):
        return value.replace("\0", " ").strip()
    number = float(value) if isinstance(value, numbers.Real) else math.nan
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


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
    """Bring an image to the mode, size and channels that a model or a SPEC asks for.

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
    if image.width * image.height <= STRIP:
        pixels = np.asarray(image)
    else:  # without the copies that Pillow makes on the way
        pixels = np.empty((image.height, image.width, *([] if image.mode == "L" else [3])), np.uint8)
        for top, strip in _strips(image):
            pixels[top : top + strip.height] = np.asarray(strip)
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
