"""`probe`: what excites each unit of some layers: its threshold, its images and where in them, in one pass.

The pass gives the thresholds of all layers at once, the best images, and the units' maps on these, from which masks are
made when they are asked for. Of an image only its place in the data is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.units.layers import read_units, unit_layers
from unshaken.explain.units.sketch import QuantileSketch


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps as `interpolate` of mode `bilinear` gives them; themselves where they have the size.

    Args:
        maps: `[..., h, w]`.
        size: height and width.

    Returns:
        `[..., H, W]`.
    """
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    down, across = (_weights(maps.shape[i], size[i]).to(maps) for i in (-2, -1))
    return down @ (maps @ across.T)


@lru_cache(64)
def _weights(given: int, wanted: int) -> Tensor:
    """Weight of each given place in each wanted one, `[wanted, given]`."""
    places = torch.eye(given)[None]
    return F.interpolate(places, wanted, mode="linear", align_corners=False)[0].T.contiguous()


def pack(masks: Tensor) -> Tensor:
    """Masks, bool `[..., H, W]`, as uint8 `[..., bytes]`; the last byte is filled up with zeros.

    >>> pack(torch.tensor([[[True, False], [False, True]]])).tolist()
    [[144]]
    """
    return torch.from_numpy(np.packbits(masks.flatten(-2).cpu().numpy(), axis=-1))


