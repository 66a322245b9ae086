"""`corrupt`: one stressor on images in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.batch import Batch, in_unit_range
from unshaken.core.errors import DataError
from unshaken.core.keywords import keywords
from unshaken.core.registry import find_method


@keywords()
def corrupt(
    images: Tensor | NDArray[np.uint8], name: str, severity: int, seed: int = 0, preset: str = "auto"
) -> Tensor | NDArray[np.uint8]:
    """Apply a stressor to images.

    Args:
        images: a float tensor `[N, C, H, W]` in [0, 1], or one uint8 array `[H, W, C]` or `[H, W]`.
        name: a registry name of the room `stress`.
        severity: 1 to 5.
        seed: image i of the tensor draws from (seed, name, i).
        preset: table of strengths: `auto`, `imagenet`, `cifar` or `tiny`.

    Returns:
        The same type, shape and device.

    Raises:
        ParameterError: name, severity or preset is not known.
        DataError: the images have another form or range.

    >>> import torch
    >>> corrupt(torch.full((1, 3, 32, 32), 0.5), "brightness", 5).mean().item() > 0.7
    True
    """
    cls = find_method(name, "stress").cls
    method = cls(preset=preset) if "preset" in cls.model_fields else cls()
    if isinstance(images, Tensor):
        ids = tuple(str(i) for i in range(len(images)))
        changed: Tensor = method.apply(Batch(in_unit_range(images, "images"), None, ids), severity, seed).images
        return changed
    if images.dtype != np.uint8 or images.ndim not in (2, 3) or (images.ndim == 3 and images.shape[2] not in (1, 3)):
        raise DataError(
            f"an image array must be uint8 [H, W, C] with 1 or 3 channels, or [H, W], not {images.dtype} {images.shape}"
        )
    pixels = images if images.ndim == 3 else images[..., None]
    array: NDArray[np.uint8] = method.apply_pixels(pixels, severity, seed).reshape(images.shape)
    return array
