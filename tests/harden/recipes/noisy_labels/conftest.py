"""A batch of three classes, and a recipe's memory as the loop gives it."""

from __future__ import annotations

import pytest
import torch

from unshaken.harden.engine.recipe import Setup


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
