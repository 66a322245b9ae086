"""A concept set made here: plain colours, gratings, noise, and objects of labelled images, with exact masks."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.rng import SampleRng
from unshaken.data import load_data, stream
from unshaken.data.dataset import BadSample
from unshaken.explain.units.concept_set import Concept, ConceptImages

COLOURS = {
    "red": (0.85, 0.15, 0.15), "green": (0.15, 0.7, 0.2), "blue": (0.15, 0.25, 0.85), "yellow": (0.9, 0.85, 0.2),
    "purple": (0.6, 0.2, 0.7), "orange": (0.95, 0.55, 0.1), "black": (0.03, 0.03, 0.03), "white": (0.97, 0.97, 0.97),
}  # fmt: skip
ANGLES = {"vertical stripes": 0.0, "horizontal stripes": 0.5, "rising stripes": 0.25, "falling stripes": 0.75}
"""Direction of the wave of a grating, as a share of half a turn."""
PERIODS = {"fine": 1 / 8, "coarse": 1 / 3}
"""Period of a grating as a share of the patch's side."""
NOISES = {"noise": 1, "blotches": 4}
"""Side of the squares of a noise texture in pixels."""
GREYS = {"black": 0.03, "grey": 0.5, "white": 0.97}
"""Plain colours of images of one channel."""


def made_concepts(
    n: int = 400,
    side: int = 32,
    channels: int = 3,
    seed: int = 0,
    objects: tuple[Tensor, Tensor, list[str]] | None = None,
) -> ConceptImages:
    """Composites on a ground of faint noise: a plain colour, a texture and an object, each in a quarter of the image.

    Args:
        n: images.
        side: of an image in pixels.
        channels: 1 or 3; with one, colours are shades of grey.
        seed: of all that is drawn.
        objects: float32 images `[M, C, h, w]` in [0, 1], their classes int64 `[M]`, and the names of these; None for
            the embedded data.
    """
    images, classes, names = objects or _embedded(channels)
    shades = COLOURS if channels == 3 else {name: (value,) * 3 for name, value in GREYS.items()}
    textures = [f"{period} {angle}" for period in PERIODS for angle in ANGLES] + list(NOISES)
    concepts = [Concept(name, "colour") for name in shades]
    concepts += [Concept(name, "texture") for name in textures]
    concepts += [Concept(name, "object") for name in names]
    half = side // 2
    large = F.interpolate(images.float(), (half, half), mode="bilinear", align_corners=False).clamp(0, 1)
    if large.shape[1] != channels:
        large = large.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    rng = SampleRng.of(seed, "concepts", [str(i) for i in range(n)])
    found = 0.45 + 0.1 * rng.fold("ground").uniform(channels, side, side)
    maps = torch.zeros(n, 3, side, side, dtype=torch.int16)
    draws = rng.fold("draws").uniform(8)
    noise = rng.fold("noise").uniform(channels, half, half)
    corners = rng.fold("corners").uniform(4).argsort(1)
    for i in range(n):
        numbers = [int(draws[i, j] * m) for j, m in enumerate((len(shades), len(textures), len(large)))]
        colour = torch.tensor(list(shades.values())[numbers[0]])[:channels, None, None].expand(-1, half, half)
        texture = _texture(numbers[1], half, channels, float(draws[i, 4]), noise[i])
        parts = (colour, texture, large[numbers[2]])
        labels = (numbers[0], len(shades) + numbers[1], len(shades) + len(textures) + int(classes[numbers[2]]))
        for group, (part, label) in enumerate(zip(parts, labels, strict=True)):
            top, left = (half * k for k in divmod(int(corners[i, group]), 2))
            found[i, :, top : top + half, left : left + half] = part
            maps[i, group, top : top + half, left : left + half] = label + 1
    return ConceptImages(concepts, found.mul(255).round().byte(), maps)


def _texture(number: int, side: int, channels: int, phase: float, noise: Tensor) -> Tensor:
    """A grating or noise, `[C, side, side]`."""
    gratings = [(period, angle) for period in PERIODS.values() for angle in ANGLES.values()]
    if number < len(gratings):
        period, angle = gratings[number]
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        along = columns * math.cos(math.pi * angle) + rows * math.sin(math.pi * angle)
        wave = 0.5 + 0.45 * torch.sin(2 * math.pi * (along / max(2.0, period * side) + phase))
        return wave.expand(channels, -1, -1)
    square = list(NOISES.values())[number - len(gratings)]
    small = noise[:, : -(-side // square), : -(-side // square)]
    return small.repeat_interleave(square, 1).repeat_interleave(square, 2)[:, :side, :side]


def _embedded(channels: int, each: int = 12) -> tuple[Tensor, Tensor, list[str]]:
    """A few images of each class of the embedded data."""
    dataset = load_data("demo")
    labels = np.zeros(0, np.int64) if dataset.labels is None else dataset.labels
    rows = [i for c in range(len(dataset.classes)) for i in (labels == c).nonzero()[0][:each].tolist()]
    parts = [b for b in stream(dataset, sorted(rows)) if not isinstance(b, BadSample)]
    images = torch.cat([b.images for b in parts]).expand(-1, channels, -1, -1)
    return images, torch.cat([b.labels for b in parts if b.labels is not None]), list(dataset.classes)
