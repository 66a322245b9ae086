"""A detector that reads a map of segmentation, column by column, the recipe that trains it, and its boxes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.registry import Method
from unshaken.harden.engine.recipe import MASKS, Recipe, Step
from unshaken.harden.recipes.losses.dice_loss import dice_loss, foreground
from unshaken.measure.statistics.columns import Numbers
from unshaken.models.networks.small import UNet, conv_bn
from unshaken.tasks.bev.centre_depth import column_depths, labelled_depths
from unshaken.tasks.bev.two_stage import bev_picture

WIDTHS = (8, 16, 32)
WEIGHT = 5.0
"""Of the dice loss beside the terms of the detection, as published: 35 to 7."""
TALL = 10.0
"""Cells that lengths are divided by, so that the terms of the detection are of one size."""


class ColumnDetector(nn.Module):
    """A U-Net, and a head that reads its map: is there an object in a column, how deep and how long is it?

    Gives `[N, 5, H, W]`: the map of background and object; a logit whose softmax over rows is the depth; and two
    values whose means over rows are the logit of presence and the length.

    Args:
        classes: 2, background and object.
        channels: of the images.
        side: as other networks take it.
    """

    task: ClassVar[str] = "segmentation"

    def __init__(self, classes: int, channels: int, side: int) -> None:
        super().__init__()
        self.segmenter = UNet(classes, channels, side, widths=WIDTHS)
        self.head = nn.Sequential(conv_bn(3, 16), conv_bn(16, 16), nn.Conv2d(16, 3, 1))

    @override
    def forward(self, images: Tensor) -> Tensor:
        maps = self.segmenter(images)
        return torch.cat([maps, self.head(bev_picture(maps[:, 1:] - maps[:, :1], images))], 1)


def columns_found(outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Depth, logit of presence and length of each column, each `[N, W]`, from a detector's outputs."""
    depth = outputs[:, 2:3]
    return column_depths(torch.cat([torch.zeros_like(depth), depth], 1)), outputs[:, 3].mean(1), outputs[:, 4].mean(1)


class ColumnDetection(Recipe):
    """Learns presence, depth and length of the object in each column, and the map beside them where it has a weight.

    Args:
        weight: of the dice loss of the map; 0 leaves the map to the detection.
    """

    info: ClassVar[Method] = Method("column-detection", "harden", Recipe, "Kumar et al. 2024, arXiv:2403.20318")
    takes: ClassVar[frozenset[str]] = frozenset({"loss"})
    learns_from: ClassVar[frozenset[str]] = frozenset({MASKS})

    weight: float = 0.0

    @override
    def loss(self, step: Step) -> Tensor:
        outputs = step.model(step.shown)
        depth, presence, length = columns_found(outputs)
        wanted, there = labelled_depths(step.labels)
        rows = (step.labels == 1).sum(1).to(outputs)
        loss = F.binary_cross_entropy_with_logits(presence, there.to(outputs))
        loss = loss + F.smooth_l1_loss(depth[there], wanted[there]) / TALL
        loss = loss + F.smooth_l1_loss(length[there], rows[there] / TALL)
        if self.weight:
            maps, target, ignored = foreground(outputs[:, :2], step.labels)
            loss = loss + self.weight * dice_loss(maps, target, ignored=ignored)
        return loss


def boxes_found(outputs: Tensor) -> tuple[NDArray[np.int64], Numbers, Numbers]:
    """Boxes of columns side by side in which there is an object: their scenes, `[M, 7]`, and their mean presence."""
    depth, presence, length = (value.double().numpy() for value in columns_found(outputs))
    scenes, boxes, scores = list[int](), list[list[float]](), list[float]()
    for i in range(len(outputs)):
        there = np.concatenate([[False], presence[i] > 0, [False]])
        edges = np.flatnonzero(there[1:] != there[:-1])
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            own = slice(int(start), int(stop))
            long = max(1.0, TALL * float(length[i, own].mean()))
            boxes.append([float(depth[i, own].mean()), (start + stop) / 2, 0.0, long, float(stop - start), 1.0, 0.0])
            scenes.append(i)
            scores.append(float((1 / (1 + np.exp(-presence[i, own]))).mean()))
    return np.array(scenes, np.int64), np.array(boxes, np.float64).reshape(-1, 7), np.array(scores, np.float64)
