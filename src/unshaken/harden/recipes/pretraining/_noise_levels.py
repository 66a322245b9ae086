"""Noise levels on images in [-1, 1], and how their number and the target's average change over a run."""

from __future__ import annotations

import math

from unshaken.generate.edm import karras_grid
from unshaken.models.networks.timed_cnn import CLEAN

MOST = 80.0
"""The largest noise level."""


def nearest_level(level: float, points: int, *, least: float = CLEAN, most: float = MOST) -> tuple[int, float]:
    """Index and value of the grid's point nearest to a level.

    >>> nearest_level(1.0, 81)[0]
    48
    """
    grid = karras_grid(points, most, least)
    index = int((grid - level).abs().argmin())
    return index, float(grid[index])


def grid_points(step: int, steps: int, *, first: int = 20, last: int = 80) -> int:
    """Points of the grid at a step: `N(k) = min(s0 2^ceil(k / K'), s1) + 1`, `K' = ceil(K / log2(ceil(s1 / s0) + 1))`.

    Args:
        step: k, from 0.
        steps: K, of the whole run.
        first: s0.
        last: s1.

    >>> [grid_points(k, 600_000) for k in (0, 1, 258_400, 300_000, 600_000)]
    [21, 41, 41, 81, 81]
    """
    stage = stage_length(steps, first=first, last=last)
    return int(min(first * 2 ** math.ceil(step / stage), last)) + 1


def stage_length(steps: int, *, first: int = 20, last: int = 80) -> int:
    """K' of `grid_points`.

    >>> stage_length(600_000)
    258406
    """
    return math.ceil(steps / math.log2(math.ceil(last / first) + 1))


def target_decay(step: int, steps: int, *, low: float = 0.99, high: float = 0.9999, sharpness: float = 10.0) -> float:
    """The share mu(k) of the target network that stays at a step; it rises from `low` to nearly `high`.

    `e = sqrt(k / K (b^2 - a^2) + a^2)`, `c = 2 / (1 + exp(-A (e - a) / (b - a))) - 1`, `mu = c b + (1 - c) a`.

    Args:
        step: k, from 0.
        steps: K, of the whole run.
        low: a.
        high: b.
        sharpness: A; 10 for ImageNet, 15 for CIFAR.

    >>> [round(target_decay(k, 600_000), 6) for k in (0, 1000, 60_000, 300_000, 600_000)]
    [0.99, 0.990083, 0.994592, 0.999769, 0.999899]
    """
    if high <= low:
        return low
    share = math.sqrt(step / steps * (high**2 - low**2) + low**2)
    bend = 2 / (1 + math.exp(-sharpness * (share - low) / (high - low))) - 1
    return bend * high + (1 - bend) * low
