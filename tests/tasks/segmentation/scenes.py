"""Images whose channels say the class of each pixel, and a net that reads them."""

import numpy as np
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.masks import IGNORED
from unshaken.data.arrays import InMemory

SIDE = 24
CLASSES = ("background", "red", "green")


class Colours(nn.Module):
    """Class 1 where red, 2 where green, 0 elsewhere: logits are linear in the pixel."""

    task = "segmentation"

    def __init__(self, bias: float = 0.5):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(4.0))
        self.bias = bias

    def forward(self, images):
        background = torch.full_like(images[:, 0], self.bias)
        return self.weight * torch.stack([background, images[:, 0], images[:, 1]], 1)


def segmenter(bias=0.5, classes=CLASSES, name="colours"):
    return Classifier(Colours(bias), classes=classes, name=name)


def scenes(n=10, *, seed=0):
    """A red and a green rectangle on black, a column of pixels ignored."""
    rng = np.random.default_rng(seed)
    images, masks = np.zeros((n, 3, SIDE, SIDE), np.uint8), np.zeros((n, SIDE, SIDE), np.uint8)
    for i in range(n):
        for k in (1, 2):
            (top, left), (height, width) = rng.integers(4, 12, 2), rng.integers(4, 8, 2)
            place = np.s_[top : top + height, left : left + width]
            masks[i][place] = k
            images[i][:, place[0], place[1]] = 0
            images[i][(k - 1, *place)] = 200
    masks[:, :, 0] = IGNORED
    data = InMemory(torch.from_numpy(images), torch.from_numpy(masks), classes=list(CLASSES))
    return data
