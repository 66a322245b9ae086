"""The k-th nearest of a bank of directions, exactly, without the matrix of all similarities."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

SLAB = 1024
"""Queries that are looked for at once."""
CELLS = 2**24
"""Similarities that are held at once."""


def top(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, as `topk` gives them, in less time.

    The row is cut into blocks. The k largest lie in the k blocks whose maxima are largest, for each other block has k
    values above all of its own: only these blocks are sorted.

    Args:
        values: `[N, M]`.
        k: at most M.

    Returns:
        Values and places `[N, k]`, falling.
    """
    length = values.shape[1]
    size = int((length / k) ** 0.5)  # the least of blocks (M / size) and of values in the chosen (k size)
    if size < 2:
        return values.topk(k, 1)
    count = length // size
    blocks = values[:, : count * size].view(values.shape[0], size, count).amax(1).topk(k, 1, sorted=False).indices
    inside = torch.arange(size, device=values.device)[:, None] * count
    rest = torch.arange(count * size, length, device=values.device).expand(values.shape[0], -1)
    places = torch.cat([(blocks[:, None] + inside).flatten(1), rest], 1)
    found, order = values.gather(1, places).topk(k, 1)
    return found, places.gather(1, order)


class Rows(Protocol):
    """A bank, in whatever form it is kept."""

    def __len__(self) -> int:
        """M."""

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Some of its rows, `[n, d]`."""


def nearest(queries: Tensor, bank: Rows, k: int) -> Tensor:
    """Row of the bank that is the k-th nearest, by similarities in the precision of the bank.

    Args:
        queries: of length 1, `[N, d]`.
        bank: of length 1, `[M, d]`, M at least k.
        k: 1 is the nearest.

    Returns:
        int64 `[N]`.
    """
    if torch.compiler.is_compiling():
        return top(queries @ bank[:].T, k)[1][:, -1]
    best = queries.new_empty(len(queries), 0)
    rows = torch.empty_like(best, dtype=torch.int64)
    start, piece = 0, max(CELLS // max(len(queries), 1), 4 * k)
    while start < len(bank):
        part = bank[start : start + piece]
        found, places = top(queries @ part.T, min(k, len(part)))
        best, order = torch.cat([best, found], 1).topk(min(k, best.shape[1] + found.shape[1]), 1)
        rows = torch.cat([rows, places + start], 1).gather(1, order)
        start += piece
    return rows[:, k - 1]
