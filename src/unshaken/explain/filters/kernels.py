"""The kernels of the convolutions of a network or an ONNX file, with every reparametrisation of weights carried out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError
from unshaken.core.imports import need
from unshaken.models.loaders.from_onnx import OnnxNet
from unshaken.models.loaders.weights import first_line, refuse_disguised

Numbers = NDArray[np.float64]


def read_onnx(path: str) -> list[tuple[str, Numbers, bool]]:
    """Convolutions of a graph in its order.

    Args:
        path: the file.

    Returns:
        Of each its name, its weight `[outputs, inputs / groups, height, width]` and whether it is depth-wise. A
        convolution whose weight the graph computes is left out.

    Raises:
        MissingExtra: the package `onnx` is absent.
        ModelError: the file is no graph.
    """
    onnx = need("onnx", "onnx", "onnx", f"reading the filters of 'onnx:{path}'")
    refuse_disguised(Path(path))
    try:
        graph = onnx.load(path).graph
        constants = _Constants(graph, onnx.numpy_helper.to_array)
    except Exception as error:
        raise ModelError(f"{path} is not an ONNX graph whose weights can be read: {first_line(error)}") from error
    found = []
    for i, node in enumerate(graph.node):
        weight = constants.weight_of(node)
        if weight is not None and weight.ndim == 4:
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            transposed = node.op_type == "ConvTranspose"
            if transposed:
                g, (inputs, outputs) = groups, (weight.shape[0] // groups, weight.shape[1])
                swapped = weight.reshape(g, inputs, outputs, *weight.shape[2:]).swapaxes(1, 2)
                weight = swapped.reshape(g * outputs, inputs, *weight.shape[2:])
            found.append((node.name or f"{node.op_type}_{i}", weight, groups > 1 and weight.shape[1] == 1))
    return found


class _Constants:
    """Tensors of a graph that do not depend on its input."""

    def __init__(self, graph: Any, to_array: Any) -> None:
        self.to_array = to_array
        self.tensors: Mapping[str, Any] = {t.name: t for t in graph.initializer}
        self.makers = {name: node for node in graph.node for name in node.output}

    def weight_of(self, node: Any) -> Numbers | None:
        """The weight of a convolution; None of other nodes."""
        names = list(node.input)
        if node.op_type in ("Conv", "ConvTranspose"):
            return self.value(names[1])
        if node.op_type == "QLinearConv":
            return self._dequantised(names[3], names[4], names[5], axis=0)
        if node.op_type == "ConvInteger":
            return self._dequantised(names[1], "", names[3] if len(names) > 3 else "", axis=0)
        return None

    def value(self, name: str) -> Numbers | None:
        """A tensor by name; None where it depends on the input."""
        if name in self.tensors:
            return np.asarray(self.to_array(self.tensors[name]), np.float64)
        node = self.makers.get(name)
        if node is None:
            return None
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            return np.asarray(self.to_array(attributes["value"].t), np.float64)
        if node.op_type == "Identity":
            return self.value(node.input[0])
        if node.op_type == "DequantizeLinear":
            axis = attributes["axis"].i if "axis" in attributes else 1
            values, scale, zero = (*node.input, "")[:3]
            return self._dequantised(values, scale, zero, axis=axis)
        return None

    def _dequantised(self, name: str, scale: str, zero: str, axis: int) -> Numbers | None:
        values = self.value(name)
        if values is None:
            return None
        shape = [-1 if i == axis % values.ndim else 1 for i in range(values.ndim)]
        for other, change in ((zero, np.subtract), (scale, np.multiply)):
            constant = self.value(other) if other else None
            if constant is not None:
                values = change(values, constant.reshape(shape) if constant.size > 1 else constant.reshape(()))
        return values


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
        """Kernels, one a row: `[outputs * inputs / groups, height * width]`, row by row of the kernel."""
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
        found = []
        for name, module in net.named_modules():
            kernel = getattr(module, "kernel_size", None)
            if isinstance(kernel, tuple) and len(kernel) == 2 and hasattr(module, "in_channels"):
                groups: Any = module.groups
                depthwise = bool(groups > 1 and groups == module.in_channels)
                found.append((name, _outputs_first(module), depthwise))
        return number_layers(found)


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
            own = {"do_power_iteration": False} if hasattr(hook, "n_power_iterations") else {}  # no step of its own
            weight = compute(module, **own)
    found: Tensor = weight.detach()
    return found.dequantize() if found.is_quantized else found
