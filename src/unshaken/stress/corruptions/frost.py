"""Frost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities
from unshaken.stress.engine.filters import luma

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


def frost(images: Tensor, a: float, b: float, crops: Sequence[Tensor]) -> Tensor:
    """Look through an iced window: `a x + b T`.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        a: share of the image.
        b: share of the ice.
        crops: the ice T for each image, `[C, H, W]` in [0, 1].

    Returns:
        The same shape, not clipped.
    """
    result = images * a
    for target, crop in zip(result, crops, strict=True):
        target.add_(crop, alpha=b)
    return result


@register(
    "frost", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="weather", comparable="with textures"
)
class Frost(Corruption):
    """Blend the image with a random part of a texture of ice.

    Published errors were measured with the authors' photos of ice. Give their folder as `textures`; without it the ice
    is drawn by rule, the results do not compare with published ones, and `comparable` says so.
    """

    textures: str | None = Field(
        default=None, description="folder with photos of ice; without it the ice is drawn by rule"
    )
    count: int = Field(
        default=5, ge=1, description="textures used: the folder's first by name (the authors draw from five)"
    )

    # a, b, size of the texture
    strengths = Severities(
        imagenet=((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
        cifar=((1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)),
        tiny=((1, 0.3, 0.3), (0.9, 0.4, 0.3), (0.8, 0.45, 0.3), (0.75, 0.5, 0.3), (0.7, 0.55, 0.3)),
    )

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return () if self.textures is None else (self.textures,)

    @property
    def comparable(self) -> bool:
        """Whether results compare with published ones: only with the authors' textures."""
        return self.textures is not None

    @override
    def corrupt(self, images: Tensor, c: tuple[float, float, float], rng: SampleRng) -> Tensor:
        a, b, scale = c
        height, width = images.shape[2:]
        textures = (
            drawn_textures(self.count, scale)
            if self.textures is None
            else read_textures(self.textures, self.count, scale)
        )
        which = rng.fold("texture").integers(0, len(textures)).tolist()
        places = rng.fold("place").uniform(2).tolist()
        crops = []
        for index, (down, right) in zip(which, places, strict=True):
            ice = fitting(textures[index], height, width)
            top, left = int(down * (ice.shape[1] - height)), int(right * (ice.shape[2] - width))
            crop = ice[:, top : top + height, left : left + width].to(images.device)
            crops.append(luma(crop[None])[0] if images.shape[1] == 1 else crop)
        return frost(images, a, b, crops)
