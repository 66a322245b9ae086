"""Pictures drawn by rule for PixMix to mix in: fractals of iterated functions, over plasma and Fourier textures."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.stress.engine.plasma import plasma, plasma_size

MAPS = (2, 6)
"""Fewest and most affine maps of a fractal."""
BURN, ITERATIONS = 20, 100
"""Steps of the chaos game before points count, and steps that do."""
DENSE = 4
"""Points that fall on a pixel, in the mean."""
CHUNK = 2**21
"""Points that are moved at once."""


@lru_cache(maxsize=4)
def drawn_pictures(count: int, side: int, seed: int) -> Tensor:
    """Colourful pictures with structure at many scales, the same on every call; every fourth is a texture alone.

    Args:
        count: how many.
        side: height and width in pixels.
        seed: of the run.

    Returns:
        uint8 `[count, 3, side, side]`; not to be written to.
    """
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, 0x6672616374616C], np.uint64)))
    pictures = textures(rng, count, side)
    points = max(64, DENSE * side * side // ITERATIONS)
    fractals = torch.arange(count)[torch.arange(count) % 4 != 3]
    for i, maps in enumerate(range(MAPS[0], MAPS[1] + 1)):
        for rows in torch.split(fractals[i :: MAPS[1] - MAPS[0] + 1], max(1, CHUNK // points)):
            layers = fractal_layers(rng, len(rows), maps, side, points)
            pictures[rows] = pictures[rows].lerp(layers[:, :3], layers[:, 3:].expand(-1, 3, -1, -1))
    return pictures.mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def iterated_functions(rng: np.random.Generator, count: int, maps: int) -> NDArray[np.float64]:
    """Random systems of contracting affine maps `x -> A x + b`, whose attractors are neither dust nor a blot.

    A is a rotation, a scaling by singular values s1 >= s2 and a rotation, mirrored or not. The sum of `s1 + 2 s2` over
    the maps is drawn between `(5 + n) / 2` and `(6 + n) / 2`, the range that gives good pictures (Anderson & Farrell
    2022, arXiv:2110.03091).

    Args:
        rng: the source of the draws.
        count: how many systems.
        maps: n, maps of each.

    Returns:
        `[count, n, 2, 3]`: A and b side by side.
    """
    wanted = rng.uniform((5 + maps) / 2, (6 + maps) / 2, (count, 1, 1))
    values = np.sort(rng.uniform(0.1, 0.9, (count, maps, 2)), axis=2)[..., ::-1]
    for _ in range(8):  # towards the wanted sum, each value staying inside its bounds
        values = np.clip(values * (wanted / (values @ (1.0, 2.0)).sum(1)[:, None, None]), 0.1, 0.95)
    before, after = (_rotations(rng.uniform(0, 2 * math.pi, (count, maps))) for _ in range(2))
    flips = rng.choice((-1.0, 1.0), (count, maps, 2))
    linear = before @ (after * (values * flips)[..., None])
    return np.concatenate([linear, rng.uniform(-1, 1, (count, maps, 2, 1))], 3)


def fractal_layers(rng: np.random.Generator, count: int, maps: int, side: int, points: int) -> Tensor:
    """Attractors by the chaos game; a point takes half of the colour of each map that moves it.

    Args:
        rng: the source of the draws.
        count: how many.
        maps: affine maps of each.
        side: height and width in pixels.
        points: points moved together, each counted at every iteration.

    Returns:
        Float32 `[count, 4, side, side]` in [0, 1]: colour, and how much of what lies below is covered.
    """
    system, palette = iterated_functions(rng, count, maps), rng.uniform(0, 1, (count, maps, 3))
    area = np.abs(np.linalg.det(system[..., :2])) + 0.02
    chances = np.cumsum(area / area.sum(1, keepdims=True), 1)[:, None, :-1]
    place, colour = rng.uniform(-1, 1, (count, points, 2)), rng.uniform(0, 1, (count, points, 3))
    own = np.arange(count)[:, None]
    total = np.zeros((4, count * side * side))
    low = high = np.empty(0)
    for i in range(BURN + ITERATIONS):
        chosen = (rng.random((count, points, 1)) > chances).sum(2)
        matrix = system[own, chosen]
        place = (matrix[..., :2] * place[:, :, None, :]).sum(3) + matrix[..., 2]
        colour = (colour + palette[own, chosen]) / 2
        if i == BURN:
            low, high = np.quantile(place, (0.01, 0.99), axis=1)
            margin = 0.06 * (high - low) + 1e-6
            low, high = low - margin, high + margin
        if i >= BURN:
            cell = np.floor((place - low[:, None]) / (high - low)[:, None] * side).astype(np.int64)
            seen = ((cell >= 0) & (cell < side)).all(2)
            flat = ((own * side + cell[..., 1]) * side + cell[..., 0])[seen]
            total[3] += np.bincount(flat, minlength=total.shape[1])
            for c in range(3):
                total[c] += np.bincount(flat, colour[..., c][seen], minlength=total.shape[1])
    return _toned(torch.from_numpy(total).view(4, count, side, side).transpose(0, 1))


def textures(rng: np.random.Generator, count: int, side: int) -> Tensor:
    """Smooth to rough fields in random colours: diamond-square plasma and noise of spectrum `1 / f^a`, in turn.

    Args:
        rng: the source of the draws.
        count: how many.
        side: height and width in pixels.

    Returns:
        Float32 `[count, 3, side, side]` in [0, 1].
    """
    size = plasma_size(side)
    fields = np.empty((count, 2, side, side), np.float32)
    for picture in fields:
        if rng.random() < 0.5:
            draws = torch.from_numpy(rng.uniform(-1, 1, (2, size * size - 1)).astype(np.float32))
            picture[:] = plasma(draws, size, float(rng.uniform(1.2, 2.5)))[:, :side, :side].numpy()
        else:
            picture[:] = _fourier(rng, side)
    two = torch.from_numpy(fields)
    ends = torch.from_numpy(rng.uniform(0, 1, (count, 3, 3, 1, 1)).astype(np.float32))
    first, second = two[:, :1], two[:, 1:]
    mixed = ends[:, 0] * (1 - first) + first * (ends[:, 1] * (1 - second) + ends[:, 2] * second)
    low, high = mixed.amin((1, 2, 3), keepdim=True), mixed.amax((1, 2, 3), keepdim=True)
    return (mixed - low) / (high - low)


def _fourier(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Two fields of random phases, narrow in direction or not: float32 `[2, side, side]`, each from 0 to 1."""
    down, right = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    radius = np.hypot(down, right)
    radius[0, 0] = 1
    angle = np.arctan2(down, right) - rng.uniform(0, math.pi)
    spectrum = radius ** -rng.uniform(0.8, 2.2) * (1 + rng.uniform(0, 12) * np.cos(angle) ** 8)
    spectrum[0, 0] = 0
    phases = np.exp(2j * math.pi * rng.random((2, *spectrum.shape)))
    fields: NDArray[np.float32] = np.fft.irfft2(spectrum * phases, (side, side)).astype(np.float32)
    low, high = fields.min((1, 2), keepdims=True), fields.max((1, 2), keepdims=True)
    fields = (fields - low) / (high - low)
    return fields


def _rotations(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def _toned(total: Tensor) -> Tensor:
    """Sums of colour and counts `[N, 4, H, W]` as colour and cover, on a logarithmic scale of counts."""
    counts = total[:, 3:]
    tone = counts.log1p() / counts.log1p().amax((2, 3), keepdim=True).clamp(min=1e-9)
    colour = total[:, :3] / counts.clamp(min=1)
    return torch.cat([colour * tone.sqrt(), (2 * tone).clamp(max=1)], 1).float()
