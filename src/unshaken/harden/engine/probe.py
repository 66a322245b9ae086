"""What the layers of a network put out, found by one pass over blank images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import UNFIT_INPUT, ModelError
from unshaken.core.texts import first_line

SIDES = (32, 28, 64, 96, 224)
"""Sides of images to try, where the model does not say which it takes."""


def channels_of(net: nn.Module) -> int:
    """Input channels of the first convolution; 3 where there is none."""
    first = next((m for m in net.modules() if isinstance(m, nn.Conv2d)), None)
    return 3 if first is None else first.in_channels


def probe(model: Classifier, layers: Sequence[str]) -> tuple[list[torch.Size], int]:
    """Shapes of the layers' outputs without the sample, and the number of classes.

    Args:
        model: left as it is.
        layers: as in `net.named_modules()`.

    Raises:
        ModelError: there is no such layer, or the model takes images of none of the sizes that were tried.
    """
    sizes = [model.input_size] if model.input_size else [(side, side) for side in SIDES]
    channels = model.view.channels if model.view is not None else channels_of(model.net)
    device = next(iter(model.parameters()), torch.zeros(0)).device
    reason = ""
    with evaluating(model), torch.no_grad():
        for height, width in sizes:
            blank = torch.zeros(1, channels, height, width, device=device)
            try:
                logits, found = model.features(blank, list(layers))
            except UNFIT_INPUT as error:
                reason = first_line(error)
                continue
            return [found[layer].shape[1:] for layer in layers], logits.shape[1]
    raise ModelError(
        f"model {model.name!r} takes images of none of the sides {SIDES} ({reason}): give a model with a view"
    )
