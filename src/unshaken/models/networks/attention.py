"""Attention of vision transformers: read out, and smoothed by a temperature.

Three forms are known: a linear layer `qkv` with `num_heads` (this package's and timm's), `torch.nn.MultiheadAttention`
(torchvision's), and linear layers `query` and `key` (transformers').

A head gives `O = A V`. With the gradient `G = d z / d O` the gradient by the attention itself is `d z / d A = G V'`,
also where a fused kernel never writes A down.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unshaken.core.classifier import INPUT, Classifier, evaluating
from unshaken.core.errors import ModelError, ParameterError


def smoothed(model: Classifier, temperature: float) -> Classifier:
    """A copy of a model with flatter attention: `softmax(q k' / (T sqrt(d))) v` in every layer, nothing retrained.

    T divides the queries, by way of the weights that make them; gradients flow as before.

    Args:
        model: a vision transformer; left as it is.
        temperature: T above 0; 1 changes nothing.

    Raises:
        ParameterError: the temperature is not above 0.
        ModelError: no attention of a known form is found.

    Source: Gu et al. 2022, arXiv:2111.10659.
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ParameterError(
            f"temperature={temperature!r} must be a finite number above 0; 1 leaves attention as it is"
        )
    flat = copy.deepcopy(model)
    with torch.no_grad():
        for layer in attention_layers(flat):
            for weight in _query_weights(layer):
                weight.div_(temperature)
    flat.name = f"{model.name} at T = {temperature:g}"
    return flat


def attention_layers(model: Classifier) -> list[nn.Module]:
    """The self-attention layers of a model, in the order of its blocks.

    Raises:
        ModelError: there is none of a known form.
    """
    layers = [module for module in model.net.modules() if _is_attention(module)]
    if not layers:
        raise ModelError(
            f"model {model.name!r} has no attention layers of a known form (qkv, MultiheadAttention, query)"
        )
    return layers


def attention_names(model: Classifier) -> tuple[str, ...]:
    """The names of the self-attention layers in `model.net`, in the order of its blocks.

    Raises:
        ModelError: there is none of a known form.
    """
    layers = set(map(id, attention_layers(model)))
    return tuple(name for name, module in model.net.named_modules() if id(module) in layers)


def attention_of(layer: nn.Module, tokens: Tensor) -> Tensor:
    """How much each token attends to each other in one layer: `softmax(q k' / sqrt(d))`, with its gradient.

    Args:
        layer: self-attention of a known form.
        tokens: what goes into it, `[N, T, D]`.

    Returns:
        Float32 `[N, heads, T, T]`, rows of sum 1.
    """
    q, k = queries_and_keys(layer, tokens)
    return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).float().softmax(-1)


def attention_maps(model: Classifier, images: Tensor) -> Tensor:
    """How much each token attends to each other: `softmax(q k' / sqrt(d))` of every layer.

    Args:
        model: a vision transformer in evaluation mode.
        images: `[N, C, H, W]` in [0, 1].

    Returns:
        Float32 `[L, N, heads, T, T]`, rows of sum 1; token 0 is the class token where there is one.

    Raises:
        ModelError: no attention of a known form is found.
    """
    found: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(attention_of(layer, inputs[0]))

    handles = [layer.register_forward_pre_hook(keep) for layer in attention_layers(model)]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack(found)


def rollout(maps: Tensor) -> Tensor:
    """Attention rollout: `R = A_L' ... A_1'` with `A_l' = (A_l + I) / 2`, heads averaged.

    Args:
        maps: as `attention_maps` gives them.

    Returns:
        `[N, T, T]`, rows of sum 1: how much of each input token has reached each output token.

    Source: Abnar & Zuidema 2020, arXiv:2005.00928.
    """
    layers = maps.mean(2)
    eye = torch.eye(layers.shape[-1], device=layers.device, dtype=layers.dtype)
    mixed = eye.expand_as(layers[0])
    for layer in layers:
        mixed = (layer + eye) / 2 @ mixed
    return mixed


def token_side(model: Classifier) -> int:
    """The side of a token's patch in pixels: the stride of the first convolution.

    Raises:
        ModelError: the model does not begin with a convolution whose stride is its kernel.
    """
    first = next((m for m in model.net.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.kernel_size != first.stride or first.stride[0] != first.stride[1]:
        raise ModelError(f"model {model.name!r} has no first convolution that cuts images into square patches")
    return int(first.stride[0])


def _is_attention(module: nn.Module) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return module.in_proj_weight is not None
    made = [getattr(module, name, None) for name in ("query", "key")]
    fused = isinstance(getattr(module, "qkv", None), nn.Linear) and hasattr(module, "num_heads")
    return fused or all(isinstance(layer, nn.Linear) for layer in made)


def _query_weights(layer: Any) -> Iterator[Tensor]:
    """Weights that the queries are linear in; a normalisation of the queries comes after all others."""
    norm = getattr(layer, "q_norm", None)
    if norm is not None and not isinstance(norm, nn.Identity):
        yield from norm.parameters()
        return
    if isinstance(layer, nn.MultiheadAttention):
        rows, weight, bias = layer.embed_dim, layer.in_proj_weight, layer.in_proj_bias
    else:
        fused = hasattr(layer, "qkv")
        made = layer.qkv if fused else layer.query
        rows, weight, bias = made.out_features // (3 if fused else 1), made.weight, made.bias
    yield weight[:rows]
    if bias is not None:
        yield bias[:rows]


def queries_and_keys(layer: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Both `[N, heads, T, d]`, from tokens `[N, T, D]`."""
    if isinstance(layer, nn.MultiheadAttention):
        if not layer.batch_first:
            tokens = tokens.transpose(0, 1)
        q, k, _ = F.linear(tokens, layer.in_proj_weight, layer.in_proj_bias).chunk(3, -1)
    elif hasattr(layer, "qkv"):
        q, k, _ = layer.qkv(tokens).chunk(3, -1)
    else:
        q, k = layer.query(tokens), layer.key(tokens)
    heads = getattr(layer, "num_heads", None) or layer.num_attention_heads
    q, k = (x.reshape(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k))
    norms = (getattr(layer, name, None) for name in ("q_norm", "k_norm"))
    q, k = (x if norm is None else norm(x) for x, norm in zip((q, k), norms, strict=True))
    return q, k


def attention_to(model: Classifier, images: Tensor, token: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """The class token's attention to one patch of each image, by layer, and its rollout up to that layer.

    Args:
        model: with a class token first and the patches last.
        images: `[N, C, H, W]`.
        token: int64 `[N]`, the patch.
        grid: number of patches.

    Returns:
        Both `[L, N]`, in units of the even share `1 / T` (rollout: `1 / grid`).
    """
    direct, rolled = [], []
    with evaluating(model):
        for x, at in zip(torch.split(images, 25), torch.split(token, 25), strict=True):
            maps = attention_maps(model, x)
            picked = at + maps.shape[-1] - grid
            rows = torch.arange(len(x))
            direct.append(maps.mean(2)[:, rows, 0, picked] * maps.shape[-1])
            whole = torch.stack([rollout(maps[: i + 1])[:, 0] for i in range(len(maps))])
            rolled.append(whole[:, rows, picked] / whole[:, :, -grid:].sum(-1) * grid)
    return torch.cat(direct, 1), torch.cat(rolled, 1)


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
