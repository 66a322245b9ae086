"""A differentiable detector whose answers are known by hand, on scenes of red and green squares."""

import torch
from torch import nn

from unshaken.core import Batch, Classifier
from unshaken.models.networks.box_output import BoxOutput

SIDE = 16
BOXES = ((1, 1, 7, 7), (8, 8, 14, 14))
"""Places of a red square and a green one."""


class Soft(nn.Module):
    """At two places, one detection of each class: the score is a sigmoid of how bright its channel is there.

    Args:
        least: score from which a detection is put out.
        steep: slope of the sigmoid; small steps of all pixels undo it.
    """

    def __init__(self, least=0.01, steep=20.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(steep))
        self.least = least

    def forward(self, images):
        return [self.found(image) for image in images]

    def found(self, image):
        boxes, labels, scores = [], [], []
        for left, top, right, bottom in BOXES:
            part = image[:, top:bottom, left:right].mean((1, 2))
            for label in (0, 1):
                score = torch.sigmoid(self.weight * (part[label] - 0.5))
                if score >= self.least:
                    moved = torch.stack([part[2] * 4 + edge for edge in (left, top, right, bottom)])  # blue moves it
                    boxes.append(moved)
                    labels.append(label)
                    scores.append(score)
        if not scores:
            none = image.new_zeros(0)
            return {"boxes": none.view(0, 4), "labels": none, "scores": none}
        named = torch.tensor(labels, device=image.device)
        return {"boxes": torch.stack(boxes), "labels": named, "scores": torch.stack(scores)}


def scene(n=2, objects=((0, 0), (1, 1))):
    """Images with a square of channel `c` at place `p` for each of `objects`, with a little noise."""
    images = torch.rand(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 0.02
    images[:, :2] += 0.4
    boxes = torch.zeros(n, len(objects), 7)
    for k, (place, channel) in enumerate(objects):
        left, top, right, bottom = BOXES[place]
        images[:, channel, top:bottom, left:right] = 0.6
        boxes[:, k] = torch.tensor([left, top, right, bottom, channel, 0, 36.0])
    return Batch(images, None, tuple(f"s{i}" for i in range(n)), boxes)


def soft(**options):
    return Classifier(BoxOutput(Soft(**options), most=4), classes=("red", "green"), name="soft").eval()
