"""Images that show where the object is because they were put together: mosaics, and images pasted on noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.rng import SampleRng

TILES = 4
"""Images of a mosaic, two by two."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownObjects:
    """Images with one object each.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        classes: of the object, int64 `[N]`.
        boxes: of the object, `[1, 4]` each; see `Case`.
        ids: one an image.
    """

    images: Tensor
    classes: Tensor
    boxes: tuple[Tensor, ...]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def first(self, n: int) -> KnownObjects:
        """The first images, at most `n`."""
        return KnownObjects(self.images[:n], self.classes[:n], self.boxes[:n], self.ids[:n])


def make_mosaics(images: Tensor, labels: Tensor, count: int, *, seed: int = 0) -> KnownObjects:
    """Mosaics of two by two images of four different classes, for the grid game; one tile is the object.

    No image stands in two mosaics. The object's place is each of the four in turn.

    Args:
        images: `[N, C, H, W]`, as a rule images that the models classify rightly by themselves.
        labels: int64 `[N]`.
        count: mosaics at most.
        seed: of the draw.

    Returns:
        As many mosaics as there are images for, `[M, C, 2 H, 2 W]`; of chance a quarter of a map lies on the object.

    Raises:
        DataError: there are not four classes with an image.

    Source: Böhle et al. 2021, arXiv:2104.00032.
    """
    rng, height, width = np.random.default_rng(seed), *images.shape[2:]
    left = {k: rng.permutation(np.flatnonzero(labels.numpy() == k)).tolist() for k in sorted(set(labels.tolist()))}
    groups: list[list[int]] = []
    while len(groups) < count and sum(map(bool, left.values())) >= TILES:
        shuffled = rng.permutation([k for k in left if left[k]]).tolist()
        groups.append([left[k].pop() for k in sorted(shuffled, key=lambda k: -len(left[k]))[:TILES]])
        groups[-1] = rng.permutation(groups[-1]).tolist()
    if not groups:
        raise DataError(f"mosaics need images of {TILES} different classes; there are {len(left)}")
    drawn = torch.tensor(groups)
    places = torch.arange(len(drawn)) % TILES
    tiles = images[drawn]
    whole = torch.cat([torch.cat([tiles[:, 0], tiles[:, 1]], 3), torch.cat([tiles[:, 2], tiles[:, 3]], 3)], 2)
    boxes = []
    for place in places.tolist():
        top, start = height * (place // 2), width * (place % 2)
        boxes.append(torch.tensor([[start, top, start + width, top + height]], dtype=torch.float32))
    target = drawn.gather(1, places[:, None])[:, 0]
    ids = tuple(f"mosaic{i}" for i in range(len(drawn)))
    return KnownObjects(whole, labels[target], tuple(boxes), ids)


def paste_on_noise(
    images: Tensor, labels: Tensor, ids: Sequence[str], *, times: int = 2, seed: int = 0
) -> KnownObjects:
    """Images pasted at a random place of a larger canvas of grey noise.

    Args:
        images: `[N, C, H, W]`.
        labels: int64 `[N]`.
        ids: one an image; place and noise depend on it and the seed alone.
        times: side of the canvas in sides of an image.
        seed: of the draw.

    Returns:
        `[N, C, times H, times W]`: noise around 0.5 with deviation 0.1, the same in all channels.

    Raises:
        ParameterError: `times` is below 2.
    """
    if times < 2:
        raise ParameterError(f"times={times} leaves no canvas around the image: give 2 or more")
    rng, height, width = SampleRng.of(seed, "paste on noise", ids), *images.shape[2:]
    noise = rng.fold("canvas").normal(1, times * height, times * width)
    canvas = (0.5 + 0.1 * noise).clamp(0, 1).expand(-1, images.shape[1], -1, -1).clone()
    boxes = []
    for one, image, drawn in zip(canvas, images, rng.fold("place").uniform(2), strict=True):
        top, left = (int(u * ((times - 1) * side + 1)) for u, side in zip(drawn.tolist(), (height, width), strict=True))
        one[:, top : top + height, left : left + width] = image
        boxes.append(torch.tensor([[left, top, left + width, top + height]], dtype=torch.float32))
    return KnownObjects(canvas, labels, tuple(boxes), tuple(ids))
