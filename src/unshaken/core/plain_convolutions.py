"""Convolutions of a traced network written as plain layers, so that what follows can be folded into them.

Networks that pad as TensorFlow does call `conv2d` with a layer's weights after a padding of their own. Such a call
becomes a `Conv2d`, and a padding by as many zeros on both sides becomes the layer's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Node


def plain_convolutions(traced: GraphModule) -> None:
    """Replace calls of `conv2d` with parameters of the network by layers, in place; see the module.

    Args:
        traced: in evaluation mode.
    """
    for number, node in enumerate(list(traced.graph.nodes)):
        layer = _layer(traced, node)
        if layer is None:
            continue
        name = f"plain_convolution_{number}"
        traced.add_submodule(name, layer.train(traced.training))
        with traced.graph.inserting_before(node):
            plain = traced.graph.call_module(name, (_unpadded(traced, node.args[0], layer),))
        node.replace_all_uses_with(plain)
        traced.graph.erase_node(node)
    traced.graph.eliminate_dead_code()
    traced.recompile()


def _layer(traced: GraphModule, node: Node) -> nn.Conv2d | None:
    """The layer that does what a call of `conv2d` does; None for any other node."""
    if node.op != "call_function" or node.target is not torch.conv2d or node.kwargs:
        return None
    given: tuple[Any, ...] = (*node.args, *(None, 1, 0, 1, 1)[len(node.args) - 2 :])
    weight, bias = (_parameter(traced, given[i]) for i in (1, 2))
    _, _, _, stride, padding, dilation, groups = given
    if weight is None or (bias is None) != (given[2] is None) or isinstance(padding, str):
        return None
    outs, ins, *kernel = weight.shape
    layer = nn.Conv2d(
        ins * groups,
        outs,
        (kernel[0], kernel[1]),
        _pair(stride),
        _pair(padding),
        _pair(dilation),
        groups,
        bias=False,
        device="meta",
    )
    layer.weight = weight
    layer.bias = bias
    return layer


def _parameter(traced: GraphModule, node: Any) -> nn.Parameter | None:
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    found: Any = traced
    for part in str(node.target).split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, nn.Parameter) else None


def _unpadded(traced: GraphModule, given: Any, layer: nn.Conv2d) -> Any:
    """The input of a padding with zeros before a layer that can pad itself; else the given input."""
    pad = dict(traced.named_modules()).get(str(given.target)) if given.op == "call_module" else None
    if type(pad) is not nn.ZeroPad2d or len(given.users) != 1:
        return given
    left, right, top, bottom = pad.padding
    if left != right or top != bottom or min(left, top) < 0:
        return given
    down, across = (int(p) for p in layer.padding)
    layer.padding = (down + top, across + left)
    return given.args[0]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
