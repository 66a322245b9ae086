"""`UpperQuantile`: an upper quantile of many streams at once, in memory that does not grow with what was seen."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.errors import ParameterError

TAIL = 8.0
"""The upper tail that half of the kept values stand for, as a multiple of `1 - q`."""


class UpperQuantile:
    """The `q` quantile of each of D streams of equal length.

    Up to `resolution` values a stream are kept as they are, and the quantile is exact: with linear interpolation, as
    `numpy.quantile` gives it. Beyond, blocks of values are each replaced by `resolution` of them, at fixed ranks of
    which half lie in the upper tail around the quantile, and two such summaries are merged into one of the same size
    (the binary counter of Munro & Paterson 1980, doi:10.1016/0304-3975(80)90061-4). Memory is
    `D x resolution x log2(blocks)`.

    Args:
        q: in (0, 1), such as 0.99.
        resolution: values kept of a block.

    Attributes:
        n: values seen of each stream.
    """

    def __init__(self, q: float, resolution: int = 1024) -> None:
        if not 0 < q < 1 or resolution < 16:
            raise ParameterError(f"quantile {q} must be between 0 and 1, and resolution {resolution} 16 or more")
        self.q, self.resolution, self.n = q, resolution, 0
        tail, half = min(1.0, TAIL * (1 - q)), resolution // 2
        below = torch.linspace(0, 1 - tail, resolution - half + 1, dtype=torch.float64)
        above = torch.linspace(1 - tail, 1, half + 1, dtype=torch.float64)
        edges = torch.cat([below[:-1], above]) if tail < 1 else torch.linspace(0, 1, resolution + 1).double()
        self._shares = edges.diff()
        self._middles = edges[:-1] + self._shares / 2
        self._first = resolution - half if tail < 1 else 0
        self._edge: Tensor | None = None  # the largest start of a tail, for each stream
        self._off = 0.0  # ranks, in cells of the tail and of the rest
        self._off_below = 0.0
        self._plain: list[Tensor] = []
        self._levels: dict[int, tuple[Tensor, Tensor]] = {}

    def error(self) -> Tensor:
        """By which share of all values the rank of each stream's answer may be off at most, `[D]`.

        It is small where the answer lay in the upper tail of every block, and larger where blocks are so unlike that
        in one of them it did not.
        """
        answer = self.value()
        if self._edge is None:
            return torch.zeros_like(answer)
        in_tail = answer >= self._edge
        return torch.where(in_tail, self._off, self._off_below) / self.n

    def add(self, values: Tensor) -> None:
        """See further values.

        Args:
            values: `[D, m]`, finite.
        """
        self.n += values.shape[1]
        if not self._levels and self.n <= self.resolution:
            self._plain.append(values.detach().clone())
            return
        block = torch.cat([*self._plain, values], 1) if self._plain else values
        self._plain = []
        weights = torch.ones(block.shape[1], dtype=torch.float64, device=block.device)
        summary = (
            (block.sort(1).values, weights) if block.shape[1] <= self.resolution else self._reduced(block, weights)
        )
        level = 0
        while level in self._levels:
            other = self._levels.pop(level)
            both = torch.cat([other[0], summary[0]], 1)
            summary = self._reduced(both, torch.cat([other[1], summary[1]]))
            level += 1
        self._levels[level] = summary

    def value(self) -> Tensor:
        """The quantile of each stream, `[D]`."""
        if self._plain:
            parts = [(values, torch.ones(values.shape[1], dtype=torch.float64)) for values in self._plain]
        else:
            parts = list(self._levels.values())
        if not parts:
            raise ParameterError("no value was seen: there is no quantile")
        values, order = torch.cat([v for v, _ in parts], 1).sort(1)
        weights = torch.cat([w.to(values.device) for _, w in parts])[order]
        places = weights.cumsum(1) - weights / 2 - 0.5  # the middle of the ranks, from 0, that a value stands for
        wanted = (self.n - 1) * self.q
        right = torch.searchsorted(places, places.new_full((len(places), 1), wanted)).clamp(1, places.shape[1] - 1)
        right = right if places.shape[1] > 1 else torch.zeros_like(right)
        left = (right - 1).clamp(min=0)
        low, high = values.gather(1, left), values.gather(1, right)
        gap = places.gather(1, right) - places.gather(1, left)
        share = ((wanted - places.gather(1, left)) / gap.clamp(min=1e-12)).clamp(0, 1).to(values)
        return (low + (high - low) * share).squeeze(1)

    def _reduced(self, values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """`resolution` values at fixed ranks for values `[D, m]` that stand for `weights` each, `[m]`."""
        ordered, order = values.sort(1)
        total = float(weights.sum())
        if bool((weights == 1).all()):
            places = (self._middles.to(values.device) * total).ceil().long().clamp(1, values.shape[1]) - 1
            kept = ordered[:, places]
        else:
            reached = weights[order].cumsum(1)
            wanted = (self._middles.to(values.device) * total).expand(len(values), -1).contiguous()
            kept = ordered.gather(1, torch.searchsorted(reached, wanted).clamp(max=values.shape[1] - 1))
        self._off += total * float(self._shares[-1]) / 2 + 1
        self._off_below += total * float(self._shares.max()) / 2 + 1
        edge = kept[:, self._first]
        self._edge = edge if self._edge is None else torch.maximum(self._edge, edge)
        return kept, self._shares.to(values.device) * total
