"""Scenes of red and green squares, and a detector that finds them by their colour."""

import numpy as np
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.data import from_arrays
from unshaken.data.box_table import BoxTable
from unshaken.models.networks.box_output import BoxOutput

SIDE = 32


class Colours(nn.Module):
    """The box around what is red, and around what is green: two classes, by two channels."""

    def __init__(self, shift: int = 0):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.shift = shift

    def forward(self, images):
        return [self.found(image) for image in images]

    def found(self, image):
        boxes, labels, scores = [], [], []
        for channel in (0, 1):
            bright = image[channel] > 0.5
            if bright.any():
                rows, columns = bright.any(1).nonzero(), bright.any(0).nonzero()
                boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                labels.append(channel + self.shift)
                scores.append(image[channel][bright].mean() * self.weight[0])
        return {
            "boxes": torch.tensor(boxes, dtype=torch.float32, device=image.device).reshape(-1, 4),
            "labels": torch.tensor(labels, dtype=torch.int64, device=image.device),
            "scores": torch.stack(scores) if scores else image.new_zeros(0),
        }


def scenes(n=12, *, seed=0, classes=("red", "green")):
    """Images with a red square, a green one, both or none, with a table of their boxes."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, SIDE, SIDE, 3), np.uint8)
    ids, boxes, labels = [], [], []
    for i in range(n):
        for channel in (0, 1):
            if (i >> channel) & 1:
                side = int(rng.integers(6, 12))
                x, y = rng.integers(6, SIDE - 6 - side, 2)
                images[i, y : y + side, x : x + side, channel] = 230
                ids.append(str(i))
                boxes.append([(x + side / 2) / SIDE, (y + side / 2) / SIDE, side / SIDE, side / SIDE])
                labels.append(channel)
    data = from_arrays(images, None, classes=classes)
    return data.with_boxes(BoxTable(ids, np.array(boxes), np.array(labels)))


def detector(shift=0, classes=("red", "green")):
    return Classifier(BoxOutput(Colours(shift), most=5), classes=classes, name="colours")
