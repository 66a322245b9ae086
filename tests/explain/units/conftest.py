"""Nets whose units are known, and what they look at."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.data.arrays import InMemory
from unshaken.explain import Subject
from unshaken.explain.units.concepts import Concept, ConceptImages


class Colours(nn.Module):
    """Units red, green, blue, one that is always 0, and one that is not finite; logits are their means."""

    def __init__(self, broken: bool = False) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, 4)
        self.broken = broken
        with torch.no_grad():
            self.body.weight.copy_(torch.cat([torch.eye(3), torch.zeros(1, 3)])[:, :, None, None])
            self.body.bias.zero_()
            self.head.weight.copy_(torch.eye(4))
            self.head.bias.copy_(torch.tensor([0.0, 0.1, 0.2, 0.3]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


@pytest.fixture
def colours() -> Classifier:
    return Classifier(Colours().eval(), name="colours")


@pytest.fixture(scope="session")
def photos() -> Tensor:
    """Twelve images uint8 `[12, 3, 6, 6]`; no two values of a channel are equal."""
    order = torch.stack([torch.randperm(12 * 36, generator=torch.Generator().manual_seed(c)) for c in range(3)])
    return (order.float() / 432 * 255).view(3, 12, 6, 6).transpose(0, 1).byte().contiguous()


@pytest.fixture
def subject(colours, photos):
    """The colours' net looking at the photos."""
    labels = torch.arange(12) % 4
    return Subject({"colours": colours}, InMemory(photos, labels), range(12), batch=5)


@pytest.fixture(scope="session")
def concepts() -> ConceptImages:
    """Twenty images, each with one red and one green square on black, and the word `mark` on the half of them."""
    images = torch.zeros(20, 3, 8, 8, dtype=torch.uint8)
    maps = torch.zeros(20, 2, 8, 8, dtype=torch.int16)
    for i in range(20):
        row, column = 4 * (i % 2), 4 * (i // 2 % 2)
        images[i, 0, row : row + 4, column : column + 4] = 200 + i
        maps[i, 0, row : row + 4, column : column + 4] = 1
        images[i, 1, row : row + 4, 4 - column : 8 - column] = 150 + i
        maps[i, 0, row : row + 4, 4 - column : 8 - column] = 2
        maps[i, 1] = -1 if i % 2 else 3
    return ConceptImages([Concept("red", "colour"), Concept("green", "colour"), Concept("mark", "scene")], images, maps)
