"""`map_in_view`: numbers of the pixels of a photo, such as depths, where the model sees these pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unshaken.core.classifier import View
from unshaken.data.boxes import photo_size, seen_as
from unshaken.data.dataset import Dataset
from unshaken.data.decode import cut


def map_in_view(
    values: NDArray[np.float64], dataset: Dataset, index: int, view: View | None
) -> NDArray[np.float64]:  # fmt: skip
    """Cut a map as its photo is cut, each pixel from the nearest one of the photo.

    Args:
        values: `[H, W]`; of another size than the photo they stay as they are: they are of what the model sees.
        dataset: whose photo it belongs to.
        index: of its sample.
        view: how the model looks at photos; None for as they are.

    Returns:
        `[h, w]`; what a view adds around the photo has the largest of the values.

    Raises:
        BadImage: the resized photo would pass the limit of pixels.
    """
    seen, (width, height) = seen_as(dataset, view), photo_size(dataset, index)
    if seen is None or values.shape != (height, width):
        return values
    numbers = Image.fromarray(np.arange(1, values.size + 1, dtype=np.int32).reshape(height, width))  # 0 is around it
    places = np.asarray(cut(numbers, replace(seen, interpolation="nearest"), padding=0))
    found: NDArray[np.float64] = np.concatenate([[values.max()], values.ravel()])[places]
    return found
