"""A large bank of directions in bytes, with what they leave."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 32
"""Rows that share a scale, and whose largest similarity is looked at first."""
PIECE = 8192
"""Rows that are worked on at once: so many that threads seldom wait for each other."""


@functools.cache
def fast_bytes() -> bool:
    """Whether this processor multiplies bytes, in sums that are exact, faster than it does floats.

    Kernels for older processors saturate sums at 16 bits without a word. oneDNN takes them on a new processor too where
    `ONEDNN_MAX_CPU_ISA` limits it, so that a product of the largest bytes is looked at as well.
    """
    capable: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if not (capable.get("avx512_vnni") or capable.get("amx_int8")) or not hasattr(torch, "_int_mm"):
        return False
    largest = torch.full((64, 64), 127, dtype=torch.int8)
    return bool((torch._int_mm(largest, largest) == 64 * 127**2).all())


@dataclass(frozen=True, slots=True)
class QuantisedBank:
    """A bank in bytes and what they leave: `v = s (i + r)`, in three bytes a number where float32 takes four.

    r lies in [-1/2, 1/2] and is kept as float16, so that a unit vector of 512 numbers is known to about 1e-7.

    Args:
        codes: i, int8 `[B * BLOCK, d]`; what lies beyond the bank is 0.
        rest: r, float16 in the same shape.
        scales: s of each block, `[B]`.
        errors: the largest `|s r|` in each block, `[B]`.
        count: M, rows of the bank.
    """

    codes: Tensor
    rest: Tensor
    scales: Tensor
    errors: Tensor
    count: int

    @classmethod
    def of(cls, bank: Tensor, order: Tensor | None = None) -> QuantisedBank:
        """Of a bank float32 `[M, d]`.

        Args:
            bank: the rows.
            order: which row comes where, int64 `[M]`. A search guesses from some pieces what the others hold, and
                guesses too high where the bank lies class by class: a drawn order spares it that.
        """
        order = torch.arange(len(bank)) if order is None else order
        blocks, d = -(-len(bank) // BLOCK), bank.shape[1]
        shape = blocks * BLOCK, d
        made = cls(
            torch.empty(shape, dtype=torch.int8),
            torch.empty(shape, dtype=torch.float16),
            torch.empty(blocks),
            torch.empty(blocks),
            len(bank),
        )
        for start in range(0, len(bank), PIECE):
            codes, rest, scales, errors = in_bytes(bank[order[start : start + PIECE]], BLOCK)
            first = start // BLOCK
            made.codes[start : start + len(codes)] = codes
            made.rest[start : start + len(codes)] = rest
            made.scales[first : first + len(scales)] = scales
            made.errors[first : first + len(scales)] = errors
        return made

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Rows of the bank, float32 `[n, d]`."""
        if isinstance(rows, slice):
            rows = torch.arange(*rows.indices(self.count))
        found = self.codes.index_select(0, rows).float() + self.rest.index_select(0, rows).float()
        return found.mul_(self.scales[rows // BLOCK, None])


def saved(bank: QuantisedBank) -> dict[str, Tensor]:
    """The tensors of a bank, by name."""
    count = torch.tensor(bank.count)
    return {"codes": bank.codes, "rest": bank.rest, "scales": bank.scales, "errors": bank.errors, "count": count}


def restored(tensors: Mapping[str, Tensor]) -> QuantisedBank:
    """The bank of such tensors."""
    codes, rest, scales, errors = (tensors[name] for name in ("codes", "rest", "scales", "errors"))
    return QuantisedBank(codes, rest, scales, errors, int(tensors["count"]))


def in_bytes(rows: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes, what they leave, scales and errors of blocks of rows."""
    blocks = F.pad(rows, (0, 0, 0, -len(rows) % block)).view(-1, block, rows.shape[1])
    scales = blocks.abs().amax((1, 2)).clamp_min(torch.finfo(torch.float32).tiny) / 127
    scaled = blocks / scales[:, None, None]
    codes = scaled.round()
    rest = scaled.sub_(codes)
    errors = torch.linalg.vector_norm(rest, dim=2).amax(1) * scales
    return codes.flatten(0, 1).to(torch.int8), rest.flatten(0, 1).half(), scales, errors
