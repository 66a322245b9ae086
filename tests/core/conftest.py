"""Small models and searches that the tests of this room share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from unshaken.core import Batch, Classifier


@pytest.fixture(scope="session")
def toys() -> ModuleType:
    """The module `toys.py` of this folder: four searches written in the ask/tell form."""
    spec = importlib.util.spec_from_file_location("core_toys", Path(__file__).with_name("toys.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


class TinyNet(nn.Module):
    """Two convolutions and a linear layer on 8 x 8 images."""

    def __init__(self, classes: int = 3, channels: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3, padding=1)
        self.body = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.head = nn.Linear(6, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(self.stem(x).relu()).relu()
        return self.head(x.mean((2, 3)))


@pytest.fixture
def tiny() -> Classifier:
    """A net with random, fixed weights, large enough to have opinions."""
    generator = torch.Generator().manual_seed(7)
    net = TinyNet()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.6)
    return Classifier(net, name="tiny").eval()


@pytest.fixture
def batch() -> Batch:
    """Thirteen grey 8 x 8 images with labels 0 to 2."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(13, 1, 8, 8, generator=generator)
    return Batch(images, torch.arange(13) % 3, tuple(f"s{i}" for i in range(13)))
