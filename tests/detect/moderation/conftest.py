"""Images of three classes as points around the corners of a triangle."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch


def clouds(n, seed):
    """Three classes around the corners of a triangle; each tells of the others."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    corners = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    return corners[labels] + torch.randn(n, 2, generator=generator) * 0.7, labels


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """What the tests build from."""
    return SimpleNamespace(clouds=clouds)