def unpack(packed: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks of this height and width from the result of `pack`, bool `[..., H, W]`."""
    flat = np.unpackbits(packed.cpu().numpy(), axis=-1, count=size[0] * size[1])
    return torch.from_numpy(flat).bool().reshape(*packed.shape[:-1], *size)


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
        stored = size if size[0] * size[1] < shape[0] * shape[1] else shape
        self._maps = torch.zeros(*self.values.shape, *stored, device=self.values.device)

    @property
    def maps(self) -> Tensor:
        """The maps that are kept, `[U, k, h, w]`, in the order of the values; none without `keep_maps`."""
        if self._maps is None:
            return self.values.new_zeros(*self.values.shape, 0, 0)
        return self._maps[torch.arange(len(self._slots), device=self._slots.device)[:, None], self._slots]

    def add(self, values: Tensor, samples: Tensor, maps: Tensor) -> None:
        """Compare further samples with the best so far.

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
        chosen, left = order[:, :k], order[:, k:]
        self.values[units], self.samples[units] = both.gather(1, chosen), places.gather(1, chosen)
        if self._maps is None:
            return
        slots = torch.cat([self._slots[units], torch.full_like(places[:, k:], -1)], 1)
        now, (row, position) = slots.gather(1, chosen), (chosen >= k).nonzero(as_tuple=True)
        now[row, position] = slots.gather(1, left)[left < k]  # as many of each unit as have come, and in its order
        self._slots[units] = now
        found = maps[chosen[row, position] - k, units[row]]
        self._maps[units[row], now[row, position]] = enlarge(found, (self._maps.shape[2], self._maps.shape[3]))


Rank = Literal["max", "mean", "area"]
"""What orders a unit's images: its largest activation, the mean over places, or the share of places above threshold."""
AT_ONCE = 1 << 22
"""Pixels of masks that are made before they are packed."""


@dataclass(frozen=True, slots=True, eq=False)
class Exemplars:
    """The exemplars of all U units of a layer.

    Args:
        layer: its name.
        thresholds: float32 `[U]`.
        error: bound on the relative error of the thresholds, see `QuantileSketch`; 0 for few images.
        samples: places in the data, int64 `[U, k]`, best first; -1 where there are fewer.
        values: what ranked them, float32 `[U, k]`.
        maps: of the units on them, float32 `[U, k, h, w]`, no larger than masks are.
        size: height and width of masks.
        broken: units with an activation that is not finite, bool `[U]`.
    """

    layer: str
    thresholds: Tensor
    error: float
    samples: Tensor
    values: Tensor
    maps: Tensor
    size: tuple[int, int]
    broken: Tensor

    def mask(self, unit: int) -> Tensor:
        """Where a unit, enlarged to the image, is above its threshold in its exemplars, bool `[n, H, W]`."""
        return enlarge(self.maps[unit, self.samples[unit] >= 0], self.size) > self.thresholds[unit]

    def packed_masks(self) -> Tensor:
        """The masks of all exemplars in bits, uint8 `[U, k, bytes]`; see `pack`."""
        per_unit = self.maps.shape[1] * self.size[0] * self.size[1]
        several = max(1, AT_ONCE // per_unit)
        parts = zip(torch.split(self.maps, several), torch.split(self.thresholds, several), strict=True)
        packed = torch.cat([pack(enlarge(maps, self.size) > limits[:, None, None, None]) for maps, limits in parts])
        return packed * (self.samples >= 0)[..., None].byte()


def probe(
    subject: Subject,
    layers: Sequence[str] = (),
    *,
    quantile: float = 0.99,
    k: int = 15,
    rank: Rank = "max",
    mask_size: int | None = None,
    resolution: int = 32,
) -> tuple[dict[str, Exemplars], int]:
    """The exemplars of all units of some layers, by name of the layer; and the number of forward passes.

    The maps of exemplars are held: `4 U k h w` bytes of a layer, with `h w` no larger than masks are.

    Args:
        subject: model and images.
        layers: names or patterns; see `unit_layers`.
        quantile: of a unit's activations over all places of all images.
        k: exemplars of a unit.
        rank: see `Rank`; `area` takes one pass more.
        mask_size: side of the masks in pixels; None for the size of the images. Maps are enlarged bilinearly.
        resolution: of the quantiles; see `QuantileSketch`.

    Raises:
        ModelError: a layer is not there or has no units.
        DataError: there is no readable image.
        ParameterError: as `QuantileSketch`.
    """
    first = next(replace(subject, batch=1).batches(), None)
    if first is None:
        raise DataError("no image could be read: units are described by images that excite them")
    size = (mask_size, mask_size) if mask_size else (first.images.shape[2], first.images.shape[3])
    found = {
        name: _Layer(units, (height, width), size, k, QuantileSketch(quantile, resolution), rank, subject.device)
        for name, (units, height, width) in unit_layers(subject.model, first.images, layers).items()
    }
    passes = _read(subject, {name: layer.add for name, layer in found.items()}, "units")
    if rank == "area":
        for layer in found.values():
            layer.start_areas()
        passes += _read(subject, {name: layer.add_areas for name, layer in found.items()}, "areas of units")
    return {name: found.pop(name).exemplars(name) for name in list(found)}, passes


class _Layer:
    """Statistics of the units of a layer, gathered while their maps stream by."""

    def __init__(
        self, units: int, shape: tuple[int, int], size: tuple[int, int], k: int, sketch: QuantileSketch, rank: Rank,
        device: str,
    ) -> None:  # fmt: skip
        self.shape, self.size, self.sketch, self.rank = shape, size, sketch, rank
        self.best = Best(units, k, device)
        self.finite = torch.ones(units, dtype=torch.bool, device=device)
        if rank != "area":
            self.best.keep_maps(shape, size)

    def add(self, maps: Tensor, samples: Tensor) -> None:
        """See the maps `[N, U, h, w]` of these samples."""
        flat = maps.flatten(2)
        sums = flat.sum(2)
        if not bool(sums.isfinite().all()):  # perhaps the sum alone
            self.finite &= flat.isfinite().all(2).all(0)
            flat = flat.nan_to_num(0.0, 0.0, 0.0)
            sums = widen(flat).sum(2).float()
        self.sketch.add(flat)
        if self.rank != "area":
            scores = sums / flat.shape[2] if self.rank == "mean" else flat.amax(2)
            self.best.add(scores, samples, flat.view_as(maps))

    def start_areas(self) -> None:
        """Begin the second pass, which ranks by the share of places above the thresholds."""
        self.thresholds = self.sketch.value()
        self.best.keep_maps(self.shape, self.size)

    def add_areas(self, maps: Tensor, samples: Tensor) -> None:
        """Rank samples by the areas above the thresholds, in the second pass."""
        areas = (maps > self.thresholds[:, None, None]).float().mean((2, 3))
        self.best.add(areas, samples, maps.nan_to_num(0.0, 0.0, 0.0))

    def exemplars(self, name: str) -> Exemplars:
        """Exemplars of the layer, on the CPU."""
        best = self.best
        return Exemplars(
            name, self.sketch.value().cpu(), self.sketch.error(), best.samples.cpu(), best.values.cpu(),
            best.maps.cpu(), self.size, ~self.finite.cpu(),
        )  # fmt: skip


def _read(subject: Subject, readers: Mapping[str, Callable[[Tensor, Tensor], None]], title: str) -> int:
    """One pass over the images, whose maps are given to the layers' readers; and the number of images."""
    place = {name: i for i, name in enumerate(subject.samples.ids)}
    passes = 0
    with track(title, len(subject.indices)) as task:
        for batch in subject.batches():
            samples = torch.tensor([place[i] for i in batch.ids], device=subject.device)

            def read(name: str, maps: Tensor, samples: Tensor = samples) -> None:
                readers[name](maps, samples)

            read_units(subject.model, batch.images, list(readers), read)
            passes += len(batch)
            task.advance(len(batch))
    return passes
