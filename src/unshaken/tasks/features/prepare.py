"""Small images in the size and with the channels of a network that was trained on photos."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.classifier import Classifier


def prepared(model: Classifier, images: Tensor) -> Tensor:
    """Images, uint8 `[N, C, H, W]`, in the size and with the channels that a model takes; bicubic."""
    if model.view is None:
        return images
    wanted = (model.view.height, model.view.width)
    if images.shape[1] == 1 and model.view.channels == 3:
        images = images.expand(-1, 3, -1, -1)
    pieces = [
        F.interpolate(p.float(), wanted, mode="bicubic", align_corners=False, antialias=True)
        .round().clamp(0, 255).byte()
        for p in torch.split(images, 256)
    ]  # fmt: skip
    return torch.cat(pieces)
