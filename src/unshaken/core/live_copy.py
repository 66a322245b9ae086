"""A search copy of a network under training: it follows the weights, at the price of folding them again."""

from __future__ import annotations

import copy
import logging

import torch
from torch import Tensor, nn
from torch.fx import symbolic_trace
from torch.nn.utils.fusion import fuse_conv_bn_weights
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.oracle import required
from unshaken.core.search_copy import agree, foldable
from unshaken.core.thin_input import thin_inputs

log = logging.getLogger(__name__)

Pair = tuple[nn.Conv2d, nn.BatchNorm2d, nn.Conv2d]
"""A live convolution, the live batch norm after it, and the folded convolution of the copy."""


class LiveCopy(nn.Module):
    """A classifier in evaluation mode with its batch norms folded; all other weights are the live ones themselves.

    Args:
        model: the live classifier, whatever mode it is in.
        copied: a traced copy of it with the pairs folded.
        pairs: see `Pair`.
    """

    def __init__(self, model: Classifier, copied: Classifier, pairs: list[Pair]) -> None:
        super().__init__()
        self.copied, self.pairs = copied, pairs
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Fold the live weights and statistics as they are now."""
        for conv, norm, folded in self.pairs:
            statistics = required(norm.running_mean), required(norm.running_var)
            weight, bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics, norm.eps, norm.weight, norm.bias)
            folded.weight.copy_(weight)
            folded.bias.copy_(bias)  # type: ignore[union-attr]

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.copied(images)
        return logits


def live_copy(model: Classifier, images: Tensor) -> LiveCopy | None:
    """A copy that follows a network under training.

    Args:
        model: left as it is.
        images: `[N, C, H, W]` in [0, 1], to compare the two on.

    Returns:
        The copy, or None when the network cannot be traced or does not say the same.
    """
    try:
        copied = copy.deepcopy(model).eval().requires_grad_(False)
        copied.net, pairs = _shared(model.net, copied.net)
        thin_inputs(copied.net)
        quick = LiveCopy(model, copied, pairs)
        if agree(model, quick, images):
            return quick
    except Exception as error:  # tracing runs any user's code: whatever it raises, the original serves
        log.info("no live copy of %s: %s", model.name, error)
    return None


def _shared(live: nn.Module, own: nn.Module) -> tuple[nn.Module, list[Pair]]:
    """A traced network with folded convolutions of its own, and the live tensors everywhere else."""
    traced = symbolic_trace(own)
    modules, there = dict(traced.named_modules()), dict(live.named_modules())
    pairs: list[Pair] = []
    for node, before in foldable(traced):
        name, follower = str(before.target), str(node.target)
        conv = modules[name]
        folded = copy.deepcopy(conv).to(memory_format=torch.channels_last)
        folded.bias = nn.Parameter(torch.zeros_like(conv.weight[:, 0, 0, 0]), requires_grad=False)
        traced.set_submodule(name, folded)
        pairs.append((there[name], there[follower], folded))
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    renewed = {id(folded) for _, _, folded in pairs}
    for name, module in traced.named_modules():
        if id(module) in renewed:
            continue
        for key, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            source = live.get_submodule(name) if name else live
            same = getattr(source, key)
            shown = nn.Parameter(same.detach(), requires_grad=False) if isinstance(tensor, nn.Parameter) else same
            setattr(module, key, shown)
    return traced, pairs
