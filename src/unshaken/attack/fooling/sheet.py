"""A contact sheet: images side by side, each with its class and confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

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
    """The beginning of a text that is not wider than so many pixels."""
    while text and font.getlength(text) > width:
        text = text[:-1]
    return text
