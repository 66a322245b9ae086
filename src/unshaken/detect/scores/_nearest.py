"""The k-th nearest of a bank of directions, exactly, without the matrix of all similarities.

A large bank is kept in bytes: exact products of bytes find candidates, float32 decides. With `u = s i + e` for a query
and `v = s' i' + e'` for a row of the bank, both of length 1, the product of bytes errs by

    |<u, v> - s s' <i, i'>| = |<e, v - e'> + <u, e'>| <= |e| (1 + |e'|) + |e'|
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
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
        """Number M of rows."""

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


BLOCK = 32
"""Rows that share a scale, and whose largest similarity is looked at first."""
PIECE = 8192
"""Rows that are worked on at once: enough that threads seldom wait for each other."""


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
        """Quantise a bank float32 `[M, d]`.

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


SAMPLE = 1024
"""Blocks of which the similarity of the k-th nearest is guessed at first."""
EVERY = 4
"""One piece in four is searched first, and the guess raised by what it holds."""
USUAL = 3
"""Standard deviations of a product's error by which a guess stays below what the bytes say."""
CHUNK = 512
"""Pairs whose float32 products are taken at once."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Queries and rows of the bank that may be near each other.

    Args:
        query: int64 `[P]`.
        row: of the bank, int64 `[P]`.
        similarity: as well as it is known, float32 `[P]`.
        n: how many queries there are.
    """

    query: Tensor
    row: Tensor
    similarity: Tensor
    n: int

    @classmethod
    def joined(cls, parts: Sequence[Pairs]) -> Pairs:
        """Join several sets of pairs, in the order of queries."""
        query, order = torch.cat([part.query for part in parts]).sort(stable=True)
        row, similarity = torch.cat([part.row for part in parts]), torch.cat([part.similarity for part in parts])
        return cls(query, row.index_select(0, order), similarity.index_select(0, order), parts[0].n)

    def where(self, fit_data: Tensor) -> Pairs:
        """Select pairs by bool `[P]`."""
        return Pairs(self.query[fit_data], self.row[fit_data], self.similarity[fit_data], self.n)

    def measured(self, similarity: Tensor) -> Pairs:
        """Replace the similarity of the pairs by a better one."""
        return Pairs(self.query, self.row, similarity, self.n)

    def best(self, k: int) -> tuple[Tensor, Tensor]:
        """The k largest similarities of each query and their pairs, `[n, k]`; -inf and any pair where it has fewer."""
        counts = torch.bincount(self.query, minlength=self.n)
        starts = counts.cumsum(0) - counts
        table = self.similarity.new_full((self.n, max(int(counts.max()), k)), -torch.inf)
        place = torch.arange(len(self.query)) - starts.index_select(0, self.query)
        table[self.query, place] = self.similarity
        found, place = table.topk(k, 1)
        return found, (place + starts[:, None]).clamp(max=max(len(self.query) - 1, 0))


