"""What a frozen network sees within a mask: features of several layers, each averaged over the mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError


def masked_mean(features: Tensor, masks: Tensor) -> Tensor:
    """Features averaged over the masks, which are brought to their size bilinearly; an empty mask gives zeros.

    Args:
        features: `[N, D, h, w]`.
        masks: weights, none negative, `[N, H, W]`; only their proportions count.

    Returns:
        `[N, D]`.

    >>> features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> masked_mean(features, torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])).tolist()
    [[3.0]]
    """
    weights = masks[:, None].to(features)
    if weights.shape[2:] != features.shape[2:]:
        weights = F.interpolate(weights, tuple(features.shape[2:]), mode="bilinear", align_corners=False)
    total = weights.sum((2, 3), keepdim=True)
    weights = weights / torch.where(total > 0, total, torch.ones_like(total))
    return (features * weights).sum((2, 3))


class Pyramid:
    """A frozen network of which some layers are read, such as `conv1` and `layer1` to `layer4` of a ResNet.

    Args:
        model: in evaluation mode.
        layers: names of layers with maps.
    """

    def __init__(self, model: Classifier, layers: Sequence[str]) -> None:
        self.model, self.layers = model, tuple(layers)

    def keys(self, images: Tensor, masks: Tensor) -> Tensor:
        """One vector an image: the layers' masked means, joined, `[N, F]`.

        Args:
            images: `[N, C, H, W]` in [0, 1]; brought to the size that the network takes.
            masks: bool `[N, H, W]`.

        Raises:
            ModelError: a layer is not there, or gives no maps.
        """
        size = self.model.input_size
        if size is not None and tuple(images.shape[2:]) != size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        with evaluating(self.model), torch.no_grad():
            _, found = self.model.features(images, self.layers)
        for layer in self.layers:
            if found[layer].ndim != 4:
                raise ModelError(
                    f"layer {layer!r} of the encoder gives {list(found[layer].shape)}, not maps [N, D, h, w]"
                )
        return torch.cat([masked_mean(found[layer], masks) for layer in self.layers], 1)
