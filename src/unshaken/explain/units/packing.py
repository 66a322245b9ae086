"""Masks in bits: eight pixels a byte, row by row."""

from __future__ import annotations

import torch
from torch import Tensor

_BITS = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8)


def pack(masks: Tensor) -> Tensor:
    """Masks, bool `[..., H, W]`, as uint8 `[..., bytes]`; the last byte is filled up with zeros.

    >>> pack(torch.tensor([[[True, False], [False, True]]])).tolist()
    [[144]]
    """
    flat = masks.flatten(-2)
    short = -flat.shape[-1] % 8
    if short:
        flat = torch.cat([flat, flat.new_zeros(*flat.shape[:-1], short)], -1)
    eights = flat.reshape(*flat.shape[:-1], -1, 8)
    return (eights * _BITS.to(flat.device)).sum(-1, dtype=torch.uint8)


def unpack(packed: Tensor, size: tuple[int, int]) -> Tensor:
    """What `pack` made of masks of this height and width, bool `[..., H, W]`."""
    flat = ((packed[..., None] & _BITS.to(packed.device)) != 0).flatten(-2)
    return flat[..., : size[0] * size[1]].reshape(*flat.shape[:-1], *size)
