"""Masks in rows: small enough to be kept of every image, for people to look at; figures come from counts of pixels."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 112
"""Long side of a kept mask in pixels; larger ones are thinned out."""
NO_LABEL, NO_PREDICTION = 255, 254
"""Values of pixels that nobody labelled, and for which the model gave no class."""
Mask = NDArray[np.uint8]


def pack_mask(mask: NDArray[np.integer]) -> bytes:
    """A mask as a small PNG.

    Args:
        mask: classes `[H, W]` from 0 to 253; negative where the model gave none, 255 where nobody labelled.

    >>> unpack_mask(pack_mask(np.array([[0, 7], [-1, 255]]))).tolist()
    [[0, 7], [254, 255]]
    """
    values = np.where(mask < 0, NO_PREDICTION, mask).astype(np.uint8)
    image, longest = Image.fromarray(values), max(values.shape)
    if longest > SIDE:
        width, height = (max(1, round(side * SIDE / longest)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.NEAREST)
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def unpack_mask(data: bytes) -> Mask:
    """The values of a packed mask, `[h, w]`."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        return np.asarray(image.convert("L"))
