"""What a classifier says of images of any size: probabilities, and the values that its head weighs."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.core.device import float64_device
from unshaken.core.fit_view import fit_view
from unshaken.detect.engine.anatomy import Anatomy


def as_seen(images: Tensor, model: Classifier) -> Tensor:
    """Images in the size and with the channels that a model takes, by bilinear interpolation.

    Args:
        images: float `[N, C, H, W]` in [0, 1].
        model: whose view says what it takes; without one the images stay.
    """
    found = fit_view(images, model.view)
    return found if found is images else found.clamp(0, 1)


@torch.no_grad()
def predicted(model: Classifier, images: Tensor, batch_size: int = 64) -> Tensor:
    """Probabilities `[N, K]` of a classifier in evaluation mode."""
    return torch.cat([model(as_seen(part, model)).float().softmax(1) for part in torch.split(images, batch_size)])


@torch.no_grad()
def penultimate(model: Classifier, images: Tensor, batch_size: int = 64) -> tuple[Tensor, Tensor]:
    """Features `[N, D]` that a classifier's linear head weighs, float64, and its predictions `[N]`.

    They are on the device of the images, or on the CPU where that has no float64.

    Raises:
        ModelError: the model has no linear head.
    """
    layer = Anatomy.of(model, as_seen(images[:1], model)).penultimate
    features, labels, place = [], [], float64_device(images.device)
    for part in torch.split(images, batch_size):
        logits, found = model.features(as_seen(part, model), [layer])
        features.append(found[layer].flatten(1).to(place).double())
        labels.append(logits.argmax(1).to(place))
    return torch.cat(features), torch.cat(labels)
