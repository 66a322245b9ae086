"""`CenterNet`: boxes from the peaks of a heat map for each class, and the distances to the sides at the peaks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

PEAKS = 100
"""Peaks of an image that are kept, as in the paper."""
LEAST = 0.02
"""Score from which a peak counts."""
Shapes = Mapping[str, tuple[int, ...]]


def find_peaks(heat: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The highest local maxima of one image's heat maps, which takes the place of non-maximum suppression.

    Args:
        heat: `[K, h, w]`.
        most: number of peaks.

    Returns:
        Heights `[n]` in falling order, classes, rows and columns of the places that are the highest of 3 x 3.
    """
    around = F.max_pool2d(heat.detach()[None], 3, 1, 1)[0]
    peaks = torch.where(heat == around, heat, torch.zeros_like(heat)).flatten()
    heights, places = peaks.topk(min(most, len(peaks)))
    rows, columns = heat.shape[1:]
    return heights, places // (rows * columns), places // columns % rows, places % columns


class CenterNet(nn.Module):
    """A CenterNet (Zhou et al. 2019, arXiv:1904.07850) whose sizes are four distances from the peak, in pixels.

    Args:
        net: from images `[N, 3, H, W]` to tensors by name.
        shapes: of its outputs for one image: `[1, h, w, K]` heat in [0, 1] and `[1, h, w, 4]` distances to the left,
            top, right and bottom.
        size: height and width of the images in pixels.

    Raises:
        ValueError: the outputs are others.
    """

    mean = (0.0, 0.0, 0.0)
    std = (1 / 255, 1 / 255, 1 / 255)
    """The graph takes pixels from 0 to 255."""

    def __init__(self, net: nn.Module, shapes: Shapes, size: tuple[int, int]) -> None:
        super().__init__()
        self.net, self.size = net, size
        self.heat, self.distances = self.choose(shapes)
        _, self.rows, self.columns, self.classes = shapes[self.heat]

    @staticmethod
    def choose(shapes: Shapes) -> tuple[str, str]:
        """Names of the heat and of the distances.

        Args:
            shapes: of all outputs that a graph states.

        Raises:
            ValueError: they are not those of a CenterNet.
        """
        maps = [name for name, shape in shapes.items() if len(shape) == 4]
        sides = [name for name in maps if shapes[name][3] == 4]
        heats = [name for name in maps if shapes[name][3] != 4]
        if len(sides) != 1 or len(heats) != 1 or shapes[sides[0]][:3] != shapes[heats[0]][:3]:
            raise ValueError(
                "CenterNet's outputs are heat [1, h, w, K] and distances [1, h, w, 4], not "
                f"{', '.join(f'{name} {list(shape)}' for name, shape in shapes.items()) or 'none'}"
            )
        return heats[0], sides[0]

    @override
    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        outputs = self.net(images)
        return [self._boxes(*one) for one in zip(outputs[self.heat], outputs[self.distances], strict=True)]

    def _boxes(self, heat: Tensor, distances: Tensor) -> dict[str, Tensor]:
        """Detections of one image from heat `[h, w, K]` and distances `[h, w, 4]`."""
        scores, labels, rows, columns = find_peaks(heat.permute(2, 0, 1), PEAKS)
        height, width = self.size
        centre = torch.stack([columns * (width / self.columns), rows * (height / self.rows)], 1)
        sides = distances[rows, columns]
        corners = torch.cat([centre - sides[:, :2], centre + sides[:, 2:]], 1)
        boxes = torch.minimum(corners.clamp(min=0), corners.new_tensor([width, height, width, height]))
        strong = scores.detach() > LEAST
        return {"boxes": boxes[strong], "labels": labels[strong], "scores": scores[strong]}
