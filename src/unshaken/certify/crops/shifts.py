"""Predictions on shifted windows of photos, where a crop that several windows share passes the network once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.certify.crops.crop_selection import CropSelection, resize
from unshaken.certify.engine.base import certificates
from unshaken.core.batch import Batch
from unshaken.core.oracle import Oracle
from unshaken.core.outcomes import outcomes
from unshaken.core.part import Condition, Part
from unshaken.stress.geometry.translation import window

Shift = tuple[int, int]
FOUR: tuple[Shift, ...] = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
EIGHT: tuple[Shift, ...] = ((0, 0), *((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)))


def ball(d: int) -> tuple[Shift, ...]:
    """All shifts of up to d pixels along each axis, none first."""
    reach = range(-d, d + 1)
    return ((0, 0), *((y, x) for y in reach for x in reach if (y, x) != (0, 0)))


@dataclass(frozen=True, slots=True)
class Framing:
    """Choice of the crop of a window that the network classifies.

    Args:
        name: unique in an experiment, such as `hash-224`.
        method: what the rows call it.
        size: side of the crop in pixels.
        selection: how its place is chosen; None for the centre.
    """

    name: str
    method: str
    size: int
    selection: CropSelection | None = None


def places(photos: Tensor, framing: Framing, side: int, shifts: Sequence[Shift]) -> Tensor:
    """Where each window's crop begins, in the photo.

    A score reads its crop alone, so that the photo is scored once and each window takes its part.

    Args:
        photos: `[N, C, H, W]` with a margin for the shifts.
        framing: which crop.
        side: of the windows, in pixels.
        shifts: of the windows.

    Returns:
        int64 `[S, N, 2]`: row and column of the crop's first pixel.
    """
    corner = [((photos.shape[2] - side) // 2 + dy, (photos.shape[3] - side) // 2 + dx) for dy, dx in shifts]
    if framing.selection is None:
        inside = (side - framing.size) // 2
        return torch.tensor(corner)[:, None].expand(-1, len(photos), 2) + inside
    reach = max(max(abs(dy), abs(dx)) for dy, dx in shifts)
    wide = window(photos, 0, 0, side + 2 * reach, side + 2 * reach)
    found, k = framing.selection.candidates(wide, (framing.size, framing.size)), side - framing.size + 1
    chosen = [found.part(reach + dy, reach + dx, k, k).best() for dy, dx in shifts]
    offset = torch.tensor([corner[0][0] - reach, corner[0][1] - reach])
    return torch.stack([torch.cat([c.top, c.left], 1) for c in chosen]) + offset


def crop_logits(photos: Tensor, at: Tensor, size: int, oracle: Oracle) -> tuple[Tensor, Tensor]:
    """The network's logits of crops, each different one asked once.

    Args:
        photos: `[N, C, H, W]`.
        at: int64 `[S, N, 2]`, see `places`.
        size: side of the crops in pixels.
        oracle: of the network.

    Returns:
        Logits `[S, N, K]`, and forward passes int64 `[S, N]` (1 where the crop was new).
    """
    sample = torch.arange(len(photos)).expand(at.shape[:2])
    keys, inverse = torch.unique(torch.cat([sample[..., None], at], 2).flatten(0, 1), dim=0, return_inverse=True)
    logits = []
    for part in torch.split(keys, oracle.limit):
        with oracle.meter.method():
            crops = torch.stack([photos[i, :, y : y + size, x : x + size] for i, y, x in part.tolist()])
            crops = resize(crops, oracle.model.input_size)
        logits.append(oracle.exact(crops))
    first = torch.full((len(keys),), len(inverse)).scatter_reduce(0, inverse, torch.arange(len(inverse)), "amin")
    fresh = torch.zeros(len(inverse), dtype=torch.int64).index_fill(0, first, 1)
    return torch.cat(logits)[inverse].reshape(*at.shape[:2], -1), fresh.reshape(at.shape[:2])


def framed(
    batch: Batch, framing: Framing, side: int, shifts: Sequence[Shift], oracle: Oracle, prefix: str
) -> list[Part]:
    """`outcomes` of one framing at all shifted windows, one condition a shift."""
    began = time.perf_counter()
    at = places(batch.images, framing, side, shifts)
    logits, forwards = crop_logits(batch.images, at, framing.size, oracle)
    seconds = (time.perf_counter() - began) / (len(batch) * len(shifts))
    return [
        outcomes(
            Condition(named(prefix, framing, shift), framing.method, severity=max(map(abs, shift))),
            batch,
            logits[i],
            forwards=forwards[i],
            seconds=seconds,
        )
        for i, shift in enumerate(shifts)
    ]


def agreed(batch: Batch, framing: Framing, side: int, shifts: Sequence[Shift], prefix: str, norm: str) -> Part:
    """`certificates` of one framing: radius 1 where all windows select the same place, by brute force."""
    began = time.perf_counter()
    at = places(batch.images, framing, side, shifts)
    same = (at == at[:1]).all(2).all(0)
    seconds = (time.perf_counter() - began) / len(batch)
    condition = Condition(f"{prefix}.{framing.name}", framing.method, severity=1)
    return certificates(condition, batch, radius=same.long(), norm=norm, seconds=seconds)


def named(prefix: str, framing: Framing, shift: Shift) -> str:
    """The condition of one framing at one shift."""
    return f"{prefix}.{framing.name}.{shift[0]:+d}{shift[1]:+d}"
