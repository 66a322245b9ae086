"""Nearest neighbours in a large bank: an 8-bit product finds candidates with a proven bound, float32 decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 32
"""Rows that share a scale, and whose largest similarity is looked at first."""
PIECE = 2048
"""Rows in one product: few enough for the cache, enough that threads seldom wait for each other."""
SAMPLE = 1024
"""Blocks of which the similarity of the k-th nearest is guessed."""


def fast_bytes() -> bool:
    """Whether this processor multiplies bytes, in sums that are exact, faster than it does floats."""
    capable: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capable.get("avx512_vnni") or capable.get("amx_int8")) and hasattr(torch, "_int_mm")


@dataclass(frozen=True, slots=True)
class Quantised:
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
    def of(cls, bank: Tensor) -> Quantised:
        """Of a bank float32 `[M, d]`."""
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
            codes, rest, scales, errors = _bytes(bank[start : start + PIECE], BLOCK)
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

    def products(self, rows: Tensor, u: Tensor) -> Tensor:
        """`<v, u>` of some rows `[n]` and a vector u, without their sum of codes and rest."""
        whole = self.codes.index_select(0, rows).float() @ u + self.rest.index_select(0, rows).float() @ u
        return whole * self.scales[rows // BLOCK]


def saved(bank: Quantised) -> dict[str, Tensor]:
    """The tensors of a bank, by name."""
    count = torch.tensor(bank.count)
    return {"codes": bank.codes, "rest": bank.rest, "scales": bank.scales, "errors": bank.errors, "count": count}


def restored(tensors: Mapping[str, Tensor]) -> Quantised:
    """The bank of such tensors."""
    codes, rest, scales, errors = (tensors[name] for name in ("codes", "rest", "scales", "errors"))
    return Quantised(codes, rest, scales, errors, int(tensors["count"]))


def _bytes(rows: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes, what they leave, scales and errors of blocks of rows."""
    blocks = F.pad(rows, (0, 0, 0, -len(rows) % block)).view(-1, block, rows.shape[1])
    scales = blocks.abs().amax((1, 2)).clamp_min(torch.finfo(torch.float32).tiny) / 127
    scaled = blocks / scales[:, None, None]
    codes = scaled.round()
    rest = scaled.sub_(codes)
    errors = torch.linalg.vector_norm(rest, dim=2).amax(1) * scales
    return codes.flatten(0, 1).to(torch.int8), rest.flatten(0, 1).half(), scales, errors


