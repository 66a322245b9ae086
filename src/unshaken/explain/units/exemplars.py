"""`probe`: what excites each unit of some layers: its threshold, its images and where in them, in two passes.

The first pass gives the thresholds and the best images of all layers at once, the second the masks of the images that
were chosen. Of an image only its place in the data is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.units.layers import read_units, unit_layers
from unshaken.explain.units.packing import pack, unpack
from unshaken.explain.units.sketch import UpperQuantile

Rank = Literal["max", "mean", "area"]
"""What orders a unit's images: its largest activation, the mean over places, or the share of places above threshold."""
PACKED_AT_ONCE = 1 << 25
"""Pixels of masks that are made before they are packed."""


@dataclass(frozen=True, slots=True, eq=False)
class Exemplars:
    """The exemplars of all U units of a layer.

    Args:
        layer: its name.
        thresholds: float32 `[U]`.
        error: by which share of all places the rank of any threshold may be off at most; 0 for few images.
        samples: places in the data, int64 `[U, k]`, best first; -1 where there are fewer.
        values: what ranked them, float32 `[U, k]`.
        masks: where the unit is above its threshold, packed, uint8 `[U, k, bytes]`.
        size: height and width of the masks.
        broken: units with an activation that is not finite, bool `[U]`.
    """

    layer: str
    thresholds: Tensor
    error: float
    samples: Tensor
    values: Tensor
    masks: Tensor
    size: tuple[int, int]
    broken: Tensor

    def mask(self, unit: int) -> Tensor:
        """The masks of a unit's exemplars, bool `[n, H, W]`."""
        return unpack(self.masks[unit, self.samples[unit] >= 0], self.size)

    def is_silent(self, unit: int) -> bool:
        """Whether a unit is nowhere above its threshold, as one that never speaks is not."""
        return not bool(self.masks[unit].any())


@dataclass(frozen=True, slots=True, eq=False)
class Thresholds:
    """The first pass over a layer: see `Exemplars`."""

    thresholds: Tensor
    error: float
    broken: Tensor
    best: Best


class Best:
    """The k largest values of each unit with the samples that they are of; the earlier one of equals.

    Args:
        units: how many.
        k: how many values of each.
    """

    def __init__(self, units: int, k: int, device: str = "cpu") -> None:
        self.k = k
        self.values = torch.full((units, k), -torch.inf, device=device)
        self.samples = torch.full((units, k), -1, dtype=torch.int64, device=device)

    def add(self, values: Tensor, samples: Tensor) -> None:
        """See further samples.

        Args:
            values: `[N, U]`.
            samples: places in the data, int64 `[N]`.
        """
        both = torch.cat([self.values, values.T], 1)
        places = torch.cat([self.samples, samples.expand(len(both), -1)], 1)
        self.values, order = both.sort(dim=1, descending=True, stable=True)
        self.values, self.samples = self.values[:, : self.k], places.gather(1, order[:, : self.k])


def first_pass(
    subject: Subject, layers: Sequence[str], *, quantile: float, k: int, rank: Rank = "max", resolution: int = 1024
) -> tuple[dict[str, Thresholds], int]:
    """Thresholds and best images of all units of some layers, in one pass; and the number of images.

    Args:
        subject: model and images.
        layers: names, or patterns; see `unit_layers`.
        quantile: of a unit's activations over all places of all images.
        k: exemplars of a unit.
        rank: see `Rank`; `area` is left to another pass.
        resolution: of the quantiles; see `UpperQuantile`.

    Raises:
        ModelError: a layer is not there or has no units.
        DataError: there is no readable image.
    """
    sketches: dict[str, UpperQuantile] = {}
    best: dict[str, Best] = {}
    finite: dict[str, Tensor] = {}
    place = {name: i for i, name in enumerate(subject.dataset.ids if subject.dataset else ())}
    seen = 0

    def read(layer: str, maps: Tensor) -> None:
        flat = maps.flatten(2)
        finite[layer] &= flat.isfinite().all(2).all(0)
        flat = flat.nan_to_num(0.0, 0.0, 0.0)
        sketches[layer].add(flat.transpose(0, 1).flatten(1))
        best[layer].add(flat.mean(2) if rank == "mean" else flat.amax(2), samples)

    with track("thresholds of units", len(subject.indices)) as task:
        for batch in subject.batches():
            if not seen:
                for name, (units, *_) in unit_layers(subject.model, batch.images, layers).items():
                    sketches[name] = UpperQuantile(quantile, resolution)
                    best[name] = Best(units, k, subject.device)
                    finite[name] = torch.ones(units, dtype=torch.bool, device=subject.device)
            samples = torch.tensor([place[i] for i in batch.ids], device=subject.device)
            read_units(subject.model, batch.images, list(sketches), read)
            seen += len(batch)
            task.advance(len(batch))
    if not seen:
        raise DataError("no image could be read: units are described by images that excite them")
    found = {n: Thresholds(s.value().float(), float(s.error().max()), ~finite[n], best[n]) for n, s in sketches.items()}
    return found, seen


