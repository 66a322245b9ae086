"""Smooth random images."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch


def photos(n=40, shape=(3, 32, 32), seed=0):
    """Smooth random images."""
    draws = torch.rand(n, shape[0], 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(draws, shape[1:], mode="bilinear")


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """What the tests build from."""
    return SimpleNamespace(photos=photos)
