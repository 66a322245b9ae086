"""Images made by whole numbers alone, and what checks find of several."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from unshaken.inspect import Check, DecodedSample, Issues, Measured


def pattern(height: int, width: int, a: int, b: int, c: int) -> Image.Image:
    """An image in colour, the same on any machine."""
    y, x = np.mgrid[:height, :width]
    channels = (a * x + b * y) % 256, (b * x * y // 7 + c) % 256, (c * x + a * y * y // 11) % 256
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def plain(shade: int | tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> Image.Image:
    """An image of one colour."""
    return Image.new("L" if isinstance(shade, int) else "RGB", size, shade)


def measure(
    check: Check,
    images: Sequence[Image.Image],
    *,
    sets: Sequence[int] | None = None,
    labels: Sequence[str | None] | None = None,
    correct: Sequence[int] | None = None,
    files: bool = False,
) -> Measured:
    """What a check measures of images, which belong to the sets of these numbers."""
    names = ("data", "train") if sets is not None else ("data",)
    values = [check.measure(DecodedSample(image, _png(image) if files else None)) for image in images]
    return Measured(
        sets=names,
        set_of=np.array([0] * len(images) if sets is None else sets),
        ids=[f"i{n}" for n in range(len(images))],
        labels=[None] * len(images) if labels is None else labels,
        errors=[""] * len(images),
        quantities={name: np.array([v[name] for v in values]) for name in values[0]} if values else {},
        correct=np.array([-1] * len(images) if correct is None else correct, np.int8),
    )


def find(check: Check, images: Sequence[Image.Image], **more: object) -> Issues:
    return check.find(measure(check, images, **more))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
