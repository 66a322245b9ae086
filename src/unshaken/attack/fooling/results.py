"""Results of a search for fooling images: rows with their flags, a contact sheet, and distances from real images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from unshaken.attack.fooling.base import FoolingImages
from unshaken.core.device import widen
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table

declare_table(
    "fooling",
    "id string, condition string, method string, class int64, name string, confidence double, log_odds double, "
    "found int64, file string, error string",
)
SURE = 0.99
"""Confidence from which an image counts as fooling."""
FOOLED = FlagKind(
    "confident-on-nonsense",
    "the model is nearly certain of images that mean nothing to a person",
    "Do not read confidence as evidence that an image shows a class; screen inputs with a detector of abnormal images.",
)


def fooling_rows(condition: Condition, found: FoolingImages, classes: Sequence[int], names: Sequence[str]) -> Part:
    """The `fooling` rows of a search, with its flags.

    Args:
        condition: the search.
        found: its images.
        classes: the class of each.
        names: of the model's classes; numbers stand for those that are not named.
    """
    ids = [f"class-{c:04d}" for c in classes]
    confidence = widen(found.odds).sigmoid().tolist()
    columns = {
        "id": ids,
        "class": list(classes),
        "name": [names[c] if c < len(names) else str(c) for c in classes],
        "confidence": confidence,
        "log_odds": widen(found.odds).tolist(),
        "found": found.found.tolist(),
        "file": [f"{name}.png" for name in ids],
    }
    return Part("fooling", condition, columns, flags=_flags(condition, ids, confidence))


def _flags(condition: Condition, ids: Sequence[str], confidence: Sequence[float]) -> tuple[Flag, ...]:
    sure = [name for name, value in zip(ids, confidence, strict=True) if value >= SURE]
    if not sure:
        return ()
    text = f"{condition.method}: {len(sure)} of {len(ids)} classes have a meaningless image at {SURE:.0%} or more"
    return (FOOLED.flag(text, sure),)


LINE = 13
"""Height of a line of text in pixels."""


def picture(image: Tensor) -> Image.Image:
    """One image as Pillow has it, pixel for pixel.

    Args:
        image: uint8 `[C, H, W]` with 1 or 3 channels.
    """
    pixels = image.cpu().numpy().transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def contact_sheet(images: Tensor, captions: Sequence[str], *, columns: int = 5, side: int = 112) -> Image.Image:
    """Images in rows, a caption under each.

    Args:
        images: uint8 `[N, C, H, W]`.
        captions: one an image; lines are parted by a line break, and what is too wide is cut.
        columns: images a row.
        side: longest side that images are shown at, in pixels; pixels are repeated, not smoothed.

    Returns:
        An RGB picture.
    """
    lines = max(c.count("\n") + 1 for c in captions)
    height, width = (max(1, round(side * n / max(images.shape[2:]))) for n in images.shape[2:])
    columns = min(columns, len(images))
    cell_x, cell_y = max(width, side) + 8, height + LINE * lines + 10
    sheet = Image.new("RGB", (cell_x * columns + 8, cell_y * -(-len(images) // columns) + 4), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = 8 + cell_x * (i % columns), 6 + cell_y * (i // columns)
        sheet.paste(picture(image).convert("RGB").resize((width, height), Image.Resampling.NEAREST), (x, y))
        for j, line in enumerate(caption.split("\n")):
            draw.text((x, y + height + 1 + LINE * j), fitting(line, font, cell_x - 8), fill="black", font=font)
    return sheet


def fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The longest beginning of a text that is at most `width` pixels wide."""
    while text and font.getlength(text) > width:
        text = text[:-1]
    return text


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute step from a pixel to its right and lower neighbours.

    Args:
        images: `[N, C, H, W]` in [0, 1].

    Returns:
        float64 `[N]`.
    """
    steps = [widen(images.diff(dim=d).abs()).mean((1, 2, 3)) for d in (2, 3) if images.shape[d] > 1]
    return torch.stack(steps).mean(0) if steps else torch.zeros(len(images), dtype=torch.float64)


def nearest(points: Tensor, others: Tensor) -> Tensor:
    """L2 distance to the nearest of other points, float64 `[N]`.

    Args:
        points: `[N, ...]`.
        others: `[M, ...]`.
    """
    return widen(torch.cdist(points.flatten(1), others.flatten(1)).min(1).values)
