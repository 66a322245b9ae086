"""`QuantileSketch`: a quantile of many streams at once, in memory that does not grow with the number of values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import ParameterError

EXACT = 1024
"""Values of a stream up to which all are kept and the quantile is exact; later as many wait to be counted at once."""
OCTAVES = 8
"""Factors of two, below a stream's largest and above its smallest value, that have buckets of their own."""
CHUNK = 1 << 16
"""Values that are counted at once: few enough to stay in a processor's cache."""
MANTISSA = 23
"""Bits of a float32 below its exponent."""


class QuantileSketch:
    """The `q` quantile of each of D streams of equal length, from counts of values in buckets of equal relative width.

    Up to `EXACT` values of a stream are kept, and the quantile is that of `numpy.quantile`. More are counted: the first
    bits of a float32 are the number of its bucket, so that every factor of two has `resolution` buckets (DDSketch,
    Masson et al. 2019, doi:10.14778/3352063.3352135, with equal steps between powers of two). Buckets reach `OCTAVES`
    factors of two down from the largest value, and as far from the smallest one if it is negative; a single bucket
    holds what is between and stands for 0.

    Error bound: the quantile lies between two neighbouring values of the sorted stream. Each is known to within the
    larger of `1 / resolution` of itself and `2**-OCTAVES` of the stream's largest absolute value. Counts are whole
    numbers that add up, so the answer does not depend on the order of the values or on their division into calls.
    Memory: about `8 D (OCTAVES + 1 / 2) resolution` bytes.

    Args:
        q: in (0, 1), such as 0.99.
        resolution: buckets of a factor of two; a power of two from 2 to 128.

    Attributes:
        n: values seen of each stream.

    Raises:
        ParameterError: one of these is out of its range.
    """

    def __init__(self, q: float, resolution: int = 32) -> None:
        if not 0 < q < 1:
            raise ParameterError(f"quantile {q} must be between 0 and 1")
        if resolution not in (2, 4, 8, 16, 32, 64, 128):
            raise ParameterError(f"resolution {resolution} must be a power of two from 2 to 128")
        self.q, self.resolution, self.n = q, resolution, 0
        self._shift = MANTISSA + 1 - resolution.bit_length()
        self._half = OCTAVES * resolution + resolution // 2
        self._waiting: list[Tensor] = []
        self._counted = 0
        self._buckets: _Buckets | None = None

    def add(self, values: Tensor) -> None:
        """Count further values.

        Args:
            values: `N m` of each stream, float32 `[N, D, m]`, finite.
        """
        self.n += values.shape[0] * values.shape[2]
        if self.n - self._counted <= EXACT:
            self._waiting.append(values.clone())
        else:
            self._waiting.append(values)
            self._count_waiting()

    def value(self) -> Tensor:
        """The quantile of each stream, float32 `[D]`.

        Raises:
            ParameterError: no value was seen.
        """
        if not self.n:
            raise ParameterError("no value was seen: there is no quantile")
        rank = (self.n - 1) * self.q
        lower, upper = int(rank), min(int(rank) + 1, self.n - 1)
        if self.n <= EXACT:
            ordered = widen(_by_stream(self._waiting)).sort(1).values
            below, above = ordered[:, lower], ordered[:, upper]
        else:
            buckets = self._count_waiting()
            below, above = buckets.ranked(lower), buckets.ranked(upper)
        return (below + (above - below) * (rank - lower)).float()

    def error(self) -> float:
        """`1 / resolution`, the bound on the relative error that the class states; 0 while the quantile is exact."""
        return 0.0 if self.n <= EXACT else 1 / self.resolution

    def _count_waiting(self) -> _Buckets:
        """The buckets, with all that was seen."""
        buckets = self._buckets
        if buckets is None:
            buckets = _Buckets(self._waiting[0].shape[1], self._half, self._shift, self._waiting[0].device)
        if self._waiting:
            buckets.count(self._waiting[0] if len(self._waiting) == 1 else _by_stream(self._waiting)[None])
        self._waiting, self._counted, self._buckets = [], self.n, buckets
        return buckets


def _by_stream(parts: Sequence[Tensor]) -> Tensor:
    """Values `[N, D, m]` by stream, `[D, n]`."""
    return torch.cat([part.transpose(0, 1).flatten(1) for part in parts], 1)


