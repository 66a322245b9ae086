"""Shot noise."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities


def shot_noise(images: Tensor, c: float, rng: SampleRng) -> Tensor:
    """Count photons: `Poisson(c x) / c`.

    Images of 8 bits, the rule, are drawn from tables over their 256 levels; others one value at a time.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        c: photons a white pixel sends, above 0.
        rng: one stream a sample.

    Returns:
        The same shape, cut at 1.
    """
    levels = images * 255
    rounded = levels.round()
    whole = levels.sub_(rounded).abs_().flatten(1).amax(1) < 1e-3
    drawn = _from_tables(rounded, c, rng)
    for i in (~whole).nonzero().flatten().tolist():
        (generator,) = rng[i : i + 1].fold("direct").generators()
        counts = generator.poisson(images[i].cpu().double().numpy() * c)
        drawn[i] = torch.from_numpy(np.minimum(counts / c, 1)).to(images)
    return drawn


def _from_tables(levels: Tensor, c: float, rng: SampleRng) -> Tensor:
    """Draws for whole levels 0 to 255 by the alias method: one uniform picks a cell and a side of its cut."""
    cut, alias = (torch.from_numpy(table).to(levels.device) for table in alias_tables(c))
    cells = cut.shape[1]
    u = rng.uniform(*levels.shape[1:]).mul_(cells)
    cell = u.floor()
    index = torch.add(cell, levels, alpha=cells).int().flatten()
    here = u.sub_(cell).lt_(cut.view(-1).index_select(0, index).view_as(u))
    other = alias.view(-1).index_select(0, index).view_as(u)
    return torch.lerp(other, cell.div_(c).clamp_(max=1), here)


@lru_cache(maxsize=16)
def alias_tables(c: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Tables of the alias method (Walker 1977) for `min(Poisson(c v / 255) / c, 1)` at the levels v = 0 to 255.

    Counts of c and more all give 1 and are one outcome. A level's K cells are equally likely; cell k gives `k / c`
    below its cut and its alias above.

    Args:
        c: photons a white pixel sends, above 0.

    Returns:
        Cuts in [0, 1] and alias values in [0, 1], each float32 `[256, K]`, K a power of two.
    """
    last = math.ceil(c)
    cells = 1 << last.bit_length()
    rate = np.arange(256)[:, None] * (c / 255)
    mass = np.zeros((256, cells))
    mass[:, :last] = scipy.stats.poisson.pmf(np.arange(last), rate)
    mass[:, last] = scipy.stats.poisson.sf(last - 1, rate[:, 0])
    rows = np.arange(256)
    left, open_ = mass * cells, np.ones((256, cells), bool)
    cut, alias = np.ones((256, cells)), np.tile(np.arange(cells), (256, 1))
    for _ in range(cells - 1):
        poor = np.where(open_, left, np.inf).argmin(1)
        rich = np.where(open_, left, -np.inf).argmax(1)
        cut[rows, poor], alias[rows, poor] = left[rows, poor], rich
        left[rows, rich] -= 1 - left[rows, poor]
        open_[rows, poor] = False
    return cut.astype(np.float32), np.minimum(alias / c, 1).astype(np.float32)


@register("shot_noise", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="noise")
class ShotNoise(Corruption):
    """Add Poisson noise, as from counting few photons."""

    strengths = Severities(imagenet=(60, 25, 12, 5, 3), cifar=(500, 250, 100, 75, 50), tiny=(250, 100, 50, 30, 15))

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        return shot_noise(images, c, rng)
