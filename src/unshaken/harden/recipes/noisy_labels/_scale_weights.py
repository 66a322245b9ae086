"""Weights of input scales, learned as a parameter of the network that leaves when training ends."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of

NAME = "scale_logarithms"


def add_scales(model: Classifier, count: int) -> None:
    """Give the net a parameter `[count]` whose softmax are the weights of the scales, equal at first.

    Args:
        model: changed in place.
        count: number of scales.
    """
    device = device_of(model.net)
    model.net.register_parameter(NAME, nn.Parameter(torch.zeros(count, device=device)))


def scale_weights(model: Classifier) -> Tensor:
    """The weights of the scales, of sum 1, with their gradient, `[count]`."""
    return model.net.get_parameter(NAME).softmax(0)


def remove_scales(model: Classifier) -> None:
    """The net without that parameter; weights that were saved with it load into it too."""
    delattr(model.net, NAME)
    model.net.register_load_state_dict_pre_hook(_without_scales)  # type: ignore[no-untyped-call]


def _without_scales(_: nn.Module, weights: dict[str, Any], prefix: str, *rest: Any) -> None:
    weights.pop(prefix + NAME, None)
