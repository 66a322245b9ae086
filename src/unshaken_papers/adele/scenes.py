"""Scenes of Fashion-MNIST silhouettes on a texture, with true masks, and masks as a careless annotator draws them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unshaken.data.mask_noise import annotate_roughly, drop_instances

SIDE = 48
SILHOUETTE = 0.2
"""Brightness from which a pixel of Fashion-MNIST belongs to the garment."""


def draw_scenes(
    garments: Sequence[Tensor], count: int, seed: int, *, contrast: Sequence[float], sizes: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Two or three garments at random places on a texture; later ones hide earlier ones.

    Args:
        garments: for each class but the background, uint8 `[n, 1, H, W]`.
        count: number of scenes.
        seed: of the draws.
        contrast: weight of each class's own brightness against the texture, in [0, 1].
        sizes: side of each class's garments in pixels.

    Returns:
        Images uint8 `[count, 1, 48, 48]`, and masks uint8 `[count, 48, 48]`.
    """
    rng = np.random.default_rng(seed)
    images, masks = [], []
    for _ in range(count):
        image, mask = _texture(rng), np.zeros((SIDE, SIDE), np.uint8)
        for _ in range(int(rng.integers(2, 4))):
            kind = int(rng.integers(len(garments)))
            chosen = garments[kind][int(rng.integers(len(garments[kind])))]
            side = sizes[kind]
            small = F.interpolate(chosen[None].float() / 255, (side, side), mode="bilinear", align_corners=False)
            shape = small[0, 0].numpy()
            top, left = (int(v) for v in rng.integers(0, SIDE - side + 1, 2))
            place = np.s_[top : top + side, left : left + side]
            inside = shape > SILHOUETTE
            weight = contrast[kind]
            image[place] = np.where(inside, weight * shape + (1 - weight) * image[place], image[place])
            mask[place] = np.where(inside, np.uint8(kind + 1), mask[place])
        images.append(image)
        masks.append(mask)
    pixels = np.clip(np.stack(images) + rng.normal(0, 0.05, (count, SIDE, SIDE)), 0, 1)
    return torch.from_numpy((pixels * 255).round().astype(np.uint8))[:, None], torch.from_numpy(np.stack(masks))


def spoil_masks(masks: Tensor, steps: Sequence[tuple[int, int]], dropped: int, rate: float, seed: int) -> Tensor:
    """Masks as a careless annotator draws them, once for each image.

    Args:
        masks: true, uint8 `[N, H, W]`.
        steps: as in `annotate_roughly`.
        dropped: the class of which instances are forgotten.
        rate: share of these.
        seed: of the draws.
    """
    found = []
    for number, mask in enumerate(masks.numpy()):
        rng = np.random.default_rng([seed, number])
        found.append(annotate_roughly(drop_instances(mask, dropped, rate, rng), steps, rng))
    return torch.from_numpy(np.stack(found))


def _texture(rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise between 0 and 0.25."""
    coarse = torch.from_numpy(rng.random((1, 1, 7, 7)))
    smooth = F.interpolate(coarse, (SIDE, SIDE), mode="bilinear", align_corners=True)[0, 0].numpy()
    return np.asarray(0.25 * smooth)
