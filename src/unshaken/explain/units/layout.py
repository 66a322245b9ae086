"""What a unit is in the output of a layer: a channel of maps, of tokens or of a vector."""

from __future__ import annotations

import math

from torch import Tensor

from unshaken.core.errors import ModelError

MOST_EXTRA = 8
"""Tokens without a place that may stand before those of patches: a class token, registers."""


def unit_maps(output: Tensor, layer: str = "the layer") -> Tensor:
    """The activation map of each unit, `[N, D, h, w]`.

    Maps stay as they are, a vector `[N, D]` becomes maps of one place. Tokens `[N, T, D]` lose those without a place,
    which stand first, and become a square grid in row-major order: of 197 tokens the second is top left.

    Args:
        output: of a layer.
        layer: its name, for messages.

    Raises:
        ModelError: the output has another number of dimensions, or its tokens form no square.

    >>> import torch
    >>> unit_maps(torch.zeros(2, 197, 8)).shape
    torch.Size([2, 8, 14, 14])
    """
    if output.ndim == 4:
        return output
    if output.ndim == 2:
        return output[:, :, None, None]
    if output.ndim == 3:
        extra = extra_tokens(output.shape[1], layer)
        side = math.isqrt(output.shape[1] - extra)
        return output[:, extra:].transpose(1, 2).reshape(len(output), -1, side, side)
    raise ModelError(
        f"{layer} gives {list(output.shape)}: units are channels of maps [N, D, h, w], of tokens [N, T, D] or of a "
        "vector [N, D]; choose another layer"
    )


def extra_tokens(tokens: int, layer: str = "the layer") -> int:
    """The number of tokens without a place, the fewest that leave a square.

    Raises:
        ModelError: none of up to `MOST_EXTRA` does.

    >>> [extra_tokens(n) for n in (197, 196, 785, 198, 201)]
    [1, 0, 1, 2, 5]
    """
    for extra in range(min(MOST_EXTRA, tokens - 1) + 1):
        if math.isqrt(tokens - extra) ** 2 == tokens - extra:
            return extra
    raise ModelError(
        f"{layer} gives {tokens} tokens, which are no square grid after up to {MOST_EXTRA} tokens without a place: use "
        "square images, or choose another layer"
    )


def unit_axis(output: Tensor) -> int:
    """The dimension of the units in the output of a layer: the last of tokens, the second of maps and vectors."""
    return 2 if output.ndim == 3 else 1