def probe(
    subject: Subject,
    layers: Sequence[str] = (),
    *,
    quantile: float = 0.99,
    k: int = 15,
    rank: Rank = "max",
    mask_size: int | None = None,
    resolution: int = 1024,
) -> tuple[dict[str, Exemplars], int]:
    """The exemplars of all units of some layers, by name of the layer; and the number of forward passes.

    Args:
        subject: model and images.
        layers: names or patterns; see `unit_layers`.
        quantile: as in `first_pass`.
        k: as in `first_pass`.
        rank: see `Rank`; `area` takes one pass more.
        mask_size: side of the masks in pixels; None for the size of the images. Maps are enlarged bilinearly.
        resolution: as in `first_pass`.

    Raises:
        ModelError: as `first_pass`.
        DataError: as `first_pass`.
    """
    found, passes = first_pass(subject, layers, quantile=quantile, k=k, rank=rank, resolution=resolution)
    if rank == "area":
        passes += _rank_by_area(subject, found, k)
    masks, size, more = _masks(subject, found, mask_size)
    exemplars = {
        name: Exemplars(
            name, one.thresholds.cpu(), one.error, one.best.samples.cpu(), one.best.values.cpu(), masks[name], size,
            one.broken.cpu(),
        )
        for name, one in found.items()
    }  # fmt: skip
    return exemplars, passes + more


def _rank_by_area(subject: Subject, found: dict[str, Thresholds], k: int) -> int:
    place = {name: i for i, name in enumerate(subject.dataset.ids if subject.dataset else ())}
    best = {name: Best(len(one.thresholds), k, subject.device) for name, one in found.items()}
    seen = 0

    def read(layer: str, maps: Tensor) -> None:
        best[layer].add((maps > found[layer].thresholds[:, None, None]).float().mean((2, 3)), samples)

    for batch in subject.batches():
        samples = torch.tensor([place[i] for i in batch.ids], device=subject.device)
        read_units(subject.model, batch.images, list(found), read)
        seen += len(batch)
    for name, one in found.items():
        one.best.values, one.best.samples = best[name].values, best[name].samples
    return seen


def _masks(
    subject: Subject, found: dict[str, Thresholds], mask_size: int | None
) -> tuple[dict[str, Tensor], tuple[int, int], int]:
    """Packed masks by layer, their size, and passes: of the chosen images alone."""
    users: dict[str, dict[int, list[tuple[int, int]]]] = {name: defaultdict(list) for name in found}
    for name, one in found.items():
        for unit, row in enumerate(one.best.samples.tolist()):
            for position, sample in enumerate(row):
                if sample >= 0:
                    users[name][sample].append((unit, position))
    wanted = sorted({sample for one in users.values() for sample in one})
    place = {name: i for i, name in enumerate(subject.dataset.ids if subject.dataset else ())}
    masks: dict[str, Tensor] = {}
    size, seen = (0, 0), 0

    def read(layer: str, maps: Tensor) -> None:
        asked = [(i, u, r) for i, sample in enumerate(samples) for u, r in users[layer].get(sample, ())]
        several = max(1, PACKED_AT_ONCE // (size[0] * size[1]))
        for part in (asked[i : i + several] for i in range(0, len(asked), several)):
            image, unit, position = torch.tensor(part).T
            one, threshold = maps[image, unit], found[layer].thresholds[unit][:, None, None]
            masks[layer][unit, position] = pack(enlarged(one[:, None], size)[:, 0] > threshold).cpu()

    with track("masks of exemplars", len(wanted)) as task:
        for batch in replace(subject, indices=wanted).batches():
            if not masks:
                size = (mask_size, mask_size) if mask_size else tuple(batch.images.shape[2:])
                bytes_ = -(-size[0] * size[1] // 8)
                for name, one in found.items():
                    masks[name] = torch.zeros(*one.best.samples.shape, bytes_, dtype=torch.uint8)
            samples = [place[i] for i in batch.ids]
            read_units(subject.model, batch.images, list(found), read)
            seen += len(batch)
            task.advance(len(batch))
    return masks, size, seen


def enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps `[N, D, h, w]` bilinearly as `[N, D, H, W]`; themselves where they have the size."""
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
