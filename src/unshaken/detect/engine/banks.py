"""Banks from a file, in memory of their own, without twice the memory on the way."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

PIECE = 2**26
"""Bytes that are read at once."""


def read_banks(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    A tensor that stays mapped is slower to search, for its pages are small; one that is read whole takes its memory
    twice for a moment. So large ones are copied piece by piece, and the file is mapped anew for each.

    Args:
        path: a local file.

    Raises:
        SafetensorError: it holds something else.
        OSError: it cannot be read.
    """
    found, large = {}, []
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  # not a mapping
            tensor = file.get_tensor(name)
            if tensor.ndim and tensor.nbytes > PIECE:
                found[name] = torch.empty_like(tensor)
                large.append((name, max(1, PIECE * len(tensor) // tensor.nbytes)))
            else:
                found[name] = tensor.clone()
            del tensor
    for name, rows in large:
        for start in range(0, len(found[name]), rows):
            with safe_open(path, framework="pt") as file:
                found[name][start : start + rows] = file.get_slice(name)[start : start + rows]
    return found
