"""`NanoDet`: boxes from the scores and distances that NanoDet's head gives for each place of its feature maps."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms
from typing_extensions import override

STRIDES = (4, 8, 16, 32, 64, 128)
"""Pixels from one place of a feature map to the next."""
LEAST = 0.05
"""Score from which a box counts, as in NanoDet's own evaluation."""
OVERLAP = 0.6
"""Intersection over union above which the lower scored box of one class is dropped, as there."""
CANDIDATES = 1000
"""Boxes of an image that non-maximum suppression sees."""
Shapes = Mapping[str, tuple[int, ...]]


def decode_distances(logits: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Boxes from the distribution over distances to the four sides (generalised focal loss, Li et al. 2020).

    Args:
        logits: `[..., P, 4 (B + 1)]` of P places in rows; of each side the distances 0 to B strides.
        height: of the image in pixels.
        width: of the image.
        stride: pixels between two places.

    Returns:
        `[..., P, 4]` as (left, top, right, bottom) in pixels, inside of the image.
    """
    bins = logits.reshape(*logits.shape[:-1], 4, -1).softmax(-1)
    distances = bins @ torch.arange(bins.shape[-1], device=bins.device, dtype=bins.dtype) * stride
    rows, columns = (torch.arange(-(-side // stride), device=logits.device) + 0.5 for side in (height, width))
    y, x = torch.meshgrid(rows * stride, columns * stride, indexing="ij")
    centre = torch.stack([x, y], -1).flatten(0, 1).to(distances)
    corners = torch.cat([centre - distances[..., :2], centre + distances[..., 2:]], -1)
    return torch.minimum(corners.clamp(min=0), corners.new_tensor([width, height, width, height]))


class NanoDet(nn.Module):
    """A NanoDet (RangiLyu 2020), from normalised RGB images to the boxes that are left by non-maximum suppression.

    The net behind it is given blue first (BGR), as NanoDet is trained.

    Args:
        net: from images `[N, 3, H, W]` to tensors by name.
        shapes: of its outputs for one image: for each feature map scores `[1, P, K]` in [0, 1] and, behind them in the
            order of the names, logits of distances `[1, P, 4 (B + 1)]`.
        size: height and width of the images in pixels.

    Raises:
        ValueError: the outputs are others.
    """

    mean = (123.675 / 255, 116.28 / 255, 103.53 / 255)
    std = (58.395 / 255, 57.12 / 255, 57.375 / 255)
    """Of the pixels in [0, 1], red first."""

    def __init__(self, net: nn.Module, shapes: Shapes, size: tuple[int, int]) -> None:
        super().__init__()
        self.net, self.size = net, size
        self.levels = [(*names, _stride(shapes[names[0]][1], size)) for names in _levels(shapes)]
        self.classes = shapes[self.levels[0][0]][2]

    @staticmethod
    def choose(shapes: Shapes) -> tuple[str, ...]:
        """The outputs that are needed.

        Args:
            shapes: of all outputs that a graph states.

        Raises:
            ValueError: they are not those of a NanoDet.
        """
        return tuple(name for names in _levels(shapes) for name in names)

    @override
    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        outputs = self.net(images.flip(1))
        boxes = [decode_distances(outputs[distances], *self.size, stride) for _, distances, stride in self.levels]
        scores = [outputs[name] for name, _, _ in self.levels]
        return [suppress(*one) for one in zip(torch.cat(boxes, 1), torch.cat(scores, 1), strict=True)]


def suppress(boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
    """The best boxes of one image, by non-maximum suppression within each class.

    Args:
        boxes: `[P, 4]`.
        scores: `[P, K]`.
    """
    places, labels = (scores.detach() > LEAST).nonzero(as_tuple=True)
    best = scores.detach()[places, labels].argsort(descending=True, stable=True)[:CANDIDATES]
    places, labels = places[best], labels[best]
    left = batched_nms(boxes.detach()[places], scores.detach()[places, labels], labels, OVERLAP)
    return {"boxes": boxes[places[left]], "labels": labels[left], "scores": scores[places[left], labels[left]]}


def _levels(shapes: Shapes) -> list[tuple[str, str]]:
    """Names of scores and distances of each feature map, the finest first."""
    maps: dict[int, list[str]] = {}
    for name in sorted(shapes, key=_natural):
        if len(shapes[name]) == 3:
            maps.setdefault(shapes[name][1], []).append(name)
    pairs = [(maps[places][0], maps[places][-1]) for places in sorted(maps, reverse=True)]
    fits = all(len(names) == 2 for names in maps.values()) and all(shapes[b][2] % 4 == 0 for _, b in pairs)
    if not pairs or not fits or len({(shapes[a][2], shapes[b][2]) for a, b in pairs}) != 1:
        raise ValueError(
            "NanoDet's outputs are scores [1, P, K] and distances [1, P, 4 (B + 1)] for each feature map, not "
            f"{', '.join(f'{name} {list(shape)}' for name, shape in shapes.items()) or 'none'}"
        )
    return pairs


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which `out_2` comes before `out_10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _stride(places: int, size: tuple[int, int]) -> int:
    for stride in STRIDES:
        if -(-size[0] // stride) * -(-size[1] // stride) == places:
            return stride
    raise ValueError(f"{places} places are no feature map of an image of {size[0]} x {size[1]} pixels")
