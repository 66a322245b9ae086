"""A second copy of a model for searches: the same function in float32, with fewer and faster operations."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node, symbolic_trace
from torch.nn.utils.fusion import fuse_conv_bn_eval
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.device import full_float32
from unshaken.core.plain_convolutions import plain_convolutions
from unshaken.core.thin_input import thin_inputs

log = logging.getLogger(__name__)


def search_copy(model: Classifier, images: Tensor) -> Classifier | None:
    """A copy with batch norms folded into convolutions where the network can be traced, weights in channels_last.

    It is compared with the original on images, all at once and one alone. Whatever it finds, an example counts only
    after a fresh pass through the original (see `Oracle.exact`). Asked again for the same model with the same weights
    it is compared again, but not made again.

    Args:
        model: left as it is.
        images: `[N, C, H, W]` in [0, 1], on the model's device.

    Returns:
        The copy in evaluation mode without weight gradients, or None when the network cannot be copied, or when its
        logits differ by more than 1e-4 of the largest.
    """
    if not model.differentiable:
        return None
    for fold in (True, False):
        try:
            quick = _made(model, fold)
            if quick is not None and all(agree(model, quick, part) for part in (images, images[:1])):
                return quick
        except Exception as error:  # a user's code: whatever it raises, the original serves
            log.info("%s is not compared with its copy: %s", model.name, error)
    return None


@dataclass(slots=True)
class _Copies:
    """The copies of a model, as long as its weights stay as they are."""

    weights: list[tuple[ref[Tensor], int]]
    made: dict[bool, Classifier | None] = field(default_factory=dict)

    def fit(self, model: Classifier) -> bool:
        """Whether the model has the same tensors still, and nothing was written into them."""
        now = _tensors(model)
        kept = len(now) == len(self.weights)
        return kept and all(o() is t and v == _version(t) for t, (o, v) in zip(now, self.weights, strict=True))


_LATEST: WeakKeyDictionary[Classifier, _Copies] = WeakKeyDictionary()
"""Of the model that was copied last alone: one model is asked many times in a row, and is not held in memory twice."""


def _tensors(model: Classifier) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _version(tensor: Tensor) -> int:
    """How often a tensor was written; one made in inference mode does not count it."""
    return 0 if tensor.is_inference() else tensor._version


def _made(model: Classifier, fold: bool) -> Classifier | None:
    """A copy of the model as it is now, made once; None where none can be made."""
    copies = _LATEST.get(model)
    if copies is None or not copies.fit(model):
        copies = _Copies([(ref(t), _version(t)) for t in _tensors(model)])
        _LATEST.clear()
        _LATEST[model] = copies
    if fold not in copies.made:
        copies.made[fold] = None
        try:
            copies.made[fold] = _copied(model, fold)
        except Exception as error:  # tracing runs any user's code
            log.info("no %s copy of %s: %s", "folded" if fold else "channels_last", model.name, error)
    return copies.made[fold]


def _copied(model: Classifier, fold: bool) -> Classifier:
    quick = copy.deepcopy(model).eval().requires_grad_(False)
    if fold:
        quick.net = traced = folded(quick.net)
        rectify_in_place(traced)
    quick.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _keep_head(quick.net)
    thin_inputs(quick.net)
    return quick


def folded(net: nn.Module) -> GraphModule:
    """The network with each batch norm that alone follows a convolution folded into it.

    Args:
        net: in evaluation mode, traceable by torch.fx.
    """
    traced = symbolic_trace(net)
    plain_convolutions(traced)
    modules = dict(traced.named_modules())
    for node, before in foldable(traced):
        conv, norm = modules[str(before.target)], modules[str(node.target)]
        traced.set_submodule(str(before.target), fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def foldable(traced: GraphModule) -> list[tuple[Node, Node]]:
    """Each batch norm that alone follows a convolution, and that convolution, as nodes of a traced network."""
    modules = dict(traced.named_modules())
    found = []
    for node in traced.graph.nodes:
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        before = node.args[0] if isinstance(norm, nn.BatchNorm2d) else None
        if not isinstance(before, Node) or before.op != "call_module":
            continue
        if isinstance(modules.get(str(before.target)), nn.Conv2d) and len(before.users) == 1:
            found.append((node, before))
    return found


def rectify_in_place(traced: GraphModule) -> None:
    """Let each ReLU and ReLU6 write into its input where that is a convolution's output that nothing else reads.

    Args:
        traced: a network of its own: its layers are changed.
    """
    modules = dict(traced.named_modules())
    calls: dict[str, list[Node]] = {}
    for node in traced.graph.nodes:
        if node.op == "call_module" and type(modules[str(node.target)]) in (nn.ReLU, nn.ReLU6):
            calls.setdefault(str(node.target), []).append(node)
    for name, nodes in calls.items():
        before = [node.args[0] for node in nodes if node.args]
        if len(before) == len(nodes) and all(_is_own_convolution(modules, node) for node in before):
            modules[name].inplace = True


def _is_own_convolution(modules: Mapping[str, nn.Module], node: object) -> bool:
    """Whether a node is a convolution whose output is read once."""
    if not isinstance(node, Node) or node.op != "call_module" or len(node.users) != 1:
        return False
    return type(modules[str(node.target)]) is nn.Conv2d


class FloatHead(nn.Module):
    """A last linear layer that works in float32 whatever the precision before it.

    In bfloat16, logits near 8 lie 1/16 apart: a search that compares small changes of them would see none.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    @override
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            found: Tensor = self.linear(x.to(self.linear.weight))
            return found


def _keep_head(net: nn.Module) -> None:
    """Put the last linear layer into a `FloatHead`, in place."""
    last = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)][-1:]
    for name in last:
        if name:
            net.set_submodule(name, FloatHead(net.get_submodule(name)))  # type: ignore[arg-type]


def agree(model: Classifier, quick: nn.Module, images: Tensor) -> bool:
    """Whether both models agree in evaluation mode, to 1e-4 of the largest logit."""
    modes = [(m, m.training) for m in model.modules()]
    try:
        with torch.no_grad(), full_float32(images.device):
            right, other = model.eval()(images), quick(images)
    finally:
        for module, mode in modes:
            module.training = mode
    return bool(torch.allclose(right, other, rtol=0, atol=1e-4 * max(1e-6, float(right.abs().max()))))
