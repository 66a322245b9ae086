"""What attention layers make of attention: where the heads' outputs can be read, and how a score hangs on attention.

A head gives `O = A V`. With the gradient `G = d z / d O` the gradient by the attention itself is `d z / d A = G V'`,
also where a fused kernel never writes A down.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from unshaken.core.classifier import INPUT
from unshaken.core.errors import ModelError
from unshaken.models.networks.attention import attention_of

TOLERANCE = 1e-2
"""Share of the largest output by which rounding, also in half precision, may move one."""


def values_of(layer: Any, tokens: Tensor) -> Tensor:
    """The values V of all heads, `[N, heads, T, d]`.

    Args:
        layer: self-attention of a known form; see `attention_layers`.
        tokens: what goes into it, `[N, T, D]`, or `[T, N, D]` for a `MultiheadAttention` that wants it so.
    """
    if isinstance(layer, nn.MultiheadAttention):
        tokens = tokens if layer.batch_first else tokens.transpose(0, 1)
        values = F.linear(tokens, layer.in_proj_weight, layer.in_proj_bias).chunk(3, -1)[2]
    else:
        values = layer.qkv(tokens).chunk(3, -1)[2] if hasattr(layer, "qkv") else layer.value(tokens)
    heads = getattr(layer, "num_heads", None) or layer.num_attention_heads
    return values.reshape(*values.shape[:2], heads, -1).transpose(1, 2)


def output_place(layer: Any, name: str) -> str:
    """Where to read what `attention_gradient` wants: a name as in `Classifier.features`.

    Args:
        layer: as for `values_of`.
        name: of the layer.

    Raises:
        ModelError: the heads' outputs are not to be read.
    """
    if isinstance(layer, nn.MultiheadAttention) or not hasattr(layer, "qkv"):
        return name
    behind = [part for part in ("norm", "proj") if _is_there(layer, part)]
    if not behind or _is_there(layer, "gate"):
        raise ModelError(
            f"the attention layer {name!r} has a gate, or no linear layer `proj`, behind its heads, whose outputs are "
            "not to be read there: use attention-rollout"
        )
    return f"{name}.{behind[0]}{INPUT}"


def is_plain(layer: Any, tokens: Tensor, output: Tensor) -> bool:
    """Whether a layer's heads give `softmax(q k' / sqrt(d)) V`, and no more: no position bias, no rotation.

    Args:
        layer: as for `values_of`.
        tokens: as for `values_of`.
        output: what was read at `output_place` in the same pass.
    """
    heads = attention_of(layer, tokens).to(tokens) @ values_of(layer, tokens)
    found = heads.transpose(1, 2).flatten(2)
    if isinstance(layer, nn.MultiheadAttention):
        found = layer.out_proj(found)
        found = found if layer.batch_first else found.transpose(0, 1)
    gap = (found - output).abs().max()
    return not bool(gap > TOLERANCE * output.abs().max())  # what is no number is not held against it


def attention_gradient(layer: Any, tokens: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of a score by the attention of a layer, `d z / d A = G V'`, `[N, heads, T, T]`.

    Args:
        layer: as for `values_of`.
        tokens: as for `values_of`.
        gradient: of the score by what is read at `output_place`, in its shape.
    """
    values = values_of(layer, tokens)
    if isinstance(layer, nn.MultiheadAttention):  # read behind the linear layer that follows the heads
        gradient = (gradient if layer.batch_first else gradient.transpose(0, 1)) @ layer.out_proj.weight
    heads = gradient.reshape(*gradient.shape[:2], values.shape[1], -1).transpose(1, 2)
    return heads @ values.transpose(-1, -2)


def _is_there(layer: nn.Module, part: str) -> bool:
    """Whether a layer has a part that does something."""
    found = getattr(layer, part, None)
    return isinstance(found, nn.Module) and not isinstance(found, nn.Identity)
