"""Sixteen views of an image: itself, five crops and two rotations, and the mirror image of each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.explain.engine.layer_features import Pool, layer_features

VIEWS = 16
PIECE = 16
"""Images whose views are made at once."""


def crop_places(side: int) -> tuple[int, tuple[int, int, int]]:
    """Length of a crop of two thirds of a side, and where it begins: at either end, and in the middle.

    >>> crop_places(300)
    (200, (0, 100, 50))
    """
    length = max(1, round(2 * side / 3))
    return length, (0, side - length, (side - length) // 2)


def sixteen_views(images: Tensor, *, angle: float = 15.0) -> Tensor:
    """The views in which features are augmented.

    Args:
        images: float32 in [0, 1] or uint8, `[N, C, H, W]`.
        angle: of the two rotations, in degrees; pixels beyond the border repeat it.

    Returns:
        `[N, 16, C, H, W]` of the same kind: the image; crops of 4/9 of its area, enlarged again, at the four corners
        and the centre; rotations by minus and plus the angle; then the mirror images of these eight.

    Raises:
        ParameterError: the angle is not between 0 and 90.
    """
    if not 0 <= angle <= 90:
        raise ParameterError(f"angle must lie between 0 and 90 degrees, not {angle}")
    pixels = images.float()
    (height, tops), (width, lefts) = (crop_places(side) for side in images.shape[2:])
    corners = [(tops[i], lefts[j]) for i in (0, 1) for j in (0, 1)] + [(tops[2], lefts[2])]
    crops = [pixels[..., y : y + height, x : x + width] for y, x in corners]
    enlarged = [F.interpolate(c, images.shape[2:], mode="bilinear", align_corners=False) for c in crops]
    eight = torch.stack([pixels, *enlarged, rotated(pixels, -angle), rotated(pixels, angle)], 1)
    found = torch.cat([eight, eight.flip(-1)], 1)
    return found.round().clamp(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else found


def rotated(images: Tensor, degrees: float) -> Tensor:
    """Images turned around their centre, counter-clockwise, bilinear; the border is repeated."""
    turn = torch.deg2rad(torch.tensor(degrees))
    cosine, sine = float(turn.cos()), float(turn.sin())
    height, width = images.shape[2:]
    matrix = torch.tensor([[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]])
    grid = F.affine_grid(matrix.expand(len(images), 2, 3).to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def augmented_features(
    model: Classifier, images: Tensor, layer: str, *, pool: Pool = "mean", angle: float = 15.0, cache: bool = True
) -> Tensor:
    """Features of all sixteen views, `[N, 16, D]`: sixteen passes an image, kept by content as other features are.

    Args:
        model: a classifier.
        images: uint8 `[N, C, H, W]`.
        layer: as in `layer_features`.
        pool: likewise.
        angle: as in `sixteen_views`.
        cache: as in `layer_features`.

    Raises:
        DataError: as in `layer_features`.
    """
    if not len(images):
        raise DataError("there is no image to take views of")
    found = []
    for part in torch.split(images, PIECE):  # all views of all images would be sixteen times the data, in float32
        views = sixteen_views(part, angle=angle).flatten(0, 1)
        features = layer_features(model, views, [layer], pool=pool, cache=cache)[layer]
        found.append(features.view(len(part), VIEWS, *features.shape[1:]))
    return torch.cat(found)