class _Search:
    """Queries in bytes, and the bank in which they are looked for."""

    def __init__(self, queries: Tensor, bank: QuantisedBank) -> None:
        codes, _, self.scale, self.error = in_bytes(queries, 1)
        self.queries, self.codes, self.bank = queries, codes, bank
        self.rounding = queries.shape[1] * 2.0**-23  # of float32 sums of d products, on either side
        self.usual = torch.hypot(self.error, bank.errors.mean()) / math.sqrt(queries.shape[1])  # error of a product

    def blocks(self, rows: Tensor, into: Tensor) -> Tensor:
        """Products of all queries with the bytes of some whole blocks, int32 `[N * blocks, BLOCK]`."""
        n = len(self.codes)
        return torch._int_mm(self.codes, rows.T, out=into[: n * len(rows)].view(n, -1)).view(-1, BLOCK)

    def room(self) -> Tensor:
        """Where `blocks` writes."""
        return torch.empty(len(self.codes) * PIECE, dtype=torch.int32)

    def guess(self, k: int) -> tuple[Tensor, Tensor]:
        """A similarity that more than k rows reach, most likely; and about how many blocks will hold candidates."""
        bank, count = self.bank, len(self.bank.scales)
        step, into = max(1, count // SAMPLE), self.room()
        some = bank.codes.view(count, BLOCK, -1)[::step].flatten(0, 1)
        found = [self.blocks(part, into).amax(1).view(len(self.codes), -1) for part in torch.split(some, PIECE)]
        peaks = torch.cat(found, 1) * bank.scales[::step] * self.scale[:, None]
        guess = peaks.topk(min(_rank(k, len(some) / len(bank.codes)), peaks.shape[1]), 1).values[:, -1]
        guess = guess - USUAL * self.usual
        away = bank.errors[::step]
        reaching = peaks + self.error[:, None] * (1 + away) + away >= guess[:, None]
        return guess, reaching.sum(1) * step

    def candidates(self, guess: Tensor, pieces: Iterable[int]) -> Pairs:
        """All pairs in some pieces of the bank whose upper bound reaches the guess.

        A block is passed over by its largest product; only in the others is each row looked at.
        """
        bank, n = self.bank, len(self.codes)
        line = torch.stack([guess - self.error - self.rounding, 1 + self.error], 1) / self.scale[:, None]
        floor = torch.stack([1 / bank.scales, -bank.errors / bank.scales])
        found, into = [torch.empty(3, 0, dtype=torch.int64)], self.room()
        for piece in pieces:
            rows = bank.codes[piece * PIECE : (piece + 1) * PIECE]
            first, count = piece * PIECE // BLOCK, len(rows) // BLOCK
            due = (line @ floor[:, first : first + count]).view(-1)
            blocks = self.blocks(rows, into)
            pair = (blocks.amax(1) >= due).nonzero().flatten()
            values = blocks.index_select(0, pair)
            cell = (values >= due.index_select(0, pair)[:, None]).view(-1).nonzero().flatten()
            pair, product = pair.index_select(0, cell // BLOCK), values.view(-1).index_select(0, cell)
            found.append(torch.stack([pair // count, (pair % count + first) * BLOCK + cell % BLOCK, product]))
        query, row, product = torch.cat(found, 1)
        return Pairs(query, row, product * bank.scales[row // BLOCK] * self.scale[query], n).where(row < len(bank))

    def raised(self, guess: Tensor, pairs: Pairs, rank: int) -> Tensor:
        """The guess, or the similarity of this rank among the pairs but for the usual error, whichever is larger."""
        return torch.maximum(guess, pairs.best(rank)[0][:, -1] - USUAL * self.usual)

    def above(self, pairs: Pairs, *, of_both: bool) -> Tensor:
        """Upper bounds of similarities that were measured by the bytes of both, or of the row alone."""
        away = self.bank.errors[pairs.row // BLOCK]
        bound = pairs.similarity + away + self.rounding
        return bound + self.error[pairs.query] * (1 + away) if of_both else bound

    def halfway(self, pairs: Pairs) -> Pairs:
        """Measured by float32 products of the query and the row's bytes, which err by `|e'|`."""
        return pairs.measured(self._products(pairs, self.bank.codes))

    def exact(self, pairs: Pairs) -> Pairs:
        """Measured in float32, from halfway on."""
        return pairs.measured(pairs.similarity + self._products(pairs, self.bank.rest))

    def _products(self, pairs: Pairs, numbers: Tensor) -> Tensor:
        """`s' <u, numbers of the row>` in float32, of pairs in the order of queries; numbers are codes or the rest."""
        found = [pairs.similarity[:0]]
        for query, row in zip(torch.split(pairs.query, CHUNK), torch.split(pairs.row, CHUNK), strict=True):
            if len(query):  # all products of a chunk's rows and its few queries cost less than one row after another
                first = int(query[0])
                all_of = numbers.index_select(0, row).float() @ self.queries[first : int(query[-1]) + 1].T
                found.append(all_of.gather(1, (query - first)[:, None])[:, 0] * self.bank.scales[row // BLOCK])
        return torch.cat(found)


def search(queries: Tensor, bank: QuantisedBank, k: int) -> tuple[Tensor, Tensor]:
    """Row of the bank that is the k-th nearest, where it can be decided from bytes and a few float32 products.

    1. From a sample of blocks a similarity is guessed that more than k rows reach; the byte products of a share of the
       bank raise the guess, those of all of it once more.
    2. Every row whose upper bound reaches the guess is a candidate.
    3. Those drop out whose bound does not reach the last guess: by the bytes of both, then by the query and the bytes
       of the row, which err by `|e'|` alone.
    4. Float32 similarities of the others decide. If k of them reach the last guess, none that was passed over can be
       among the k nearest. If not, it was too high, and the query is not decided.

    Args:
        queries: of length 1, float32 `[N, d]`.
        bank: of length 1, `[M, d]`.
        k: 1 is the nearest.

    Returns:
        int64 `[N]`, and whether it is decided, bool `[N]`.
    """
    task = _Search(queries, bank)
    guess, many = task.guess(k)
    guess[many > 8 * k + 4096] = torch.inf  # candidates without number: floats are as fast
    pieces = range(-(-len(bank.codes) // PIECE))
    some = task.candidates(guess, pieces[::EVERY])
    share = sum(len(range(len(bank))[p * PIECE : (p + 1) * PIECE]) for p in pieces[::EVERY]) / len(bank)
    guess = task.raised(guess, Pairs.joined([some]), _rank(k, share))
    pairs = Pairs.joined([some, task.candidates(guess, [p for p in pieces if p % EVERY])])
    guess = task.raised(guess, pairs, k)
    pairs = task.halfway(pairs.where(task.above(pairs, of_both=True) >= guess[pairs.query]))
    pairs = task.exact(pairs.where(task.above(pairs, of_both=False) >= guess[pairs.query]))
    if not len(pairs.row):
        return torch.zeros(len(queries), dtype=torch.int64), torch.zeros(len(queries), dtype=torch.bool)
    found, best = pairs.best(k)
    return pairs.row[best[:, -1]], found[:, -1] >= guess


def _rank(k: int, share: float) -> int:
    """Which largest of a share of the bank is most likely below the k-th largest of all: four sigma and three more."""
    due = k * share
    return math.ceil(due + 4 * math.sqrt(due) + 3)
