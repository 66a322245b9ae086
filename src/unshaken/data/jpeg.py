"""Through a JPEG file and back, by Pillow's codec."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def through_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Save a picture as JPEG and read it again.

    Args:
        pixels: uint8 `[H, W, C]`, C 1 or 3.
        quality: 1 (worst) to 95, in the scale of the Independent JPEG Group; chroma is halved both ways (4:2:0).

    Returns:
        Uint8 `[H, W, C]`.
    """
    file = BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=quality)
    with Image.open(file, formats=("JPEG",)) as image:
        return np.array(image).reshape(pixels.shape)
