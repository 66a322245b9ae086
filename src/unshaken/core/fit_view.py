"""Images of one model, shown to another that takes another size or number of channels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from unshaken.core.classifier import View


def fit_view(images: Tensor, view: View | None) -> Tensor:
    """Images in the size and the channels that a model takes; the whole image is resized, and nothing cut off.

    Args:
        images: `[N, C, H, W]`; a gradient passes.
        view: of the model; None for one that takes any.

    Returns:
        Grey images repeated over the colours or colours averaged, bilinear and antialiased.
    """
    if view is None:
        return images
    if view.channels != images.shape[1]:
        images = images.mean(1, keepdim=True).expand(-1, view.channels, -1, -1)
    if images.shape[2:] != (view.height, view.width):
        images = F.interpolate(images, (view.height, view.width), mode="bilinear", antialias=True)
    return images
