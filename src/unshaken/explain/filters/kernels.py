"""The kernels of a network's convolutions, as they act: with every reparametrisation of the weights carried out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError
from unshaken.explain.filters.onnx_kernels import read_onnx
from unshaken.models.loaders.from_onnx import OnnxNet

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ConvLayer:
    """The weights of one convolution.

    Args:
        name: of the layer, as in `named_modules()`, or of the weights in a file.
        depth: its number among all convolutions, from 0, as a share of their number: in [0, 1).
        weight: float64 `[outputs, inputs / groups, height, width]`; of a transposed convolution likewise, so that a row
            is always an output channel.
        depthwise: whether each output reads one input of several.
    """

    name: str
    depth: float
    weight: Numbers
    depthwise: bool = False

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def filters(self) -> Numbers:
        """One kernel a row: `[outputs * inputs / groups, height * width]`, row by row of the kernel."""
        return self.weight.reshape(-1, self.weight.shape[2] * self.weight.shape[3])

    @property
    def is_finite(self) -> bool:
        """Whether no weight is infinite or not a number."""
        return bool(np.isfinite(self.weight).all())


def conv_layers(model: Classifier | nn.Module) -> list[ConvLayer]:
    """All two-dimensional convolutions of a network, whatever their kernels, in the order of definition.

    Weight norm, spectral norm and pruning masks of `torch.nn.utils` are carried out, quantised weights are put back
    into numbers; batch norms are not folded in. A layer that is used twice is listed once. Of an ONNX file the
    initialisers of its `Conv`, `ConvTranspose`, `QLinearConv` and `ConvInteger` nodes are read.

    Args:
        model: left as it was found.

    Raises:
        MissingExtra: the model is an ONNX file, and the package that reads it is absent.
    """
    net = model.net if isinstance(model, Classifier) else model
    if isinstance(net, OnnxNet):
        return number_layers(read_onnx(net.path))
    with evaluating(net), torch.no_grad():
        modules = [(name, m) for name, m in net.named_modules() if _is_convolution(m)]
        return number_layers([(name, _outputs_first(m), _is_depthwise(m)) for name, m in modules])


def number_layers(found: Sequence[tuple[str, Numbers, bool]]) -> list[ConvLayer]:
    """Layers with their depth, from name, weight and whether they are depth-wise."""
    return [ConvLayer(name, i / len(found), weight, wise) for i, (name, weight, wise) in enumerate(found)]


def layers_of_size(layers: Sequence[ConvLayer], size: int, *, depthwise: bool = True, name: str) -> list[ConvLayer]:
    """The layers whose kernels are square and of one size.

    Args:
        layers: of a model.
        size: height and width in pixels.
        depthwise: whether depth-wise layers count.
        name: of the model, for messages.

    Raises:
        ModelError: there is none; the message names the sizes that are there.
    """
    chosen = [x for x in layers if x.kernel == (size, size) and (depthwise or not x.depthwise)]
    if chosen:
        return chosen
    if not layers:
        raise ModelError(f"model {name!r} has no convolution: there are no filters to look at")
    sizes = Counter(x.kernel for x in layers if depthwise or not x.depthwise)
    there = ", ".join(f"{h} x {w} ({count})" for (h, w), count in sorted(sizes.items())) or "depth-wise ones alone"
    raise ModelError(f"model {name!r} has no convolution with {size} x {size} kernels; it has {there}: choose size=...")


def _is_convolution(module: nn.Module) -> bool:
    kernel = getattr(module, "kernel_size", None)
    return isinstance(kernel, tuple) and len(kernel) == 2 and hasattr(module, "in_channels")


def _is_depthwise(module: Any) -> bool:
    return bool(module.groups > 1 and module.groups == module.in_channels)


def _outputs_first(module: Any) -> Numbers:
    """The weight of a convolution, `[outputs, inputs / groups, height, width]`."""
    weight = _materialised(module)
    if getattr(module, "transposed", False):
        g = module.groups
        inputs, outputs = weight.shape[0] // g, weight.shape[1]
        grouped = weight.reshape(g, inputs, outputs, *weight.shape[2:])
        weight = grouped.transpose(1, 2).reshape(g * outputs, inputs, *weight.shape[2:])
    return np.asarray(weight.cpu().double().numpy())


def _materialised(module: Any) -> Tensor:
    """The weight that the next forward pass would use; hooks of the older kind keep a stale one until then."""
    weight = module.weight() if callable(module.weight) else module.weight
    for hook in module._forward_pre_hooks.values():
        if getattr(hook, "name", getattr(hook, "_tensor_name", None)) != "weight":
            continue
        if callable(mask := getattr(hook, "apply_mask", None)):
            weight = mask(module)
        elif callable(compute := getattr(hook, "compute_weight", None)):
            weight = _computed(compute, hook, module)
    found: Tensor = weight.detach()
    return found.dequantize() if found.is_quantized else found


def _computed(compute: Callable[..., Tensor], hook: Any, module: Any) -> Tensor:
    """What weight norm or spectral norm makes of its parameters, without another step of the power iteration."""
    return compute(module, do_power_iteration=False) if hasattr(hook, "n_power_iterations") else compute(module)