def search(queries: Tensor, bank: Quantised, k: int) -> tuple[Tensor, Tensor]:
    """Row of the bank that is the k-th nearest, where it can be told from bytes and a few float32 products.

    With `u = s i + e` for the queries too, the product of bytes errs by

        |<u, v> - s_u s_v <i_u, i_v>| = |<e_u, v - e_v> + <u, e_v>| <= |e_u| (1 + |e_v|) + |e_v|

    1. From a sample of blocks, a similarity is guessed that more than k rows reach.
    2. Every row whose upper bound reaches the guess is a candidate; blocks are passed over by their largest product.
    3. The least float32 similarity of the k best candidates is reached by k rows: who cannot reach it drops out.
    4. Float32 similarities of the others decide. If k of them reach the guess, none that was passed over can be among
       the k nearest. If not, the guess was too high, and the query is not decided.

    Args:
        queries: of length 1, float32 `[N, d]`.
        bank: of length 1, `[M, d]`.
        k: 1 is the nearest.

    Returns:
        int64 `[N]`, and whether it is decided, bool `[N]`.
    """
    n, rounding = len(queries), queries.shape[1] * 2.0**-23  # of float32 sums of d products, on either side
    codes, _, scale, error = _bytes(queries, 1)
    codes = codes.T.contiguous()
    guess, many = _guess(codes, scale, error, bank, k)
    guess[many > 8 * k + 4096] = torch.inf  # candidates without number: floats are as fast
    least = (guess - error - rounding) / scale
    query, row, product = _candidates(codes, least, (1 + error) / scale, bank)
    inside = row < len(bank)
    query, row, product = query[inside], row[inside], product[inside]
    order = query.argsort()
    query, row, product = query[order], row[order], product[order] * scale[query[order]]
    chosen = _table(query, product, n, k).topk(k, 1).indices + _starts(query, n)[:, None]
    full = torch.bincount(query, minlength=n) >= k
    safe = chosen.clamp(max=max(len(row) - 1, 0))
    if not len(row):
        return torch.zeros(n, dtype=torch.int64), full
    reached = _similarities(queries, bank, query[safe].flatten(), row[safe].flatten()).view(n, k).amin(1)
    away = bank.errors[row // BLOCK]
    stays = product + error[query] * (1 + away) + away + rounding >= reached[query]
    query, row = query[stays], row[stays]
    similarity, place = _table(query, _similarities(queries, bank, query, row), n, k).topk(k, 1)
    index = row[(place[:, -1] + _starts(query, n)).clamp(max=len(row) - 1)]
    return index, full & (similarity[:, -1] >= guess)


def _guess(codes: Tensor, scale: Tensor, error: Tensor, coarse: Quantised, k: int) -> tuple[Tensor, Tensor]:
    """A similarity that more than k rows reach, most likely; and about how many blocks will hold candidates."""
    count = len(coarse.scales)
    step = max(1, count // SAMPLE)
    some = coarse.codes.view(count, BLOCK, -1)[::step]
    pieces = torch.split(some.flatten(0, 1), PIECE)
    product = torch.cat([torch._int_mm(p, codes).view(-1, BLOCK, codes.shape[1]).amax(1) for p in pieces])
    peaks = (product * coarse.scales[::step, None] * scale).T
    due = k * len(some) / count
    rank = min(math.ceil(due + 4 * math.sqrt(due) + 3), len(some))
    guess = peaks.topk(rank, 1).values[:, -1]
    away = coarse.errors[::step]
    reaching = peaks + error[:, None] * (1 + away) + away >= guess[:, None]
    return guess, reaching.sum(1) * step


def _candidates(codes: Tensor, least: Tensor, per: Tensor, coarse: Quantised) -> tuple[Tensor, Tensor, Tensor]:
    """Query, row and product (without the query's scale) of all pairs whose upper bound reaches the guess."""
    floor = torch.stack([1 / coarse.scales, -coarse.errors / coarse.scales], 1)
    slope = torch.stack([least, per])
    product = torch.empty(PIECE, codes.shape[1], dtype=torch.int32)
    found = []
    for start in range(0, len(coarse.codes), PIECE):
        part = coarse.codes[start : start + PIECE]
        blocks = torch._int_mm(part, codes, out=product[: len(part)]).view(-1, BLOCK, codes.shape[1])
        first = start // BLOCK
        due = floor[first : first + len(blocks)] @ slope
        block, query = (blocks.amax(1) >= due).nonzero(as_tuple=True)
        values = blocks[block, :, query]
        hit, inside = (values >= due[block, query, None]).nonzero(as_tuple=True)
        row = (block[hit] + first) * BLOCK + inside
        found.append((query[hit], row, values[hit, inside] * coarse.scales[row // BLOCK]))
    query, row, values = (torch.cat(part) for part in zip(*found, strict=True))
    return query, row, values


def _similarities(queries: Tensor, bank: Quantised, query: Tensor, row: Tensor) -> Tensor:
    """Float32 similarities of pairs, which are in the order of queries."""
    counts = torch.bincount(query, minlength=len(queries)).tolist()
    return torch.cat([bank.products(own, u) for own, u in zip(torch.split(row, counts), queries, strict=True)])


def _starts(query: Tensor, n: int) -> Tensor:
    """Where each query's pairs begin; the pairs are in the order of queries."""
    counts = torch.bincount(query, minlength=n)
    return counts.cumsum(0) - counts


def _table(query: Tensor, values: Tensor, n: int, width: int) -> Tensor:
    """Values of pairs by query, `[N, width or more]`, filled up with -inf."""
    most = max(int(torch.bincount(query, minlength=n).max()), width)
    table = values.new_full((n, most), -torch.inf)
    table[query, torch.arange(len(query)) - _starts(query, n)[query]] = values
    return table
