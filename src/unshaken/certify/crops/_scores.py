"""Scores of crops, in whole numbers: equal crops have equal scores to the bit, wherever they lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import ParameterError

Size = tuple[int, int]
Score = Callable[[Tensor, Size], Tensor]
"""From grey levels int64 `[N, H, W]` and a crop's height and width h, w to a score a position, int64
`[N, H - h + 1, W - w + 1]`. It may read pixels inside the crop only."""

ScoreName = Literal["hash", "laplacian", "random_filter", "box_energy", "box_mean"]

PRIME = 2**32 - 5
MULTIPLIER = 2654435761
"""Knuth's multiplicative hash: 2^32 over the golden ratio."""


def grey_levels(images: Tensor) -> Tensor:
    """Luminance in whole numbers.

    Args:
        images: uint8 `[N, C, H, W]` with 1 or 3 channels.

    Returns:
        int64 `[N, H, W]`, 0 to 255: `(299 R + 587 G + 114 B + 500) // 1000`.

    Raises:
        ParameterError: another number of channels.
    """
    if images.shape[1] == 1:
        return images[:, 0].long()
    if images.shape[1] != 3:
        raise ParameterError(f"crop selection reads 1 or 3 channels, not {images.shape[1]}")
    red, green, blue = images.long().unbind(1)
    return (299 * red + 587 * green + 114 * blue + 500) // 1000


def hash_score(seed: int = 0) -> Score:
    """A hash of the 5 x 5 block at the crop's centre: no two different blocks are alike, near or not.

    The block's grey levels are summed with random weights of 20 bits, then multiplied modulo `2^32 - 5`.
    """
    weights = np.random.Generator(np.random.Philox(seed)).integers(1, 2**20, (5, 5))

    def score(grey: Tensor, size: Size) -> Tensor:
        return _hashed(_centre_filter(grey, size, weights, "hash"))

    return score


def laplacian_score() -> Score:
    """The absolute Laplacian (four neighbours) at the crop's centre pixel."""
    weights = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])

    def score(grey: Tensor, size: Size) -> Tensor:
        return _centre_filter(grey, size, weights, "laplacian").abs()

    return score


def random_filter_score(seed: int = 0) -> Score:
    """The response of a random 9 x 9 filter, of sum zero, at the crop's centre."""
    weights = np.random.Generator(np.random.Philox(seed)).integers(-1000, 1001, (9, 9))
    weights = weights.size * weights - weights.sum()

    def score(grey: Tensor, size: Size) -> Tensor:
        return _centre_filter(grey, size, weights, "random_filter")

    return score


def box_energy_score() -> Score:
    """The sum over the crop of squared differences of neighbours. Smooth in position: a bad score, for comparison."""

    def score(grey: Tensor, size: Size) -> Tensor:
        down, right = grey.diff(dim=1).square(), grey.diff(dim=2).square()
        return _box_sum(down, (size[0] - 1, size[1])) + _box_sum(right, (size[0], size[1] - 1))

    return score


def box_mean_score() -> Score:
    """The sum of the crop's grey levels. Smooth in position: a bad score, for comparison."""
    return _box_sum


def score_named(name: ScoreName, seed: int = 0) -> Score:
    """The score of a name; `seed` is that of the random weights where it has any."""
    makers: dict[str, Callable[[], Score]] = {
        "hash": lambda: hash_score(seed),
        "laplacian": laplacian_score,
        "random_filter": lambda: random_filter_score(seed),
        "box_energy": box_energy_score,
        "box_mean": box_mean_score,
    }
    return makers[name]()


def _hashed(values: Tensor) -> Tensor:
    """`values * MULTIPLIER mod PRIME` in two steps of 16 bits, so that int64 never overflows."""
    high, low = MULTIPLIER >> 16, MULTIPLIER & 0xFFFF
    values = values % PRIME
    return ((values * high % PRIME) * 65536 + values * low) % PRIME


def _centre_filter(grey: Tensor, size: Size, weights: NDArray[np.int64], name: str) -> Tensor:
    """A filter applied to the block around pixel `(h // 2, w // 2)` of every crop; only these pixels are read."""
    side = len(weights)
    if min(size) < side:
        raise ParameterError(f"the score {name!r} reads {side} x {side} pixels, more than a crop of {size}")
    tops, lefts = grey.shape[1] - size[0] + 1, grey.shape[2] - size[1] + 1
    first = size[0] // 2 - side // 2, size[1] // 2 - side // 2
    total = torch.zeros(len(grey), tops, lefts, dtype=torch.int64, device=grey.device)
    for dy, row in enumerate(weights.tolist()):
        for dx, weight in enumerate(row):
            if weight:
                top, left = first[0] + dy, first[1] + dx
                total.add_(grey[:, top : top + tops, left : left + lefts], alpha=weight)
    return total


def _box_sum(values: Tensor, size: Size) -> Tensor:
    """Sums over all boxes; exact, for whole numbers have no rounding."""
    h, w = size
    padded = torch.nn.functional.pad(values.cumsum(1).cumsum(2), (1, 0, 1, 0))
    return padded[:, h:, w:] - padded[:, :-h, w:] - padded[:, h:, :-w] + padded[:, :-h, :-w]
