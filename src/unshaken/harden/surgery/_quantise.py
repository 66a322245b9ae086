"""Quantisers of weight differences: `n` levels a tensor, as codes that pack into few bits."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import ParameterError

Quantiser = Literal["linear", "log", "tanh"]
EDGE = 1 - 2**-24
"""The largest value that tanh is taken back from."""


def quantised(values: Tensor, levels: int, kind: Quantiser = "linear") -> Tensor:
    """Values on `n` levels: what `dequantise` makes of `quantise`.

    Args:
        values: any shape.
        levels: n, 2 or more; even and 4 or more for `log`.
        kind: `linear`: `round((v - min) / (max - min) (n - 1)) / (n - 1) (max - min) + min`; `log`:
            `sign(v) 2^q` with q the linear quantiser of n/2 levels on `log2 |v|`, zeros staying zeros; `tanh`: the
            linear quantiser on `tanh v`, taken back. Ties go to the even code; equal values stay as they are.

    Returns:
        The same shape.

    Raises:
        ParameterError: so many levels are not possible.

    >>> [round(v, 4) for v in quantised(torch.tensor([-1.0, -0.42, 0.1, 0.35, 1.0]), 4).tolist()]
    [-1.0, -0.3333, 0.3333, 0.3333, 1.0]
    """
    codes, low, high = quantise(values, levels, kind)
    return (
        torch.where(values == 0, 0.0, dequantise(codes, low, high, levels, kind))
        if kind == "log"
        else dequantise(codes, low, high, levels, kind)
    )


def quantise(values: Tensor, levels: int, kind: Quantiser = "linear") -> tuple[Tensor, float, float]:
    """Codes int64 of the shape of `values`, and the range that they cover; see `quantised`.

    Codes of `log` are those of the magnitudes, and n/2 more where the value is negative; a zero has the code of the
    smallest magnitude, so keep the places of zeros apart.
    """
    check_levels(levels, kind)
    if kind == "log":
        size = values.abs()
        logs = torch.log2(torch.where(size > 0, size, size[size > 0].min() if bool((size > 0).any()) else 1.0))
        codes, low, high = _linear(logs, levels // 2)
        return codes + (values < 0) * (levels // 2), low, high
    return _linear(torch.tanh(values) if kind == "tanh" else values, levels)


def dequantise(codes: Tensor, low: float, high: float, levels: int, kind: Quantiser = "linear") -> Tensor:
    """Values float32 of codes; see `quantise`."""
    if kind == "log":
        half = levels // 2
        return torch.where(codes >= half, -1.0, 1.0) * torch.exp2(_values(codes % half, low, high, half))
    values = _values(codes, low, high, levels)
    return torch.atanh(values.clamp(-EDGE, EDGE)) if kind == "tanh" else values


def check_levels(levels: int, kind: str) -> None:
    """Raise a `ParameterError` where a quantiser cannot have so many levels."""
    if kind not in get_args(Quantiser):
        raise ParameterError(f"quantiser {kind!r} is not one of {', '.join(get_args(Quantiser))}")
    least = 4 if kind == "log" else 2
    if not least <= levels <= 2**16 or (kind == "log" and levels % 2):
        even = "an even number " if kind == "log" else ""
        raise ParameterError(f"quantiser {kind!r} takes {even}from {least} to 65536 levels, not {levels}")


def bits(levels: int) -> int:
    """Number of bits of a code.

    >>> bits(2), bits(4), bits(5), bits(256)
    (1, 2, 3, 8)
    """
    return max(1, math.ceil(math.log2(levels)))


def pack(codes: Tensor, levels: int) -> Tensor:
    """Codes as uint8 `[ceil(size bits / 8)]`, the first bit first."""
    width = bits(levels)
    planes = (codes.flatten().numpy()[:, None] >> np.arange(width)) & 1
    return torch.from_numpy(np.packbits(planes.astype(np.uint8)))


def unpack(packed: Tensor, count: int, levels: int) -> Tensor:
    """The `count` codes int64 that were packed."""
    width = bits(levels)
    planes = np.unpackbits(packed.numpy(), count=count * width).reshape(count, width).astype(np.int64)
    return torch.from_numpy((planes << np.arange(width)).sum(1))


def _linear(values: Tensor, levels: int) -> tuple[Tensor, float, float]:
    if not values.numel():
        return values.long(), 0.0, 0.0
    low, high = (v.item() for v in values.aminmax())
    if high == low or levels == 1:
        return torch.zeros_like(values, dtype=torch.int64), low, high
    return torch.round((widen(values) - low) / (high - low) * (levels - 1)).long(), low, high


def _values(codes: Tensor, low: float, high: float, levels: int) -> Tensor:
    if levels == 1:
        return torch.full(codes.shape, low)
    return (widen(codes) / (levels - 1) * (high - low) + low).float()
