"""Textures drawn from a seed: planes of a known period."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]


def noise(period: int, rng: np.random.Generator) -> Plane:
    """Noise of a random band of wave numbers: float64 `[period, period]`, not scaled."""
    low = rng.uniform(1, 6)
    high = low + rng.uniform(2, 10)
    waves = np.fft.fftfreq(period) * period
    radius = np.hypot(waves[:, None], waves)
    spectrum = np.exp(2j * np.pi * rng.random((period, period))) * ((radius >= low) & (radius <= high))
    return np.asarray(np.fft.ifft2(spectrum).real)


def cells(period: int, rng: np.random.Generator) -> Plane:
    """Distances to the nearest of some points, or between the nearest two, on a torus."""
    points = rng.uniform(0, period, (int(rng.integers(8, 40)), 2))
    place = np.arange(period)
    apart = [np.abs(place[:, None] - points[:, axis]) for axis in (0, 1)]
    down, across = (np.minimum(a, period - a) for a in apart)
    nearest = np.sort(np.hypot(down[:, None], across[None]), 2)[..., :2]
    return np.asarray(nearest[..., 0] if rng.random() < 0.5 else nearest[..., 1] - nearest[..., 0])


def stripes(period: int, rng: np.random.Generator) -> Plane:
    """Warped stripes of whole wave numbers, or a plaid of two kinds."""
    warp = smooth(period, rng) * rng.uniform(0, 2)
    rows, columns = np.mgrid[:period, :period] * (2 * np.pi / period)

    def one() -> Plane:
        a, b = int(rng.integers(0, 7)), int(rng.integers(1, 7))
        return np.asarray(np.sin(a * rows + b * columns + warp + rng.uniform(0, 7)) * rng.choice([1.0, 4.0])).clip(
            -1, 1
        )

    return one() if rng.random() < 0.5 else one() + one().T


def bricks(period: int, rng: np.random.Generator) -> Plane:
    """Courses of bricks, every second one moved by half a brick, each brick with a tone of its own."""
    courses, count = 2 * int(rng.integers(1, 5)), int(rng.integers(1, 5))
    row, column = np.mgrid[:period, :period] / period
    course = np.floor(row * courses)
    along = column * count + (course % 2) / 2
    tones = rng.uniform(0.4, 1, (courses, count))[course.astype(int), np.floor(along).astype(int) % count]
    mortar = rng.uniform(0.05, 0.15)
    joint = ((row * courses) % 1 < mortar) | (along % 1 < mortar * count / courses)
    return np.asarray(np.where(joint, rng.uniform(0, 0.3), tones + 0.05 * smooth(period, rng)))


def wallpaper(period: int, rng: np.random.Generator) -> Plane:
    """A motif repeated under the symmetries of p2, pmm or p4."""
    motif = noise(period, rng)
    turns = {
        "p2": (motif, np.roll(motif[::-1, ::-1], 1, (0, 1))),
        "pmm": (motif, motif[::-1], motif[:, ::-1], motif[::-1, ::-1]),
        "p4": tuple(np.rot90(motif, k) for k in range(4)),
    }
    return np.asarray(sum(turns[str(rng.choice(list(turns)))])).clip(-np.inf, np.inf)


def smooth(period: int, rng: np.random.Generator) -> Plane:
    """Noise of the wave numbers up to 3, of a deviation of 1."""
    waves = np.fft.fftfreq(period) * period
    low_waves = np.hypot(waves[:, None], waves) <= 3
    field = np.fft.ifft2(np.exp(2j * np.pi * rng.random((period, period))) * low_waves).real
    return np.asarray(field / field.std())


FAMILIES: Mapping[str, Callable[[int, np.random.Generator], Plane]] = {
    "noise": noise,
    "cells": cells,
    "stripes": stripes,
    "bricks": bricks,
    "wallpaper": wallpaper,
}


def make_plane(family: str, period: int, seed: int) -> NDArray[np.float32]:
    """One period of a plane, the same for the same arguments.

    Args:
        family: of `FAMILIES`.
        period: in pixels.
        seed: of all that is drawn.

    Returns:
        Float32 `[period, period]` from 0 to 1; it repeats without a seam.
    """
    plane = FAMILIES[family](period, np.random.default_rng(seed))
    low, high = plane.min(), plane.max()
    return np.asarray((plane - low) / max(high - low, 1e-9), np.float32)
