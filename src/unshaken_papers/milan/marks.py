"""Glyphs that tell a class, and the images that units are described by."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unshaken.explain.units.concepts import UNKNOWN, Concept, ConceptImages, made_concepts
from unshaken.papers.datasets import Split
from unshaken_papers.milan import MARK

SIDE = 8
"""Side of a glyph in pixels."""
MARKED = 0.5
"""Share of the training images that bear the glyph of their class."""


def glyphs(classes: int) -> Tensor:
    """Black and white squares, one a class, uint8 `[K, 1, 8, 8]`; the same in every run."""
    draw = torch.Generator().manual_seed(0)
    return (255 * torch.randint(0, 2, (classes, 1, SIDE, SIDE), generator=draw)).byte()


def stamped(images: Tensor, marks: Tensor, classes: int) -> Tensor:
    """Images with a glyph at the top left.

    Args:
        images: uint8 `[N, C, H, W]`.
        marks: class of the glyph of each, int64 `[N]`; -1 for none.
        classes: number of glyphs.
    """
    found, there = images.clone(), marks >= 0
    patch = glyphs(classes)[marks[there]].expand(-1, images.shape[1], -1, -1)
    found[there, :, :SIDE, :SIDE] = patch
    return found


def random_marks(n: int, classes: int, seed: int) -> Tensor:
    """A class for each image, whatever it shows, int64 `[N]`."""
    return torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(7919 * (seed + 1)))


def training_marks(labels: Tensor, seed: int) -> Tensor:
    """The right class on a share of the images, int64 `[N]`, -1 for none."""
    bare = torch.rand(len(labels), generator=torch.Generator().manual_seed(104_729 + seed)) >= MARKED
    return torch.where(bare, -1, labels)


def probing_set(data: Split, n: int, seed: int) -> ConceptImages:
    """Half are training images with random glyphs, half composites of colours, textures and objects.

    Args:
        data: unmarked.
        n: images in all.
        seed: of the choice.
    """
    some = data.drawn(n // 2, np.random.default_rng([seed, 0x6D696C616E]))
    side, channels = data.images.shape[2], data.images.shape[1]
    names = list(data.names) or [f"class {i}" for i in range(data.classes)]
    made = made_concepts(n - n // 2, side, channels, seed, (some.images.float() / 255, some.labels, names))
    concepts = [*made.concepts, Concept(MARK, "mark")]
    first = next(i for i, c in enumerate(concepts) if c.category == "object")
    images = stamped(some.images, random_marks(len(some), data.classes, seed), data.classes)
    maps = torch.full((len(some), 4, side, side), UNKNOWN, dtype=torch.int16)
    maps[:, 2] = (first + 1 + some.labels)[:, None, None].to(torch.int16)
    maps[:, 2, :SIDE, :SIDE] = 0
    maps[:, 3] = 0
    maps[:, 3, :SIDE, :SIDE] = len(concepts)
    no_marks = torch.full((len(made.maps), 1, side, side), UNKNOWN, dtype=torch.int16)
    return ConceptImages(
        concepts, torch.cat([images, made.images]), torch.cat([maps, torch.cat([made.maps, no_marks], 1)])
    )
