"""The weights of convolutions in an ONNX file, quantised ones put back into numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ModelError
from unshaken.core.extras import need
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
    """What the tensors of a graph are that do not depend on its input."""

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
