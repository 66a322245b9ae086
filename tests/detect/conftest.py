"""A model whose every answer is known: the picture's mean colours are its features, and its head weighs them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unshaken.core import Classifier
from unshaken.detect.engine.anatomy import Anatomy


class Toy(nn.Module):
    """Features are the means of three channels; the head is the identity on them."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(3, 3)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(3) * 4)
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(x).flatten(1))


@pytest.fixture
def toy() -> Classifier:
    """The toy as a classifier of `[N, 3, H, W]`."""
    return Classifier(Toy(), name="toy").eval()


@pytest.fixture
def anatomy() -> Anatomy:
    """Two features, two classes, a head of ones: the numbers of hand-made checks."""
    return Anatomy("toy", 2, "head", ("stem", "body"), torch.eye(2), torch.zeros(2))
