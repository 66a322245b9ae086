"""Images as networks of other packages take them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.stress.engine.pixels import to_pixels


def rgb_pixels(forward: ForwardPass) -> Iterator[NDArray[np.uint8]]:
    """Each image as 8-bit RGB pixels `[H, W, 3]`; a gray one three times the same.

    Raises:
        ModelError: no images are at hand.
        DataError: another number of channels.
    """
    for image in forward.pixels:
        if len(image) not in (1, 3):
            raise DataError(f"images of {len(image)} channels are neither gray nor RGB")
        yield to_pixels(image.expand(3, -1, -1))
