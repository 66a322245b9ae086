"""Detectors fitted on the embedded sample, and a model whose features are what a function makes of an image."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch import nn

from unshaken.detect import fit

METHODS = ["msp", "energy", "knn:k=5", "odin"]


@pytest.fixture(scope="session")
def fitted():
    return fit("demo", "demo", METHODS, limit=300)


class Odd(nn.Module):
    """Its features are what a function makes of the mean pixel."""

    def __init__(self, function):
        super().__init__()
        self.function, self.head = function, nn.Linear(2, 10)

    def forward(self, x):
        return self.head(self.function(x.mean((1, 2, 3))[:, None].expand(-1, 2)))


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """What the tests build from."""
    return SimpleNamespace(METHODS=METHODS, Odd=Odd)
