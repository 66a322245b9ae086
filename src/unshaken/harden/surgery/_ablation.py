"""Units taken out of a network as a signature: the weights that make each of them 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.core.numbers import parse_whole, shorten
from unshaken.harden.surgery._checksum import architecture, checksum
from unshaken.harden.surgery._signature import Signature, SignatureMeta
from unshaken.models.loaders.weights import first_line

ZERO_STAYS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardtanh, nn.Tanh, nn.Identity, nn.Dropout, nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
)  # fmt: skip
"""Layers that give 0 where they are given 0, channel by channel."""
AFFINE = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm)
"""Layers whose output channel is 0 where its weights and its bias are."""


def ablation(net: nn.Module, units: Mapping[str, Sequence[int]]) -> Signature:
    """A signature that, added to the weights of `net`, makes some units 0 for every image.

    The output of a layer is 0 in a channel if the convolution, linear layer or batch norm that makes it has no weight
    and no bias there, and only activations follow.

    Args:
        net: with the weights.
        units: layer to the numbers of its channels.

    Raises:
        ModelError: there is no such layer or unit, or the layer's output is made by something else, such as a sum.
        ParameterError: no unit is named.
    """
    weights = net.state_dict()
    tensors: dict[str, Tensor] = {}
    for layer, numbers in units.items():
        path = _maker(net, layer)
        module = net.get_submodule(path)
        for name in ("weight", "bias"):
            key, own = f"{path}.{name}", getattr(module, name)
            if own is None:
                continue
            if outside := [n for n in numbers if not 0 <= n < len(own)]:
                raise ModelError(f"layer {layer!r} has the units 0 to {len(own) - 1}, not {outside[0]}")
            tensors.setdefault(key, torch.zeros_like(own.detach()))
            tensors[key][list(numbers)] = -own.detach()[list(numbers)]
    if not any(units.values()):
        raise ParameterError("no unit is named: write LAYER:UNIT, as in body.2:17")
    named = ", ".join(f"{layer}:{n}" for layer, numbers in units.items() for n in numbers)
    own_checksum = checksum(weights)
    meta = SignatureMeta(
        architecture=architecture(weights), pretrained=own_checksum, standard=own_checksum, classifier=(),
        layers=(tuple(tensors),), corruption=f"without the units {named}", projection="none",
    )  # fmt: skip
    return Signature(tensors, meta)


def parse_units(texts: Iterable[str]) -> dict[str, list[int]]:
    """The units of each layer, of texts `LAYER:UNIT`.

    Raises:
        ParameterError: a text is of another form.

    >>> parse_units(["body.0:3", "body.0:1", "head:0"])
    {'body.0': [3, 1], 'head': [0]}
    """
    found: dict[str, list[int]] = {}
    for text in texts:
        layer, colon, unit = text.rpartition(":")
        if not colon or not layer:
            raise ParameterError(f"{shorten(text)} is no unit: write LAYER:UNIT, as in body.2:17")
        found.setdefault(layer, []).append(parse_whole(unit, least=0))
    return found


def _maker(net: nn.Module, layer: str) -> str:
    """The path of the layer whose weights make the output of `layer`."""
    modules = dict(net.named_modules())
    if layer not in modules:
        raise ModelError(f"the network has no layer {layer!r}; {did_you_mean(layer, modules)}")
    path = layer
    while not isinstance(modules[path], AFFINE) or getattr(modules[path], "weight", None) is None:
        module = modules[path]
        parent, _, name = path.rpartition(".")
        if isinstance(module, nn.Sequential) and len(module):
            path = f"{path}.{[child for child, _ in module.named_children()][-1]}"
        elif isinstance(module, ZERO_STAYS) and (before := _before(modules[parent], name)):
            path = f"{parent}.{before}" if parent else before
        else:
            raise ModelError(
                f"the output of layer {layer!r} is made by {path!r} ({type(module).__name__}), whose units no weights "
                "turn off: name the convolution, linear layer or batch norm before it, or ablate units by a hook"
            )
    return path


def _before(parent: nn.Module, name: str) -> str:
    """The name of the layer before one in a sequence; empty where there is none."""
    names = [child for child, _ in parent.named_children()] if isinstance(parent, nn.Sequential) else [name]
    place = names.index(name)
    return names[place - 1] if place else ""


def read_ablation(base: Path, net: nn.Module, weights: Mapping[str, Tensor], units: Iterable[str]) -> Signature:
    """The signature for weights in a file.

    Args:
        base: the file, for messages.
        net: of its architecture.
        weights: of the file.
        units: texts `LAYER:UNIT`.

    Raises:
        ModelError: the weights are not of the architecture; or as `ablation`.
        ParameterError: as `parse_units`.
    """
    try:
        net.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise ModelError(f"{base} does not hold weights of this architecture ({first_line(error)})") from None
    return ablation(net, parse_units(units))
