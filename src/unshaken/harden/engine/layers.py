"""Layers of any network: their order, the shapes of their outputs, and the features that the last one weighs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of
from unshaken.core.errors import UNFIT_INPUT, ModelError
from unshaken.core.texts import first_line

NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.modules.instancenorm._InstanceNorm,
)
CONTAINERS = (nn.Sequential, nn.ModuleList)


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or linear layer with its norm, or a whole block.

    Args:
        modules: paths as in `net.named_modules()`.
        keys: names of its parameters as in `net.named_parameters()`.
    """

    modules: tuple[str, ...]
    keys: tuple[str, ...]

    @property
    def name(self) -> str:
        """The path of its first module."""
        return self.modules[0]


def ordered_layers(net: nn.Module) -> list[Layer]:
    """The layers with parameters, in the order in which the network registers them; the classifier is the last.

    Lists and sequences of modules are entered; a module of another kind is a block, unless it holds more than half of
    all parameters and a list of blocks itself. A norm goes with the layer before it, a parameter
    that a list of blocks holds by itself with the first of them.

    Raises:
        ModelError: there are fewer than two: no body and classifier to tell apart.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    >>> [layer.modules for layer in ordered_layers(net)]
    [('0', '1'), ('4',)]
    """
    half = sum(p.numel() for p in net.parameters()) / 2
    found: list[Layer] = []
    for path in _paths(net, "", half):
        module = net.get_submodule(path)
        keys = tuple(f"{path}.{name}" for name, _ in module.named_parameters())
        if found and isinstance(module, NORMS):
            last = found.pop()
            found.append(Layer((*last.modules, path), last.keys + keys))
        else:
            found.append(Layer((path,), keys))
    if len(found) < 2:
        raise ModelError(
            f"a network of {len(found)} layer has no body apart from its classifier: name the layers yourself"
        )
    held = {key for layer in found for key in layer.keys}
    for name in reversed([name for name, _ in net.named_parameters() if name not in held]):
        holder = name.rpartition(".")[0]
        at = next(i for i, layer in enumerate(found) if not holder or layer.modules[0].startswith(f"{holder}."))
        found[at] = Layer(found[at].modules, (name, *found[at].keys))
    return found


def _paths(module: nn.Module, path: str, half: float) -> list[str]:
    found = []
    for name, child in module.named_children():
        below = f"{path}.{name}" if path else name
        if not any(True for _ in child.parameters()):
            continue
        found += _paths(child, below, half) if _is_open(child, half) else [below]
    return found


def _is_open(module: nn.Module, half: float) -> bool:
    """Whether a module is a list of layers and no layer itself."""
    if isinstance(module, CONTAINERS):
        return _several(module)
    whole = sum(p.numel() for p in module.parameters()) > half
    return whole and any(isinstance(child, CONTAINERS) and _several(child) for child in module.children())


def _several(module: nn.Module) -> bool:
    """Whether more than one child that is no norm has parameters."""
    weighty = [c for c in module.children() if not isinstance(c, NORMS) and any(True for _ in c.parameters())]
    return len(weighty) > 1


@dataclass(frozen=True, slots=True)
class Body:
    """A network's layers, separate from its classifier.

    Args:
        layers: parameter keys of each layer, from the input on.
        classifier: keys of the last layer.
    """

    layers: tuple[tuple[str, ...], ...]
    classifier: tuple[str, ...]


def body_of(net: nn.Module) -> Body:
    """The layers of a network in the order in which it registers them, and its classifier, the last of them.

    A layer is a convolution or linear layer with its norm, or a whole block of residual networks and transformers.

    Raises:
        ModelError: there is no body apart from a classifier.
    """
    *body, last = ordered_layers(net)
    return Body(tuple(layer.keys for layer in body), last.keys)


SIDES = (32, 28, 64, 96, 224)
"""Sides of images to try, where the model has no input size."""


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
    device = device_of(model)
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


def last_layer(net: nn.Module) -> str:
    """The name of a network's last linear layer, as it registers its modules.

    Raises:
        ModelError: the net has no linear layer under a name.
    """
    linear: list[str] = [name for name, module in net.named_modules() if isinstance(module, nn.Linear) and name]
    if not linear:
        raise ModelError(f"{type(net).__name__} has no linear layer at its end: give a network with a head")
    return linear[-1]


@contextmanager
def watched_features(net: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Passes inside leave their features `[N, D]` in a list, with their graph.

    Args:
        net: the network, which is called inside.
        layer: name of a linear layer.

    Raises:
        ModelError: what goes into the layer is not `[N, D]`.
    """
    found: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].ndim != 2:
            raise ModelError(f"the last linear layer {layer!r} is given {tuple(inputs[0].shape)}: [N, D] is wanted")
        found.append(inputs[0])

    with cast(nn.Linear, net.get_submodule(layer)).register_forward_pre_hook(keep):
        yield found
