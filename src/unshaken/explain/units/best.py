"""`Best`: the samples that excite each unit most, and the unit's maps on them, while samples stream by."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.explain.units.enlarge import enlarge


class Best:
    """The k largest values of each unit with the samples that they are of; of equal values that of the first sample.

    Args:
        units: number of units.
        k: number of values of each.
        device: where they are.

    Attributes:
        values: `[U, k]`, largest first; minus infinity where there are fewer.
        samples: places in the data, int64 `[U, k]`; -1 where there are fewer.
    """

    def __init__(self, units: int, k: int, device: str | torch.device = "cpu") -> None:
        self.values = torch.full((units, k), -torch.inf, device=device)
        self.samples = torch.full((units, k), -1, dtype=torch.int64, device=device)
        self._slots = torch.arange(k, device=device).repeat(units, 1)  # where in `_maps` the map of a value is
        self._maps: Tensor | None = None

    def keep_maps(self, shape: tuple[int, int], size: tuple[int, int]) -> None:
        """Keep the maps of the best samples too: as they are, or at a size that has fewer places.

        Args:
            shape: height and width of the maps.
            size: at which they are wanted in the end.
        """
        kept = size if size[0] * size[1] < shape[0] * shape[1] else shape
        self._maps = torch.zeros(*self.values.shape, *kept, device=self.values.device)

    @property
    def maps(self) -> Tensor:
        """The maps that are kept, `[U, k, h, w]`, in the order of the values; none without `keep_maps`."""
        if self._maps is None:
            return self.values.new_zeros(*self.values.shape, 0, 0)
        return self._maps[torch.arange(len(self._slots), device=self._slots.device)[:, None], self._slots]

    def add(self, values: Tensor, samples: Tensor, maps: Tensor) -> None:
        """See further samples.

        Args:
            values: `[N, U]`.
            samples: places in the data, int64 `[N]`.
            maps: `[N, U, h, w]`.
        """
        last, place = self.values[:, -1:], self.samples[:, -1:]
        enters = (last < values.T) | ((last == values.T) & (samples < place))
        units = enters.any(1).nonzero().squeeze(1)
        if not len(units):
            return
        k = self.values.shape[1]
        both = torch.cat([self.values[units], values.T[units]], 1)
        places = torch.cat([self.samples[units], samples.expand(len(units), -1)], 1)
        order = places.argsort(1)
        order = order.gather(1, both.gather(1, order).sort(dim=1, descending=True, stable=True).indices)
        kept, left = order[:, :k], order[:, k:]
        self.values[units], self.samples[units] = both.gather(1, kept), places.gather(1, kept)
        if self._maps is None:
            return
        slots = torch.cat([self._slots[units], torch.full_like(places[:, k:], -1)], 1)
        now, (row, position) = slots.gather(1, kept), (kept >= k).nonzero(as_tuple=True)
        now[row, position] = slots.gather(1, left)[left < k]  # as many of each unit as have come, and in its order
        self._slots[units] = now
        found = maps[kept[row, position] - k, units[row]]
        self._maps[units[row], now[row, position]] = enlarge(found, (self._maps.shape[2], self._maps.shape[3]))
