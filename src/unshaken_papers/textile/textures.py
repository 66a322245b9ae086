"""Textures with labels by construction: made here, or cut from the user's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from unshaken.core.errors import DataError
from unshaken.explain.textures.seams import seam_fault
from unshaken.papers.datasets import Split
from unshaken_papers.textile.cuts import cut, cut_made, kinds, vary

TILES = float(np.log(1.5))
"""Largest fault of a user's texture that is taken to tile: a seam ratio from 2/3 to 1.5."""
LEAST = 8


def made(families: Sequence[str], count: int, side: int, seed: int) -> Split:
    """As many cuts of made planes, half of them broken, the families in turn.

    Args:
        families: of `unshaken.data.textures.FAMILIES`.
        count: of textures.
        side: in pixels.
        seed: textures of two seeds have nothing in common.
    """
    named = [(kind, families[i // 2 % len(families)]) for i, kind in enumerate(kinds(count))]
    pixels = [cut_made(family, side, kind, seed * 100_003 + i) for i, (kind, family) in enumerate(named)]
    return _split(pixels, [f"{family}-{kind}-{i}" for i, (kind, family) in enumerate(named)])


def usable_planes(given: Split, side: int) -> list[NDArray[np.float32]]:
    """The user's textures that tile, grey, of twice the side.

    Raises:
        DataError: they are too few.
    """
    images = given.images.float().mean(1, keepdim=True) / 255
    large = interpolate(images, (2 * side, 2 * side), mode="bilinear", antialias=True)
    planes = [plane.numpy() for plane, fault in zip(large[:, 0], seam_fault(large), strict=True) if fault <= TILES]
    if len(planes) < LEAST:
        raise DataError(
            f"textile: {len(planes)} of {len(given)} textures have a seam ratio from 2/3 to 1.5; give at least {LEAST}"
        )
    return planes


def cut_from(planes: Sequence[NDArray[np.float32]], count: int, side: int, seed: int) -> Split:
    """As many cuts of planes of twice the side, half of them broken, the planes in turn."""
    rng = np.random.default_rng([seed, 2])
    pixels, names = [], []
    for i, kind in enumerate(kinds(count)):
        plane = planes[i // 2 % len(planes)]
        if kind != "crop":
            plane = plane.reshape(side, 2, side, 2).mean((1, 3))
        pixels.append(vary(cut(plane, side, kind, rng), rng))
        names.append(f"{i // 2 % len(planes)}-{kind}-{i}")
    return _split(pixels, names)


def _split(pixels: Sequence[NDArray[np.float32]], names: Sequence[str]) -> Split:
    images = torch.from_numpy(np.stack(pixels)[:, None]).clamp(0, 1).mul(255).round().byte()
    labels = torch.tensor(["-whole-" in name for name in names]).long()
    return Split(images, labels, tuple(names), 2, ("broken", "tileable"))
