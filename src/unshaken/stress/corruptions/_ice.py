"""Textures of ice on a window: read from a folder, or drawn."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from unshaken.core.errors import DataError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_HEIGHT, _WIDTH = 480, 640


@lru_cache(maxsize=8)
def read_textures(folder: str, count: int, scale: float) -> tuple[Tensor, ...]:
    """The first images of a folder by name, each float32 `[3, h, w]` in [0, 1], resized by a factor (bilinear).

    A folder is read once a process.

    Raises:
        DataError: there is no such folder, or it holds no image that can be read.
    """
    path = Path(folder)
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in _SUFFIXES) if path.is_dir() else []
    if not files:
        raise DataError(
            f"frost: {folder!r} is not a folder with images ({', '.join(_SUFFIXES)}); give one, or leave it out"
        )
    textures = []
    for file in files[:count]:
        try:
            with Image.open(file) as image:
                pixels = np.array(image.convert("RGB"))
        except OSError as error:
            raise DataError(
                f"frost: the texture {str(file)!r} cannot be read ({error}); replace or remove it"
            ) from None
        textures.append(_resized(torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255), scale))
    return tuple(textures)


@lru_cache(maxsize=8)
def drawn_textures(count: int, scale: float) -> tuple[Tensor, ...]:
    """Textures of crystal ferns made by rule, the same on every call: float32 `[3, h, w]` in [0, 1]."""
    return tuple(_resized(_draw(index), scale) for index in range(count))


@lru_cache(maxsize=64)
def _draw(index: int) -> Tensor:
    """One texture: ferns with side needles at 60 degrees over a cloudy ground, from blue to white."""
    rng = np.random.Generator(np.random.Philox(key=index))
    canvas = Image.new("L", (2 * _WIDTH, 2 * _HEIGHT), 0)
    draw = ImageDraw.Draw(canvas)
    for _ in range(50 + 30 * (index % 3)):
        start, angle = rng.uniform((0, 0), canvas.size), rng.uniform(0, 2 * math.pi)
        _fern(draw, rng, start, angle, length=rng.uniform(80, 360), depth=2)
    needles = np.asarray(canvas.resize((_WIDTH, _HEIGHT), Image.Resampling.BOX)) / 255
    clouds = np.zeros((_HEIGHT, _WIDTH))
    for octave, cells in enumerate((1, 2, 5, 12, 40)):
        coarse = Image.fromarray(rng.uniform(0, 1, (3 * cells, 4 * cells)).astype(np.float32))
        clouds += np.asarray(coarse.resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC)) / 1.7**octave
    clouds = (clouds - clouds.min()) / (clouds.max() - clouds.min())
    light = np.clip((0.1 + 0.1 * (index % 5)) + 0.35 * clouds + 0.55 * needles * (0.4 + 0.6 * clouds), 0, 1)[..., None]
    ground, white = np.array([0.02, 0.16, 0.26]), np.array([0.93, 0.97, 1.0])
    return torch.from_numpy(ground + (white - ground) * light).permute(2, 0, 1).float().contiguous()


def _fern(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    start: np.ndarray[tuple[int], np.dtype[np.float64]],
    angle: float,
    length: float,
    depth: int,
) -> None:
    """A needle with smaller ferns on both sides, shorter towards its tip."""
    direction = np.array([math.cos(angle), math.sin(angle)])
    end = start + length * direction
    draw.line([*start, *end], fill=int(rng.integers(110, 256)), width=2 + (depth == 2))
    if depth == 0 or length < 14:
        return
    for place in np.arange(0.08, 1, max(0.07, 13 / length)):
        for side in (-1, 1):
            size = length * (1 - place) * rng.uniform(0.2, 0.45)
            _fern(draw, rng, start + place * length * direction, angle + side * math.pi / 3, size, depth - 1)


def _resized(texture: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return texture
    size = [max(1, round(side * scale)) for side in texture.shape[1:]]
    return torch.nn.functional.interpolate(texture[None], size, mode="bilinear", align_corners=False)[0]


def fitting(texture: Tensor, height: int, width: int) -> Tensor:
    """A texture at least as large as an image, enlarged if need be."""
    factor = max((height + 1) / texture.shape[1], (width + 1) / texture.shape[2])
    return texture if factor <= 1 else _resized(texture, factor * 1.001)
