"""A batch of three classes, masks, and a recipe's memory as the loop gives it."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.masks import IGNORED
from unshaken.harden.engine.recipe import Setup


class Grey(torch.nn.Module):
    """Three classes by brightness: dark, medium, bright."""

    def __init__(self, sharp=20.0):
        super().__init__()
        self.sharp = torch.nn.Parameter(torch.tensor(sharp))

    def forward(self, x):
        return torch.cat([-self.sharp * (x - centre).abs() for centre in (0.0, 0.5, 1.0)], 1)


@pytest.fixture
def batch():
    """Six images and labels."""
    g = torch.Generator().manual_seed(0)
    return torch.rand(6, 1, 8, 8, generator=g), torch.randint(0, 3, (6,), generator=g)


@pytest.fixture
def begun():
    """Begins a recipe on a model, and gives its memory."""

    def begin(recipe, model, images, samples=20):
        setup = Setup(model, images, 3, 0, 1, 1, {}, lambda n: (images[:n], torch.zeros(n).long()), samples)
        recipe.begin(setup)
        return setup.memory

    return begin


@pytest.fixture
def scene():
    """Six images of 8 x 8 with a medium and a bright square, and masks with a piece of each missing."""
    images, truth = torch.zeros(6, 1, 8, 8), torch.zeros(6, 8, 8, dtype=torch.int64)
    images[:, :, :4, :4], truth[:, :4, :4] = 0.5, 1
    images[:, :, 4:, 4:], truth[:, 4:, 4:] = 1.0, 2
    given = truth.clone()
    given[:, 0, :4], given[:, 4, 4:] = 0, 0
    given[:, 7, 0] = IGNORED
    return images, truth, given


@pytest.fixture
def squares():
    """32 grey images of a bright square, and masks a quarter of which lack half of it, with the whole masks."""
    g = torch.Generator().manual_seed(0)
    images, masks = torch.randint(0, 60, (32, 1, 12, 12), generator=g), torch.zeros(32, 12, 12, dtype=torch.uint8)
    images[:, :, 3:9, 3:9] += 150
    masks[:, 3:9, 3:9] = 1
    wrong = masks.clone()
    wrong[:8, 3:6] = 0
    return images.to(torch.uint8), wrong, masks
