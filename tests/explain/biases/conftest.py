"""Nets whose biases are known, and small labelled data."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.data.arrays import InMemory
from unshaken.explain.engine.analysis import Subject


class Reads(nn.Module):
    """Logits by a function of the images."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.fixture
def reads():
    """A classifier by a function from images to logits, with the names of its classes."""
    return lambda function, classes=("a", "b", "c"): Classifier(Reads(function), classes=classes, name="reads")


def one_hot(classes: Tensor, count: int = 3) -> Tensor:
    """Logits that name a class for certain."""
    return 20.0 * torch.nn.functional.one_hot(classes, count)


def discs(n: int = 12, side: int = 16, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Dark discs whose radius is their class, with grain, on a light ground."""
    rows = torch.arange(side) - side / 2 + 0.5
    far = (rows[:, None].square() + rows.square()).sqrt()
    labels = torch.arange(n) % classes
    inside = far < (2 + 2 * labels[:, None, None])
    grain = 0.1 * torch.rand(n, side, side, generator=torch.Generator().manual_seed(0))
    grey = torch.where(inside, 0.2, 0.8) + grain
    return grey[:, None].expand(-1, 3, -1, -1).contiguous(), labels


@pytest.fixture
def subject():
    """What an analysis looks at: models by name, and images in memory."""

    def make(models, images=None, labels=None, *, ids=None, batch=5, seed=0, classes=("a", "b", "c")) -> Subject:
        if images is None:
            images, labels = discs()
        data = InMemory(images.mul(255).round().byte(), labels, ids=ids, classes=classes)
        return Subject(dict(models), data, range(len(data)), seed=seed, batch=batch)

    return make
