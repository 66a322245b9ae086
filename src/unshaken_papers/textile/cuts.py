"""Cuts of made planes that tile or do not."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from unshaken.data.textures import make_plane

BREAKS = ("crop", "short", "turned", "stretched")
"""Kinds of cuts that do not tile: of a plane of twice the period; short of the period; turned; stretched one way."""


def sample_plane(
    plane: NDArray[np.float32], side: int, matrix: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Read a plane that repeats at `matrix @ (row, column) + start`, bilinear.

    Args:
        plane: one period `[P, P]`.
        side: of the result in pixels.
        matrix: `[2, 2]`; the identity reads pixel by pixel.
        start: `[2]`, row and column of the first pixel.
    """
    places = np.indices((side, side)).reshape(2, -1)
    read = matrix @ places + start[:, None]
    values = map_coordinates(plane, read, order=1, mode="grid-wrap")
    return np.asarray(values.reshape(side, side), np.float32)


def cut(plane: NDArray[np.float32], side: int, kind: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """A cut of a plane, with a random start.

    Args:
        plane: one period `[P, P]`; for `crop` at least twice the side, else it is enlarged.
        side: of the cut in pixels, which holds one period but for its kind.
        kind: `whole`, or one of `BREAKS`.
        rng: gives what is drawn.

    Returns:
        Float32 `[side, side]`.
    """
    matrix = np.eye(2)
    if kind == "crop":
        matrix = matrix / 2
    elif kind == "short":
        matrix = matrix * (1 - int(rng.integers(3, max(4, side // 4))) / side)
    elif kind == "turned":
        angle = math.radians(rng.uniform(5, 40)) * rng.choice([-1, 1])
        matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    elif kind == "stretched":
        matrix = np.diag(rng.permutation([1.0, 1 / rng.uniform(1.1, 1.6)]))
    period = len(plane)
    return sample_plane(plane, side, matrix * (period / side), rng.integers(0, period, 2).astype(np.float64))


def cut_made(family: str, side: int, kind: str, seed: int) -> NDArray[np.float32]:
    """A cut of a made plane, with random contrast and brightness, half of them inverted.

    Half of the whole cuts are read from a period of another length, so that the blur of resampling does not tell the
    kinds apart.

    Args:
        family: of `unshaken.data.textures.FAMILIES`.
        side: in pixels.
        kind: `whole`, or one of `BREAKS`.
        seed: of all that is drawn.

    Returns:
        Float32 `[side, side]` in [0, 1].
    """
    rng = np.random.default_rng([seed, 1])
    period = 2 * side if kind == "crop" else side
    if kind == "whole" and rng.random() < 0.5:
        period = int(rng.integers(side * 3 // 4, side * 5 // 4))
    return vary(cut(make_plane(family, period, seed), side, kind, rng), rng)


def vary(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Pixels in [0, 1] of another contrast and brightness, inverted in half of all cases; a texture stays tileable."""
    if rng.random() < 0.5:
        pixels = 1 - pixels
    contrast = rng.uniform(0.5, 1)
    return np.asarray(pixels * contrast + rng.uniform(0, 1 - contrast), np.float32)


def kinds(count: int) -> list[str]:
    """Kinds of as many cuts: whole ones and broken ones in turn, the four kinds of these in turn."""
    return ["whole" if i % 2 == 0 else BREAKS[i // 2 % len(BREAKS)] for i in range(count)]