class _Buckets:
    """Counts of the values of D streams, `[D, 2 half + 1]`, from the smallest to the largest; 0 is in the middle.

    A value's key is a whole number that rises with it: the bits of the float32 without the last `shift`, from 0 on for
    positive values, and -1 minus these bits for negative ones. Keys in `[under, over]` share the bucket in the middle.
    """

    def __init__(self, streams: int, half: int, shift: int, device: torch.device) -> None:
        self.half, self.shift = half, shift
        self.counts = torch.zeros(streams, 2 * half + 1, dtype=torch.int32, device=device)
        self.total = 0
        self.low = torch.full((streams,), torch.inf, device=device)
        self.high = torch.full((streams,), -torch.inf, device=device)
        self.under = torch.full((streams,), -1, dtype=torch.int16, device=device)
        self.over = torch.zeros(streams, dtype=torch.int16, device=device)

    def count(self, values: Tensor) -> None:
        """Count values `[N, D, m]`."""
        self._reach(values.amin((0, 2)), values.amax((0, 2)))
        self.total += values.shape[0] * values.shape[2]
        if self.total > torch.iinfo(torch.int32).max:
            self.counts = self.counts.long()
        several, streams, places = values.shape
        width, step = self.counts.shape[1], min(streams, max(1, CHUNK // (several * places)))
        whole = torch.empty(several, step, places, dtype=torch.int32, device=values.device)
        halves = torch.empty(2, several, step, places, dtype=torch.int16, device=values.device)
        first = torch.arange(step, dtype=torch.int32, device=values.device)[:, None] * width + self.half
        for at in range(0, streams, step):
            rows = slice(at, at + step)
            counts = self.counts[rows]
            index, keys, middle = whole[:, : len(counts)], halves[0, :, : len(counts)], halves[1, :, : len(counts)]
            self._keys(values[:, rows], index, keys, middle)
            torch.maximum(keys, self.under[rows, None], out=middle)
            torch.minimum(middle, self.over[rows, None], out=middle)
            keys -= middle
            index.copy_(keys)
            index += first[: len(counts)]
            counts += torch.bincount(index.flatten(), minlength=counts.numel()).view_as(counts)

    def ranked(self, rank: int) -> Tensor:
        """About the value of this rank, from 0 for the smallest, of each stream; float64 `[D]`."""
        reached = self.counts.cumsum(1)
        bucket = torch.searchsorted(reached, torch.full_like(reached[:, :1], rank), right=True)
        inside = widen(self.counts.gather(1, bucket))
        before = widen(reached.gather(1, bucket)) - inside
        share = ((rank + 0.5 - before) / inside).squeeze(1)
        steps = bucket.squeeze(1) - self.half
        key = torch.where(steps > 0, self.over + steps, self.under + steps)
        bits = torch.where(steps > 0, key, -1 - key)
        start, end = self._edge(bits), self._edge(bits + 1)
        value = torch.where(steps > 0, start + share * (end - start), share * (end - start) - end)
        value = torch.where(steps == 0, 0.0, value)
        return value.minimum(widen(self.high)).maximum(widen(self.low))

    def _keys(self, values: Tensor, bits: Tensor, keys: Tensor, sign: Tensor) -> None:
        """Write keys into `keys`; all but `values` are room of their shape, to be used again: int32, int16, int16."""
        torch.bitwise_right_shift(values.view(torch.int32), self.shift, out=bits)
        keys.copy_(bits)
        torch.bitwise_right_shift(keys, 15, out=sign)
        sign &= (1 << (31 - self.shift)) - 1
        keys ^= sign

    def _key(self, values: Tensor) -> Tensor:
        """Keys of values, int16 of their shape."""
        keys = torch.empty_like(values, dtype=torch.int16)
        self._keys(values, torch.empty_like(values, dtype=torch.int32), keys, torch.empty_like(keys))
        return keys

    def _edge(self, bits: Tensor) -> Tensor:
        """The smallest positive value with this key, float64."""
        return widen((bits.int() << self.shift).view(torch.float32))

    def _reach(self, low: Tensor, high: Tensor) -> None:
        """Have buckets up to `high` and down to `low`: those nearest to 0 join the middle."""
        self.low, self.high = self.low.minimum(low), self.high.maximum(high)
        over, below = self._key(self.high) - self.half, -1 - self._key(self.low) - self.half
        step = 1 << max(0, MANTISSA - self.shift - 1)  # half a factor of two, so that it rarely moves
        over, under = (-(-cut // step * step).clamp(max=0) for cut in (over, below))
        under = -1 - under
        rows = (over > self.over).nonzero().squeeze(1)
        self.counts[rows, self.half :] = _joined(self.counts[rows, self.half :], (over - self.over)[rows])
        rows = (under < self.under).nonzero().squeeze(1)
        below = self.counts[rows, : self.half + 1].flip(1)
        self.counts[rows, : self.half + 1] = _joined(below, (self.under - under)[rows]).flip(1)
        self.over, self.under = over, under


def _joined(counts: Tensor, by: Tensor) -> Tensor:
    """Counts `[D, 1 + half]`, outwards from the middle, of which the next `by` buckets, `[D]`, join the middle."""
    places = torch.arange(counts.shape[1], device=counts.device) - by[:, None].long()
    return torch.zeros_like(counts).scatter_add(1, places.clamp(min=0), counts)
