"""The kernels in a file of weights whose architecture is not known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unshaken.core.errors import ModelError
from unshaken.explain.filters.kernels import ConvLayer, number_layers
from unshaken.models.loaders.weights import read_weights

_PLAIN = re.compile(r"(.*?)\.?(?:parametrizations\.)?weight(?:\.original[01]?|_orig|_v)?")


def read_filters(path: Path | str) -> list[ConvLayer]:
    """The convolutions in a safetensors file or a checkpoint.

    Raises:
        ModelError: it cannot be read, or holds no weights of convolutions.
    """
    layers = filters_of_weights(read_weights(path))
    if not layers:
        raise ModelError(f"{path} holds no weights of convolutions (tensors of four dimensions)")
    return layers


def filters_of_weights(weights: Mapping[str, Tensor]) -> list[ConvLayer]:
    """The convolutions of a state dict, in its order: its tensors `[outputs, inputs / groups, height, width]`.

    Weight norm, spectral norm and pruning masks of `torch.nn.utils` are carried out. What a state dict does not say:
    which convolutions are transposed; their rows are then input channels.

    Args:
        weights: name to tensor.
    """
    found: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        name = _PLAIN.fullmatch(key)
        if name and tensor.ndim == 4 and tensor.is_floating_point() and name[1] not in found:
            found[name[1]] = _materialised(name[1], tensor, weights)
    rows = [(name, np.asarray(w.cpu().double().numpy()), w.shape[0] > 1 == w.shape[1]) for name, w in found.items()]
    return number_layers(rows)


def _materialised(name: str, tensor: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """The weight of a layer from the parts that its state dict holds."""
    stem = f"{name}." if name else ""

    def part(*keys: str) -> Tensor | None:
        return next((weights[stem + key] for key in keys if stem + key in weights), None)

    original = part("weight_orig", "parametrizations.weight.original")
    mask = part("weight_mask")
    if original is not None and mask is not None:
        return original * mask
    u = part("weight_u", "parametrizations.weight.0._u")
    v = part("weight_v", "parametrizations.weight.0._v")
    if original is not None and u is not None and v is not None:
        return original / torch.dot(u, original.flatten(1) @ v)
    g = part("weight_g", "parametrizations.weight.original0")
    direction = part("weight_v", "parametrizations.weight.original1")
    if g is not None and direction is not None:
        dims = [d for d in range(direction.ndim) if g.shape[d] == 1]
        length: Tensor = torch.linalg.vector_norm(direction, dim=dims, keepdim=True)
        return g * direction / length
    return tensor
